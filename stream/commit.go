package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"scry/checkpoint"
)

// commitLoop commits what is safe, on a timer, until ctx ends.
func (s *session) commitLoop(ctx context.Context) {
	c := s.consumer
	every(ctx, c.cfg.Delivery.CommitInterval, func() {
		if err := s.commit(ctx); err != nil && ctx.Err() == nil {
			c.commitFailed(err)
		}
	})
}

// every calls f on a timer, until ctx ends.
func every(ctx context.Context, interval time.Duration, f func()) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f()
		}
	}
}

// commit writes the positions that moved since the last time. An error leaves them to
// the next one: a commit is never needed for correctness, only for not reading again.
func (s *session) commit(ctx context.Context) error {
	c := s.consumer
	c.committing.Lock()
	defer c.committing.Unlock()
	at := c.tracker.Committable()
	if len(at) == 0 {
		return nil
	}
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	failpoint("commit")
	failed, err := s.commitOffsets(ctx, at)
	if err != nil {
		return err
	}
	for p := range failed {
		delete(at, p)
	}
	failpoint("end")
	c.tracker.Committed(at)
	c.metrics.committed(time.Since(start))
	var errs []error
	for p, err := range failed {
		errs = append(errs, fmt.Errorf("%s-%d: %w", p.Topic, p.ID, err))
	}
	return errors.Join(errs...)
}

// commitOffsets sends one commit and returns which partitions were refused: the
// response has an error for each, and the client does not look at them.
func (s *session) commitOffsets(ctx context.Context, at map[checkpoint.Partition]checkpoint.Position) (map[checkpoint.Partition]error, error) {
	offsets := make(map[string]map[int32]kgo.EpochOffset)
	byName := make(map[topicPartition]checkpoint.Partition, len(at))
	for p, pos := range at {
		if offsets[p.Topic] == nil {
			offsets[p.Topic] = make(map[int32]kgo.EpochOffset)
		}
		offsets[p.Topic][p.ID] = kgo.EpochOffset{Epoch: pos.LeaderEpoch, Offset: pos.Next}
		byName[topicPartition{p.Topic, p.ID}] = p
	}
	ctx = kgo.PreCommitFnContext(ctx, func(req *kmsg.OffsetCommitRequest) error {
		if err := s.speaksAs(req.MemberID); err != nil {
			return err
		}
		for i := range req.Topics {
			t := &req.Topics[i]
			for j := range t.Partitions {
				p := byName[topicPartition{t.Topic, t.Partitions[j].Partition}]
				t.Partitions[j].Metadata = s.consumer.positionMetadata(p, at[p])
			}
		}
		return nil
	})
	var failed map[checkpoint.Partition]error
	var all error
	s.client.CommitOffsetsSync(ctx, offsets, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
		if all = err; err != nil {
			return
		}
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					if failed == nil {
						failed = make(map[checkpoint.Partition]error)
					}
					failed[byName[topicPartition{t.Topic, p.Partition}]] = err
				}
			}
		}
	})
	return failed, all
}

// positionMetadata is the story that is kept with a position.
func (c *Consumer) positionMetadata(p checkpoint.Partition, at checkpoint.Position) *string {
	m := checkpoint.Encode(checkpoint.Metadata{TopicID: p.TopicID, Born: c.born.Load(), EventTime: at.EventTime})
	return &m
}

// commitFailed decides what a failed commit means: most mend themselves at the next
// one or with the rebalance that is under way.
func (c *Consumer) commitFailed(err error) {
	c.metrics.commitErrors.Inc()
	switch {
	case errors.Is(err, kerr.FencedInstanceID):
		c.fail(fenced(err))
	case errors.Is(err, kerr.GroupAuthorizationFailed), errors.Is(err, kerr.TopicAuthorizationFailed):
		c.fail(commitRefused(c.cfg.Kafka, err))
	case errors.Is(err, kerr.RebalanceInProgress), errors.Is(err, kerr.IllegalGeneration), errors.Is(err, kerr.UnknownMemberID),
		errors.Is(err, kerr.StaleMemberEpoch):
		c.log.Debug("commit overtaken by a rebalance", "error", err)
	default:
		c.log.Warn("commit failed, trying again at the next interval", "error", err)
	}
}

func commitRefused(k KafkaConfig, err error) error {
	return fmt.Errorf("not allowed to commit for group %s: %w; grant READ on the group and its topics", k.Group, err)
}
