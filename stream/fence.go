package stream

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// settle ends what was left open when partitions come to this member: what an earlier
// producer of its own transactional id began (which it also keeps from writing), and the
// transactions of dead members. Until they have ended, the group tells nobody where those
// partitions stand, and readers of the output wait; the brokers' own timeout takes up to
// 20 s. A stop ends it. It is called when the group has let this member in: a second process of the same
// instance, which it does not, fences nobody. Whatever fails here costs time only.
func (s *session) settle(assigned map[string][]int32) {
	c := s.consumer
	ctx, cancel := context.WithTimeout(s.loop, transactionTimeout)
	defer cancel()
	if _, _, err := s.client.ProducerID(ctx); err != nil {
		if s.loop.Err() != nil {
			return
		}
		if lasting := s.lasting(err); lasting != nil {
			c.fail(lasting)
		}
		c.log.Warn("cannot begin as a producer yet", "transactional_id", c.transactional.id, "error", err)
		return
	}
	adm := kadm.NewClient(s.client)
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, 500*time.Millisecond) {
		if !s.pending(ctx, assigned) {
			return
		}
		if err := s.abortStuck(ctx, adm); err != nil && s.loop.Err() == nil {
			c.log.Warn("cannot end a dead member's transaction, the brokers will when it times out", "error", err)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			if s.loop.Err() != nil {
				return
			}
			c.log.Warn("a transaction still holds the positions of partitions that came to this member: it reads them when that has ended", "partitions", assigned)
			return
		}
	}
}

// pending tells whether an open transaction holds the position of one of the partitions.
func (s *session) pending(ctx context.Context, assigned map[string][]int32) bool {
	req := kmsg.NewPtrOffsetFetchRequest()
	group := kmsg.NewOffsetFetchRequestGroup()
	req.RequireStable, group.Group = true, s.consumer.cfg.Kafka.Group
	for topic, ids := range assigned {
		t := kmsg.NewOffsetFetchRequestGroupTopic()
		t.Topic, t.Partitions = topic, ids
		group.Topics = append(group.Topics, t)
	}
	req.Groups = append(req.Groups, group)
	resp, err := req.RequestWith(ctx, s.client)
	if err != nil || len(resp.Groups) == 0 {
		return false
	}
	for _, t := range resp.Groups[0].Topics {
		for _, p := range t.Partitions {
			if p.ErrorCode == kerr.UnstableOffsetCommit.Code {
				return true
			}
		}
	}
	return false
}

// lasting returns the error that no new session mends, with what does, or nil.
func (s *session) lasting(err error) error {
	k := s.consumer.cfg.Kafka
	switch {
	case errors.Is(err, kerr.TransactionalIDAuthorizationFailed):
		return transactionsRefused(k, err)
	case errors.Is(err, kerr.GroupAuthorizationFailed), errors.Is(err, kerr.TopicAuthorizationFailed):
		return commitRefused(k, err)
	case errors.Is(err, kerr.InvalidTransactionTimeout):
		return fmt.Errorf("%w; raise the brokers' transaction.max.timeout.ms to %d", err, transactionTimeout.Milliseconds())
	case errors.Is(err, kerr.FencedInstanceID):
		return fenced(err)
	}
	return s.displaced(s.consumer.work)
}

func transactionsRefused(k KafkaConfig, err error) error {
	return fmt.Errorf("not allowed to use transactions: %w; %s", err, grantTransactions(k.Group))
}

func grantTransactions(group string) string {
	return fmt.Sprintf("grant DESCRIBE and WRITE on transactional ids that begin with %s to this user", transactionalPrefix(group))
}

// displaced returns an error when another process has this static member's place: then a
// transaction was fenced for good. Only the classic protocol lets it in.
func (s *session) displaced(ctx context.Context) error {
	k := s.consumer.cfg.Kafka
	if k.Instance == "" || k.Protocol != "classic" {
		return nil
	}
	req := kmsg.NewPtrHeartbeatRequest()
	req.Group, req.InstanceID = k.Group, &k.Instance
	req.MemberID, req.Generation = s.client.GroupMetadata()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	resp, err := req.RequestWith(ctx, s.client)
	if err != nil {
		return nil // it is not known; the next session learns it
	}
	if err := kerr.ErrorForCode(resp.ErrorCode); errors.Is(err, kerr.FencedInstanceID) {
		return fenced(err)
	}
	return nil
}

// stuckTransaction is how long a transaction must be open to be taken for a dead member's:
// no member loses its place sooner, and a living one is done in a fraction of it. One that
// is ended by mistake is made again.
const stuckTransaction = 2 * time.Second

// abortStuck ends the transactions that members of the group have had open for too long.
func (s *session) abortStuck(ctx context.Context, adm *kadm.Client) error {
	listed, err := adm.ListTransactions(ctx, nil, []string{"Ongoing"})
	if err != nil {
		return fmt.Errorf("listing transactions: %w", err)
	}
	c := s.consumer
	var ids []string
	for _, id := range listed.TransactionalIDs() {
		if strings.HasPrefix(id, transactionalPrefix(c.cfg.Kafka.Group)) && id != c.transactional.id {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	open, err := adm.DescribeTransactions(ctx, ids...)
	if err != nil {
		return fmt.Errorf("describing transactions: %w", err)
	}
	for _, t := range open {
		age := time.Since(time.UnixMilli(t.StartTimestamp))
		if t.Err != nil || t.State != "Ongoing" || age < stuckTransaction {
			continue
		}
		if err := abortTransaction(ctx, s.client, t.TxnID); err != nil {
			return fmt.Errorf("transaction of %s: %w", t.TxnID, err)
		}
		c.log.Info("ended the transaction of a dead member", "transactional_id", t.TxnID, "open_for", age.Round(time.Millisecond))
	}
	return nil
}

// abortTransaction takes over a transactional id, which aborts what is open under it.
func abortTransaction(ctx context.Context, client *kgo.Client, id string) error {
	req := kmsg.NewPtrInitProducerIDRequest()
	req.TransactionalID = &id
	req.TransactionTimeoutMillis = int32(transactionTimeout.Milliseconds())
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return err
	}
	err = kerr.ErrorForCode(resp.ErrorCode)
	if errors.Is(err, kerr.ConcurrentTransactions) { // it is being aborted
		return nil
	}
	return err
}
