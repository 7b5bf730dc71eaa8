package stream

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A session is one membership of the group, with the one client that reads the input,
// writes the output and commits. At least once has one for as long as the consumer runs.
// Exactly once ends it at every outcome of a transaction but a clean commit: the next one
// asks the group what it really holds.
type session struct {
	consumer *Consumer
	client   *kgo.Client   // from joined on
	joined   chan struct{} // closed when client is set: the client calls before its constructor has returned

	// assigning guards over, and what the group's callbacks do to the assignment.
	assigning sync.Mutex
	over      bool // a callback that comes now concerns nobody
}

var errOver = errors.New("the session is over")

// sessions runs sessions until ctx ends, or nothing will mend. Only exactly once needs
// a second.
func (c *Consumer) sessions(ctx context.Context) error {
	waits := c.retry.waits()
	for {
		if err := c.await(ctx); err != nil {
			return err
		}
		s := &session{consumer: c, joined: make(chan struct{})}
		if err := s.join(); err != nil {
			return err
		}
		before := c.stats.Totals()
		err := s.run(ctx)
		if ctx.Err() != nil {
			return nil
		}
		c.log.Warn("the transaction did not commit: its events are read again, in a new session", "error", err)
		c.health.rejoin()
		if c.stats.Totals() != before {
			waits.Reset()
		}
		select {
		case <-time.After(waits.NextBackOff()):
		case <-ctx.Done():
		}
	}
}

// run consumes until ctx ends, or a transaction does not commit.
func (s *session) run(ctx context.Context) error {
	c := s.consumer
	commits, stop := context.WithCancel(c.work)
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() { c.commitLoop(commits) })
	var err error
	if c.exactlyOnce() {
		err = s.transactions(ctx)
	} else {
		c.loop(ctx)
	}
	if err == nil {
		c.drain()
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
func (c *Consumer) drain() {
	if err := c.window.empty(c.work); err != nil {
		_, batches, _ := c.window.load()
		c.log.Warn("drain deadline passed: what is in flight is abandoned and will be read again", "batches", batches)
	}
	c.cancelWork()
	ctx, cancel := context.WithTimeout(context.Background(), c.cfg.Delivery.DrainTimeout/8)
	defer cancel()
	if err := c.commit(ctx); err != nil {
		c.log.Warn("last commit failed: some events will be read again", "error", err)
	}
}

// abandon forgets the assignment: nothing of it may be committed any more, and whatever
// the client still says of it is not heard.
func (s *session) abandon() {
	s.assigning.Lock()
	defer s.assigning.Unlock()
	s.over = true
	s.consumer.tracker.RevokeAll()
	s.consumer.sources.removeAll()
	s.consumer.metrics.assigned.Set(0)
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
