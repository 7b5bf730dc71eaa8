package stream

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"

	"scry/checkpoint"
)

// The group's callbacks. The client runs them one at a time on its own goroutine,
// never while a poll is being taken apart (BlockRebalanceOnPoll), so a record's ticket
// is begun in the assignment it was fetched in. After that the race is between a
// batch's Done and a revoke, and the tracker's lock decides it: a Done that comes
// after Revoke has returned changes nothing. Under exactly once none of them runs while
// a transaction is open.

// assigned is told of a new generation, also by a member that is given nothing: one more
// than there are partitions stands by, ready.
func (s *session) assigned(_ context.Context, client *kgo.Client, added map[string][]int32) {
	client.ResumeFetchPartitions(added) // an ending pauses them
	if <-s.joined; len(added) > 0 && s.consumer.exactlyOnce() && !s.isOver() {
		s.settle(added)
	}
	s.assigning.Lock()
	defer s.assigning.Unlock()
	if s.over {
		return
	}
	if len(s.consumer.sources.all()) == 0 {
		member, _ := client.GroupMetadata()
		s.member.Store(&member)
	}
	s.consumer.health.start()
}

// assign begins to consume a partition from a position.
func (s *session) assign(p checkpoint.Partition, from checkpoint.Position, end int64, stored bool) error {
	s.assigning.Lock()
	defer s.assigning.Unlock()
	if s.over {
		return errOver
	}
	src := newSource(p)
	src.highWatermark.Store(end)
	src.position, src.eventTime = from.Next, from.EventTime
	s.consumer.sources.add(src)
	s.consumer.tracker.Assign(p, from, stored)
	s.consumer.transactional.forgetWhere(func(e eventID) bool {
		return e.topic == p.Topic && e.partition == p.ID && e.offset < from.Next
	})
	return nil
}

// revoked gives partitions back: what is in flight has until the deadline to become
// durable, what is durable is committed, and the rest is another member's to read again.
func (s *session) revoked(ctx context.Context, _ *kgo.Client, lost map[string][]int32) {
	c := s.consumer
	ps := c.partitions(lost)
	if len(ps) == 0 {
		return
	}
	c.metrics.rebalances.Inc()
	deadline, cancel := context.WithTimeout(c.work, c.cfg.Delivery.DrainTimeout)
	defer cancel()
	// When the deadline passes first, forget says what is abandoned. What is held waits for a mend.
	_ = c.window.until(deadline, func() bool { return c.tracker.InFlight(ps...) == 0 || c.health.holding() })
	if err := s.commit(c.work); err != nil {
		c.log.Warn("commit before giving partitions back failed: their last events will be read again", "error", err)
	}
	s.forget(ps, "revoked")
}

// lost drops partitions that are someone else's already: committing would be refused,
// or worse, accepted.
func (s *session) lost(_ context.Context, _ *kgo.Client, lost map[string][]int32) {
	c := s.consumer
	c.metrics.rebalances.Inc()
	c.committing.Lock() // a commit that is under way must not be followed by one of these
	defer c.committing.Unlock()
	s.forget(c.partitions(lost), "lost")
	s.member.Store(nil)
}

func (c *Consumer) partitions(m map[string][]int32) []checkpoint.Partition {
	var ps []checkpoint.Partition
	for topic, ids := range m {
		for _, id := range ids {
			if src := c.sources.get(topic, id); src != nil {
				ps = append(ps, src.partition)
			}
		}
	}
	return ps
}

func (s *session) forget(ps []checkpoint.Partition, how string) {
	s.assigning.Lock()
	defer s.assigning.Unlock()
	if s.over {
		return
	}
	c := s.consumer
	abandoned := 0
	for _, p := range ps {
		abandoned += c.tracker.Revoke(p)
		c.sources.remove(p.Topic, p.ID)
		c.transactional.forgetWhere(func(e eventID) bool { return e.topic == p.Topic && e.partition == p.ID })
	}
	c.metrics.assigned.Set(float64(len(c.sources.all())))
	if len(ps) > 0 {
		c.log.Info("partitions given up", "how", how, "partitions", len(ps), "batches_abandoned", abandoned)
	}
}
