package stream

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"scry/checkpoint"
)

const (
	// transactionTimeout is when the brokers abort a transaction whose process went silent;
	// until then it holds up who reads committed.
	transactionTimeout = 10 * time.Second
	// transactionDeadline is when its own process gives it up: what it waits for has failed.
	transactionDeadline = 8 * time.Second
	// markersWait is how long to wait before asking again whether the brokers have written
	// the last transaction's markers.
	markersWait = time.Millisecond
)

// A transaction makes predictions, dead letters and the positions of the events they were
// made from visible together, or not at all. No rebalance can happen while it is open.
// It is the loop's; settle and fail are for any goroutine.
type transaction struct {
	session   *session
	ctx       context.Context // ends at the deadline
	cancel    context.CancelFunc
	began     bool  // the client has
	producer  int64 // whose transaction it is, from began on
	epoch     int16
	open      bool // the brokers have, with positions in it
	batches   []*batch
	delivered int                                          // how many of batches are handed over
	at        map[checkpoint.Partition]checkpoint.Position // after batches
	moved     bool                                         // at, since it was written into the transaction
	targets   targets

	unsettled atomic.Int32  // batches that topic or cache do not hold yet, and one until commit
	settled   chan struct{} // closed when there are none
	failure   atomic.Pointer[error]
	failed    chan struct{} // closed when there is one
}

