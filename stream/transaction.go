package stream

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"scry/checkpoint"
)

const (
	// transactionTimeout is when the brokers abort a transaction whose process went silent;
	// until then it holds up who reads committed.
	transactionTimeout = 10 * time.Second
	// transactionDeadline is when its own process gives it up: what it waits for has failed.
	transactionDeadline = 8 * time.Second
)

// A transaction makes predictions, dead letters and the positions of the events they were
// made from visible together, or not at all. No rebalance can happen while it is open.
// It is the loop's; settle and fail are for any goroutine.
type transaction struct {
	session *session
	ctx     context.Context // ends at the deadline
	cancel  context.CancelFunc
	batches []*batch
	at      map[checkpoint.Partition]checkpoint.Position // after the batches

	unsettled atomic.Int32  // batches that topic or cache do not hold yet, and one until commit
	settled   chan struct{} // closed when there are none
	failure   atomic.Pointer[error]
}

// transactions reads, scores and delivers, one transaction after the other, until ctx
// ends. It returns why one did not commit: the session must end with it.
func (s *session) transactions(ctx context.Context) error {
	for ctx.Err() == nil {
		held, why, err := s.transact(ctx)
		s.client.AllowRebalance()
		if err != nil {
			if gone := s.replaced(s.consumer.work); gone != nil {
				s.consumer.fail(gone)
			}
			return err
		}
		if held != nil {
			s.consumer.hold(ctx, held, why)
		}
	}
	return nil
}

// transact makes a transaction of what there is to read. It returns the batch that must
// not be delivered, and why, after what was read before it is committed.
func (s *session) transact(ctx context.Context) (held *batch, why, err error) {
	c := s.consumer
	b := c.poll(ctx)
	if b == nil {
		return nil, nil, nil
	}
	began := b.polled
	t := &transaction{session: s, at: make(map[checkpoint.Partition]checkpoint.Position), settled: make(chan struct{})}
	for b != nil && err == nil {
		if why = c.score(b); why != nil {
			held = b
			break
		}
		err = t.deliver(b)
		if time.Since(began) >= c.cfg.Delivery.TransactionInterval || c.window.full() {
			break
		}
		b = c.poll(nil)
	}
	if len(t.batches) == 0 {
		return held, why, nil
	}
	if err == nil {
		err = t.commit()
	}
	if err != nil {
		t.abort(ctx)
		if held != nil {
			c.window.leave(held)
		}
		return nil, nil, err
	}
	return held, why, nil
}

// deliver hands a scored batch to the topic and to the cache, in the transaction.
func (t *transaction) deliver(b *batch) error {
	c := t.session.consumer
	first := len(t.batches) == 0
	if first {
		t.ctx, t.cancel = context.WithTimeout(c.work, transactionDeadline)
		t.unsettled.Store(1)
		// Until its end nothing else is committed: its positions are safe only with it.
		c.committing.Lock()
	}
	t.batches = append(t.batches, b)
	for _, run := range b.runs {
		t.at[run.source.partition] = run.next
	}
	if first {
		if err := t.session.client.BeginTransaction(); err != nil {
			return fmt.Errorf("begin: %w", err)
		}
		// The positions go first. The brokers take no part in a new transaction while they
		// still write the markers of the last one, and say so at once here; a produced
		// batch would be kept waiting for 20 ms.
		if err := t.commitOffsets(); err != nil {
			return err
		}
	}
	b.transaction = t
	t.unsettled.Add(1)
	c.deliver(t.ctx, b)
	return nil
}

// commit ends the transaction when everything in it is durable. An error leaves its
// outcome open.
func (t *transaction) commit() error {
	c, client := t.session.consumer, t.session.client
	if err := client.Flush(t.ctx); err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	t.settle() // its own
	select {
	case <-t.settled:
	case <-t.ctx.Done():
		return fmt.Errorf("predictions are not durable after %v: %w", transactionDeadline, context.Cause(t.ctx))
	}
	// The end of a transaction succeeds whatever became of the records in it.
	if err := t.failure.Load(); err != nil {
		return *err
	}
	start := time.Now()
	if len(t.batches) > 1 {
		if err := t.commitOffsets(); err != nil {
			return err
		}
	}
	if err := client.EndTransaction(t.ctx, kgo.TryCommit); err != nil {
		return fmt.Errorf("end: %w", err)
	}
	for _, b := range t.batches {
		b.done(c.tracker)
	}
	c.tracker.Committable() // with these
	c.tracker.Committed(t.at)
	c.committing.Unlock()
	t.cancel()
	c.metrics.committed(time.Since(start))
	c.metrics.transactions["committed"].Inc()
	for _, b := range t.batches {
		c.transactional.forget(b.records)
		c.complete(b)
	}
	return nil
}

// abort gives the transaction up, whatever its outcome. The producer of the next session
// fences this one and so ends what is open; when there is no next one, readers shall not
// wait for the timeout.
func (t *transaction) abort(loop context.Context) {
	s, c := t.session, t.session.consumer
	s.abandon()
	c.committing.Unlock()
	t.cancel()
	c.metrics.transactions["aborted"].Inc()
	for _, b := range t.batches {
		c.window.leave(b)
	}
	if loop.Err() == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), min(time.Second, c.cfg.Delivery.DrainTimeout/8))
	defer cancel()
	if s.client.AbortBufferedRecords(ctx) == nil {
		if err := s.client.EndTransaction(ctx, kgo.TryAbort); err != nil {
			c.log.Debug("abort at stop failed", "error", err)
		}
	}
}

// settle notes that topic and cache are through with a batch.
func (t *transaction) settle() {
	if t.unsettled.Add(-1) == 0 {
		close(t.settled)
	}
}

// fail notes that a record is not durable, and why; the first reason is kept.
func (t *transaction) fail(err error) { t.failure.CompareAndSwap(nil, &err) }
