package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// A session is one membership of the group, with the one client that reads the input,
// writes the output and commits. It ends when what it holds may no longer be what the
// group has given it, and the next one asks the group: under exactly once at every outcome
// of a transaction but a clean commit, under both guarantees when its member was replaced.
type session struct {
	consumer *Consumer
	loop     context.Context // ends when a stop begins
	client   *kgo.Client     // from joined on
	joined   chan struct{}   // closed when client is set: the client calls before its constructor has returned
	noted    [2]bool         // the client knows output and dead letter topic; the loop's
	// member is who was given the partitions; nil: there are none.
	member atomic.Pointer[string]

	// assigning guards over, and what the group's callbacks do to the assignment.
	assigning sync.Mutex
	over      bool // a callback that comes now concerns nobody
}

var errOver = errors.New("the session is over")

// sessions runs sessions until ctx ends, or nothing will mend.
func (c *Consumer) sessions(ctx context.Context) error {
	waits := c.retry.waits()
	for {
		if err := c.await(ctx); err != nil {
			return err
		}
		s := &session{consumer: c, loop: ctx, joined: make(chan struct{})}
		if err := s.join(); err != nil {
			return err
		}
		before := c.stats.Totals()
		err := s.run(ctx)
		if ctx.Err() != nil {
			return nil
		}
		c.log.Warn("what is not committed is read again, in a new session", "error", err)
		if c.stats.Totals() != before {
			waits.Reset()
		}
		select {
		case <-time.After(waits.NextBackOff()):
		case <-ctx.Done():
		}
	}
}

// run consumes until ctx ends, or the session must.
func (s *session) run(ctx context.Context) error {
	c := s.consumer
	commits, stop := context.WithCancel(c.work)
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() { s.commitLoop(commits) })
	wg.Go(func() { s.watchEnds(commits) })
	loop := s.batches
	if c.exactlyOnce() {
		loop = s.transactions
	}
	err := loop(ctx)
	if err == nil {
		s.drain()
	} else {
		s.abandon()
	}
	stop()
	wg.Wait()
	s.close()
	return err
}

// limitWork ends the work in flight when its part of drain_timeout has passed since loop
// ended; the rest is kept for the commit and for leaving the group. It does not wait for
// the loop to return: that may be in a poll which waits for partitions to be given back.
func (c *Consumer) limitWork(loop context.Context) {
	context.AfterFunc(loop, func() {
		c.health.stopping()
		select {
		case <-c.work.Done():
		case <-time.After(c.cfg.Delivery.DrainTimeout * 3 / 4):
			c.cancelWork()
		}
	})
}

// drain gives what is in flight until work's deadline and commits what is durable.
func (s *session) drain() {
	c := s.consumer
	if err := c.window.empty(c.work); err != nil {
		_, batches, _ := c.window.load()
		c.log.Warn("drain deadline passed: what is in flight is abandoned and will be read again", "batches", batches)
	}
	c.cancelWork()
	ctx, cancel := context.WithTimeout(context.Background(), c.cfg.Delivery.DrainTimeout/8)
	defer cancel()
	if err := s.commit(ctx); err != nil {
		c.log.Warn("last commit failed: some events will be read again", "error", err)
	}
}

// speaksAs returns an error when an id of the group's is not the one under which this
// session was given its partitions. The client loses its place without a word when the
// group has forgotten it by the time it joins in a rebalance: it joins again as another
// member, and goes on with partitions that somebody else may have moved meanwhile.
func (s *session) speaksAs(id string) error {
	if member := s.member.Load(); member != nil && *member != id {
		return fmt.Errorf("the group had taken this member for dead: %w", kerr.UnknownMemberID)
	}
	return nil
}

// replaced tells whether the client goes on as another member.
func (s *session) replaced() error {
	id, _ := s.client.GroupMetadata()
	return s.speaksAs(id)
}

func (s *session) isOver() bool {
	s.assigning.Lock()
	defer s.assigning.Unlock()
	return s.over
}

// abandon forgets the assignment: nothing of it may be committed any more, and whatever
// the client still says of it is not heard.
func (s *session) abandon() {
	s.assigning.Lock()
	defer s.assigning.Unlock()
	if s.over {
		return
	}
	s.over = true
	c := s.consumer
	// What brokers refused is for the next session, where this one had the partition. A
	// redrive's events are of other topics than its partitions.
	c.transactional.forgetWhere(func(e eventID) bool { return c.redrive == nil && c.sources.get(e.topic, e.partition) == nil })
	c.tracker.RevokeAll()
	c.sources.removeAll()
	c.metrics.assigned.Set(0)
	c.health.rejoin()
}

// close leaves the group and closes the connections. A static member stays in the
// group on purpose: its partitions wait for it until the session timeout.
func (s *session) close() {
	done := make(chan struct{})
	go func() {
		s.client.CloseAllowingRebalance()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(min(s.consumer.cfg.Delivery.DrainTimeout/8, 2*time.Second)):
		s.abandon() // what the client still has to say
		s.consumer.log.Warn("leaving the group took too long; it will notice by the session timeout")
	}
}