// transactions reads, scores and delivers, one transaction after the other, until ctx
// ends. It returns why one did not commit: the session must end with it.
func (s *session) transactions(ctx context.Context) error {
	for ctx.Err() == nil {
		held, why, err := s.transact(ctx)
		s.client.AllowRebalance()
		if err != nil {
			if lasting := s.lasting(err); lasting != nil {
				s.consumer.fail(lasting)
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
// not be delivered, and why, when what was read before it is committed.
func (s *session) transact(ctx context.Context) (held *batch, why, err error) {
	c := s.consumer
	b := c.poll(ctx, true)
	if b == nil {
		return nil, nil, nil
	}
	began, brake := b.polled, c.brake
	if why = c.score(b); why != nil {
		return b, why, nil
	}
	t := s.newTransaction() // its deadline is not for a slow model
	defer t.cancel()
	t.add(b)
	for {
		if err = t.deliver(); err != nil || t.enough(b, began) {
			break
		}
		if b = nil; !c.window.full() {
			b = c.poll(c.work, false)
		}
		if b == nil {
			continue
		}
		if why = c.score(b); why != nil {
			held = b
			break
		}
		t.add(b)
	}
	if err == nil {
		err = t.commit()
	}
	if err != nil {
		t.abort(err)
		c.brake = brake // what is read again counts once
		if held != nil {
			c.window.leave(held)
		}
		return nil, nil, err
	}
	return held, why, nil
}

func (s *session) newTransaction() *transaction {
	t := &transaction{session: s, at: make(map[checkpoint.Partition]checkpoint.Position), settled: make(chan struct{}), failed: make(chan struct{})}
	t.ctx, t.cancel = context.WithTimeout(s.consumer.work, transactionDeadline)
	t.unsettled.Store(1)
	return t
}

// enough tells whether to end the transaction, which began then, and not to take in more
// after its last batch. nil: there was nothing more to read.
func (t *transaction) enough(last *batch, began time.Time) bool {
	c := t.session.consumer
	if !t.open {
		return false
	}
	behind := last != nil && len(last.records) >= pollRecords/2
	return !behind || t.failure.Load() != nil || time.Since(began) >= c.cfg.Delivery.TransactionInterval || c.window.full()
}

// add takes a scored batch in.
func (t *transaction) add(b *batch) {
	if len(t.batches) == 0 {
		// Until its end nothing else is committed: a position that is written by the side
		// after the transaction's would stand in its place.
		t.session.consumer.committing.Lock()
	}
	b.transaction = t
	t.batches = append(t.batches, b)
	t.unsettled.Add(1)
	for _, run := range b.runs {
		t.at[run.source.partition] = run.next
	}
	t.moved = true
	t.target(b)
}

// deliver hands over the batches that topic and cache have not got yet. While the
// transaction cannot be opened it returns after a moment, so that more can be taken in.
//
// The positions open it. The brokers take no part in a transaction while they still write
// the markers of the last one: they say so at once to an offset commit, but keep a
// produced batch waiting for 20 ms.
func (t *transaction) deliver() error {
	if !t.open {
		err := t.begin()
		if errors.Is(err, kerr.ConcurrentTransactions) {
			select {
			case <-time.After(markersWait):
				return nil
			case <-t.ctx.Done():
			}
		}
		if err != nil {
			return err
		}
		t.open = true
	}
	for _, b := range t.batches[t.delivered:] {
		t.session.consumer.deliver(t.ctx, b)
	}
	t.delivered = len(t.batches)
	return nil
}

// begin opens the transaction. It fails with kerr.ConcurrentTransactions while the brokers
// still write the markers of the last, and may then be called again.
func (t *transaction) begin() (err error) {
	client := t.session.client
	if !t.began {
		if t.producer, t.epoch, err = client.ProducerID(t.ctx); err != nil {
			return fmt.Errorf("producer id: %w", err)
		}
		if err := client.BeginTransaction(); err != nil {
			return fmt.Errorf("begin: %w", err)
		}
		t.began = true
	}
	if err := t.addPartitions(); err != nil {
		return err
	}
	return t.writePositions()
}

// commit ends the transaction when everything in it is durable. An error leaves its
// outcome open.
func (t *transaction) commit() error {
	c, client := t.session.consumer, t.session.client
	for t.delivered < len(t.batches) {
		if err := t.deliver(); err != nil {
			return err
		}
	}
	// Also when it has failed: what else the brokers refuse is known then, and not learned
	// one session after the other.
	if err := client.Flush(t.ctx); err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	t.settle() // its own
	select {
	case <-t.settled:
	case <-t.failed: // the cache may have batches of it still
	case <-t.ctx.Done():
	}
	// The end of a transaction succeeds whatever became of the records in it.
	if err := t.failure.Load(); err != nil {
		return *err
	}
	if err := context.Cause(t.ctx); err != nil {
		return fmt.Errorf("predictions are not durable after %v: %w", transactionDeadline, err)
	}
	if err := t.noted(); err != nil {
		return err
	}
	start := time.Now()
	if t.moved {
		if err := t.writePositions(); err != nil {
			return err
		}
	}
	failpoint("commit")
	if err := client.EndTransaction(t.ctx, kgo.TryCommit); err != nil {
		return fmt.Errorf("end: %w", err)
	}
	failpoint("end")
	for _, b := range t.batches {
		b.done(c.tracker)
	}
	c.tracker.Committable() // with these
	c.tracker.Committed(t.at)
	c.committing.Unlock()
	c.metrics.committed(time.Since(start))
	c.metrics.transactions["committed"].Inc()
	for _, b := range t.batches {
		c.transactional.forget(b.records)
		c.complete(b)
	}
	return nil
}

// noted waits until the client has noted the topics that it has written in this transaction.
// kgo (1.22.2, storePartitionsUpdate) sends the records that have waited for a topic's
// metadata before it stores that. When brokers acknowledge them in between, its
// EndTransaction does not see that anything was written, sends an abort in place of the
// commit, and returns nil.
func (t *transaction) noted() error {
	c, s := t.session.consumer, t.session
	for i, topic := range [...]string{c.cfg.Output.Topic, c.cfg.Output.DeadLetterTopic} {
		if s.noted[i] {
			continue
		}
		r := t.written(topic)
		if r == nil {
			continue
		}
		for {
			if leader, _, _ := s.client.PartitionLeader(topic, r.Partition); leader >= 0 {
				break
			}
			select {
			case <-time.After(markersWait):
			case <-t.ctx.Done():
				return fmt.Errorf("the client does not know topic %s, which it has written: %w", topic, context.Cause(t.ctx))
			}
		}
		s.noted[i] = true
	}
	return nil
}

// written returns a record that was produced to a topic, or nil.
func (t *transaction) written(topic string) *kgo.Record {
	for _, b := range t.batches {
		for i := range b.out {
			if b.out[i].Topic == topic {
				return &b.out[i]
			}
		}
	}
	return nil
}

// abort gives the transaction up, whatever its outcome, and ends what is open: readers of
// the output and who takes the partitions over shall not wait for it. Where that fails, the
// producer of the next session fences this one, or the brokers' timeout does.
func (t *transaction) abort(why error) {
	s, c := t.session, t.session.consumer
	s.abandon()
	c.committing.Unlock()
	c.metrics.transactions["aborted"].Inc()
	events := 0
	for _, b := range t.batches {
		events += len(b.records)
		c.window.leave(b)
	}
	if s.loop.Err() != nil { // else the next session says what comes of it
		c.log.Warn("stopped in a transaction: it is given up, its events will be read again", "events", events, "error", why)
	}
	ctx, cancel := context.WithTimeout(context.Background(), min(time.Second, c.cfg.Delivery.DrainTimeout/8))
	defer cancel()
	if t.began && s.client.AbortBufferedRecords(ctx) == nil {
		if err := t.end(ctx); err != nil {
			c.log.Debug("abort failed", "error", err)
		}
	}
}

// end has the brokers abort the transaction. The client would send nothing before it has
// sent a record: it does not know of the partitions and positions that scry sends itself. It
// is not used again, so it need not know of this either. Where a commit's outcome is open the
// brokers refuse an abort that comes too late.
func (t *transaction) end(ctx context.Context) error {
	req := kmsg.NewPtrEndTxnRequest()
	req.TransactionalID = t.session.consumer.transactional.id
	req.ProducerID, req.ProducerEpoch = t.producer, t.epoch
	resp, err := req.RequestWith(ctx, t.session.client)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(resp.ErrorCode)
}

// settle notes that topic and cache are through with a batch.
func (t *transaction) settle() {
	if t.unsettled.Add(-1) == 0 {
		close(t.settled)
	}
}

// fail notes that a record is not durable, and why; the first reason is kept.
func (t *transaction) fail(err error) {
	if t.failure.CompareAndSwap(nil, &err) {
		close(t.failed)
	}
}
