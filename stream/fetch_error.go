package stream

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"scry/checkpoint"
)

// fetchError decides what an error from the poll means. The client retries by itself
// whatever can mend.
func (c *Consumer) fetchError(ctx context.Context, topic string, partition int32, err error) {
	var loss *kgo.ErrDataLoss
	switch {
	case ctx.Err() != nil, errors.Is(err, kgo.ErrClientClosed), errors.Is(err, context.Canceled):
	case errors.Is(err, kerr.OffsetOutOfRange):
		c.outOfRange(ctx, topic, partition)
	case errors.As(err, &loss):
		c.log.Error("data loss: the log was truncated", "topic", topic, "partition", partition, "error", err)
		c.fail(fmt.Errorf("topic %s partition %d: %w; start again to go on from what is left", topic, partition, err))
	case errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, kerr.UnknownTopicID), errors.Is(err, kerr.InconsistentTopicID):
		next := "start again, and input.on_data_loss decides"
		if c.projects {
			next = "see that it exists, and start again: what it then holds is written to the cache"
		}
		c.fail(fmt.Errorf("topic %s was deleted or recreated: %w; %s", topic, err, next))
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		c.fail(fmt.Errorf("not allowed to read topic %s: %w; grant READ to this user", topic, err))
	case errors.Is(err, kerr.FencedInstanceID):
		c.fail(fenced(err))
	case errors.Is(err, kerr.UnreleasedInstanceID):
		c.health.shutOut(c.taken(err))
	case errors.Is(err, kerr.GroupAuthorizationFailed):
		c.fail(fmt.Errorf("not allowed to join group %s: %w; grant READ on the group to this user", c.cfg.Kafka.Group, err))
	default:
		if err = c.explained(err); IsPermanent(err) {
			c.fail(err)
			return
		}
		if !errors.As(err, new(*kgo.ErrGroupSession)) {
			c.log.Warn("fetch failed, the client tries again", "topic", topic, "partition", partition, "error", err)
		} else if !c.projects && !c.health.isDown("kafka") { // which are told of already
			c.log.Warn("the group session failed, the client tries again", "error", err)
		}
	}
}

func fenced(err error) error {
	return fmt.Errorf("another process has taken this instance's place in the group: %w; give each its own kafka.instance", err)
}

// taken is what the brokers say to the newer of two with kafka.protocol: consumer, and to
// whoever comes back before a killed process' place is free. The client goes on asking.
func (c *Consumer) taken(err error) error {
	return fmt.Errorf("kafka.instance %s is held by another member of the group: %w; stop it, or give this one another kafka.instance; "+
		"a killed process's place is free after the brokers' group.consumer.session.timeout.ms", c.cfg.Kafka.Instance, err)
}

// outOfRange is retention overtaking the consumer while it runs.
func (c *Consumer) outOfRange(ctx context.Context, topic string, partition int32) {
	src := c.sources.get(topic, partition)
	if src == nil {
		return
	}
	adm := kadm.NewClient(c.client.Load())
	var bounds checkpoint.Bounds
	err := c.retry.Do(ctx, "kafka", func(ctx context.Context) error {
		starts, err := adm.ListStartOffsets(ctx, topic)
		if err != nil {
			return err
		}
		ends, err := adm.ListEndOffsets(ctx, topic)
		if err != nil {
			return err
		}
		s, _ := starts.Lookup(topic, partition)
		e, _ := ends.Lookup(topic, partition)
		bounds = checkpoint.Bounds{Start: s.Offset, End: e.Offset}
		return errors.Join(s.Err, e.Err)
	})
	if err != nil {
		return // stopping
	}
	d := checkpoint.Resume(&checkpoint.Stored{Next: src.position}, bounds, src.partition.TopicID, c.cfg.Input.policy(), 0)
	if c.decided(src.partition, d) != nil {
		return
	}
	if ticket, ok := c.tracker.Begin(src.partition, checkpoint.Position{Next: d.Next, LeaderEpoch: -1}); ok {
		c.tracker.Done(ticket) // or the loss is found again after a restart, and lag stays
	}
	src.position = d.Next
	c.client.Load().SetOffsets(map[string]map[int32]kgo.EpochOffset{topic: {partition: {Epoch: -1, Offset: d.Next}}})
}
