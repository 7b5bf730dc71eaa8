package stream

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// targets are the partitions that a transaction will write, by topic. Each broker takes the
// partitions that it leads into the transaction when the first batch comes, and while one
// does, the others have to wait, 20 ms at a time: with three brokers that is most of a
// transaction's time. Told beforehand, in one request, none waits.
//
// They are foreseen from the keys. A partition that is not among them, such as a record's
// without a key, is taken in by its broker.
type targets map[string][]bool

// byKey is how the client chooses the partition of a record with a key.
var byKey = kgo.StickyKeyPartitioner(nil).ForTopic("")

// target notes where a batch's records will go.
func (t *transaction) target(b *batch) {
	c := t.session.consumer
	if c.transactional.brokers < 2 {
		return
	}
	if t.targets == nil {
		t.targets = make(targets)
		for topic, n := range c.transactional.partitions {
			t.targets[topic] = make([]bool, n)
		}
	}
	output, dead := t.targets[c.cfg.Output.Topic], t.targets[c.cfg.Output.DeadLetterTopic]
	for i := range b.out {
		to, r := output, &b.out[i]
		if b.rows[i].reject != nil {
			to, r = dead, b.records[i]
		}
		if r.Key != nil && len(to) > 0 {
			to[byKey.Partition(r, len(to))] = true
		}
	}
}

// addPartitions takes the targets into the transaction. It fails with
// kerr.ConcurrentTransactions while the brokers still write the markers of the last.
func (t *transaction) addPartitions() error {
	c := t.session.consumer
	req := kmsg.NewPtrAddPartitionsToTxnRequest()
	for name, hit := range t.targets {
		topic := kmsg.NewAddPartitionsToTxnRequestTopic()
		topic.Topic = name
		for id, ok := range hit {
			if ok {
				topic.Partitions = append(topic.Partitions, int32(id))
			}
		}
		if len(topic.Partitions) > 0 {
			req.Topics = append(req.Topics, topic)
		}
	}
	if len(req.Topics) == 0 {
		return nil
	}
	req.TransactionalID, req.ProducerID, req.ProducerEpoch = c.transactional.id, t.producer, t.epoch
	resp, err := req.RequestWith(t.ctx, t.session.client)
	if err != nil {
		return fmt.Errorf("partitions into the transaction: %w", err)
	}
	var first error
	for _, topic := range resp.Topics {
		for _, p := range topic.Partitions {
			err := kerr.ErrorForCode(p.ErrorCode)
			if errors.Is(err, kerr.TopicAuthorizationFailed) { // the others were only not attempted
				err = writeRefused(topic.Topic, err)
				c.fail(err)
				return err
			}
			if err != nil && first == nil {
				first = fmt.Errorf("%s-%d into the transaction: %w", topic.Topic, p.Partition, err)
			}
		}
	}
	return first
}
