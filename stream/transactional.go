package stream

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"scry/checkpoint"
)

func (c *Consumer) exactlyOnce() bool { return c.cfg.Delivery.Guarantee == "exactly_once" }

// transactional is what exactly once keeps from one session to the next.
type transactional struct {
	id string // the transactional id
	// explicit: the brokers do not take offsets into a transaction by themselves
	// (transaction.version below 2, KIP-890).
	explicit bool
	// With several brokers, a transaction is told of the partitions that it will write: see
	// targets.
	brokers    int
	partitions map[string]int // of the topics that are written

	mu      sync.Mutex
	refused map[eventID]refusal
}

// An eventID is where in the input an event is.
type eventID struct {
	topicPartition
	offset int64
}

func eventOf(r *kgo.Record) eventID { return eventID{topicPartition{r.Topic, r.Partition}, r.Offset} }

// A refusal is why brokers do not take what was produced for an event, and how much of its
// value the dead letter may have.
type refusal struct {
	reject *reject
	keep   int
}

// transactionalPrefix begins the transactional ids of a group's members.
func transactionalPrefix(group string) string { return "scry/" + group + "/" }

// newTransactional gives an instance the id it had before it was started again: so it
// fences itself, at once, where another member would wait for the transaction's timeout.
func newTransactional(k KafkaConfig) transactional {
	member := k.Instance
	if member == "" {
		member = rand.Text()
	}
	return transactional{id: transactionalPrefix(k.Group) + member}
}

func (t *transactional) opts() []kgo.Opt {
	opts := []kgo.Opt{kgo.TransactionalID(t.id), kgo.TransactionTimeout(transactionTimeout), kgo.ConcurrentTransactionsBackoff(markersWait)}
	if t.explicit {
		versions := kversion.Stable()
		versions.SetMaxKeyVersion(kmsg.TxnOffsetCommit.Int16(), 4) // later ones are for brokers that do
		versions.SetMaxKeyVersion(kmsg.EndTxn.Int16(), 4)
		opts = append(opts, kgo.MaxVersions(versions))
	}
	return opts
}

// detect asks the brokers which kind of transactions they run, and about the topics that
// are written.
func (t *transactional) detect(ctx context.Context, client *kgo.Client, topics ...string) error {
	cluster, err := kadm.NewClient(client).Metadata(ctx, topics...)
	if err != nil {
		return err
	}
	t.brokers, t.partitions = len(cluster.Brokers), make(map[string]int)
	for name, topic := range cluster.Topics {
		t.partitions[name] = len(topic.Partitions)
	}
	resp, err := kmsg.NewPtrApiVersionsRequest().RequestWith(ctx, client)
	if err != nil {
		return err
	}
	t.explicit = true
	for _, f := range resp.FinalizedFeatures {
		if f.Name == "transaction.version" && f.MaxVersionLevel >= 2 {
			t.explicit = false
		}
	}
	return nil
}

// refuse remembers what the next session must make of an event.
func (t *transactional) refuse(r *kgo.Record, why refusal) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.refused == nil {
		t.refused = make(map[eventID]refusal)
	}
	t.refused[eventOf(r)] = why
}

// remembers tells whether any event was refused.
func (t *transactional) remembers() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.refused) > 0
}

func (t *transactional) refusalOf(r *kgo.Record) (refusal, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	why, ok := t.refused[eventOf(r)]
	return why, ok
}

// forget drops what was remembered of events that are committed now.
func (t *transactional) forget(rs []*kgo.Record) {
	if !t.remembers() {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range rs {
		delete(t.refused, eventOf(r))
	}
}

// forgetWhere drops what was remembered of events that are another member's to read, or
// were read by one.
func (t *transactional) forgetWhere(gone func(eventID) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	maps.DeleteFunc(t.refused, func(e eventID, _ refusal) bool { return gone(e) })
}

// writePositions writes the positions after the batches into the transaction. It fails
// with kerr.ConcurrentTransactions while the brokers still write the markers of the last.
func (t *transaction) writePositions() error {
	c, client := t.session.consumer, t.session.client
	if c.transactional.explicit && !t.open {
		req := kmsg.NewPtrAddOffsetsToTxnRequest()
		req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group = c.transactional.id, t.producer, t.epoch, c.cfg.Kafka.Group
		resp, err := req.RequestWith(t.ctx, client)
		if err == nil {
			err = kerr.ErrorForCode(resp.ErrorCode)
		}
		if err != nil {
			return fmt.Errorf("positions into the transaction: %w", err)
		}
	}
	req := c.txnOffsetCommit(t.at)
	req.ProducerID, req.ProducerEpoch = t.producer, t.epoch
	for {
		req.MemberID, req.Generation = client.GroupMetadata()
		if err := t.session.speaksAs(req.MemberID); err != nil {
			return fmt.Errorf("positions: %w", err)
		}
		err := t.sendPositions(req)
		if errors.Is(err, kerr.IllegalGeneration) || errors.Is(err, kerr.StaleMemberEpoch) {
			if t.regenerated(req.Generation) {
				continue
			}
		}
		t.moved = t.moved && err != nil
		return err
	}
}

func (t *transaction) sendPositions(req *kmsg.TxnOffsetCommitRequest) error {
	resp, err := req.RequestWith(t.ctx, t.session.client)
	if err != nil {
		return fmt.Errorf("positions: %w", err)
	}
	for _, topic := range resp.Topics {
		for _, p := range topic.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return fmt.Errorf("position of partition %d: %w", p.Partition, err)
			}
		}
	}
	return nil
}

// regenerated waits until the group has told this member of a generation after one that is
// no longer accepted. A rebalance under an open transaction takes nothing from the member
// before that has ended, but the brokers count the new generation a moment before the
// client does.
func (t *transaction) regenerated(after int32) bool {
	for range 200 {
		if _, now := t.session.client.GroupMetadata(); now != after {
			return true
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-t.ctx.Done():
			return false
		}
	}
	return false
}

func (c *Consumer) txnOffsetCommit(at map[checkpoint.Partition]checkpoint.Position) *kmsg.TxnOffsetCommitRequest {
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.TransactionalID, req.Group = c.transactional.id, c.cfg.Kafka.Group
	if c.cfg.Kafka.Instance != "" {
		req.InstanceID = &c.cfg.Kafka.Instance
	}
	topics := make(map[string]int, 1)
	for p, pos := range at {
		i, ok := topics[p.Topic]
		if !ok {
			i = len(req.Topics)
			topics[p.Topic] = i
			topic := kmsg.NewTxnOffsetCommitRequestTopic()
			topic.Topic, topic.TopicID = p.Topic, p.TopicID
			req.Topics = append(req.Topics, topic)
		}
		o := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		o.Partition, o.Offset, o.LeaderEpoch = p.ID, pos.Next, pos.LeaderEpoch
		o.Metadata = c.positionMetadata(p, pos)
		req.Topics[i].Partitions = append(req.Topics[i].Partitions, o)
	}
	return req
}
