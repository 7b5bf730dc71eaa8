package stream

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// While a transaction cannot be opened no more is taken in than the window holds.
func TestWindowOfUnopenedTransaction(t *testing.T) {
	h := newHarness(t, 1)
	h.cfg.Delivery.Guarantee, h.cfg.Delivery.MaxInFlight = "exactly_once", 1
	const n = 3 * pollRecords
	h.produce(0, events(n, "u")...)
	var c atomic.Pointer[running]
	var most atomic.Int64
	f := h.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Err: kerr.ConcurrentTransactions, Count: 200,
		When: func(kmsg.Request) bool {
			if c := c.Load(); c != nil {
				_, batches, _ := c.window.load()
				most.Store(max(most.Load(), int64(batches)))
			}
			return true
		}})
	c.Store(h.run(doubler()))
	h.eventually("committed", func() bool { return h.committed(0) == n })
	if f.Hits() < 200 {
		t.Errorf("%d refusals", f.Hits())
	}
	if most.Load() != 1 {
		t.Errorf("%d batches in flight", most.Load())
	}
}

// An event that is read again because its transaction was aborted counts once to hold.
func TestAbortsDoNotHold(t *testing.T) {
	h := newHarness(t, 1)
	h.cfg.Delivery.Guarantee, h.cfg.Output.HoldWhenRejected = "exactly_once", 0.5
	f := h.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, Err: kerr.InvalidTxnState, Count: 2,
		When: func(r kmsg.Request) bool { return r.(*kmsg.EndTxnRequest).Commit }})
	bad := make([]string, 60)
	for i := range bad {
		bad[i] = "{}"
	}
	h.produce(0, bad...)
	h.run(doubler())
	h.eventually("committed", func() bool { return h.committed(0) == 60 })
	if f.Hits() != 2 {
		t.Errorf("%d aborts", f.Hits())
	}
}

// A transaction that has failed does not wait for the cache, which Redis may keep.
func TestFailedTransactionWaitsForNothing(t *testing.T) {
	h := newHarness(t, 1)
	c := h.idle()
	c.work = t.Context()
	tx := (&session{consumer: c, client: h.client}).newTransaction()
	defer tx.cancel()
	tx.ctx = t.Context() // without a deadline
	tx.add(&batch{})
	tx.delivered = 1
	refused := errors.New("refused")
	tx.fail(refused)
	done := make(chan error)
	go func() { done <- tx.commit() }()
	select {
	case err := <-done:
		if !errors.Is(err, refused) {
			t.Errorf("commit: %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it waits")
	}
}

// A model that takes longer than a transaction may is no reason to abort one.
func TestModelSlowerThanATransaction(t *testing.T) {
	if testing.Short() {
		t.Skip("takes as long as a transaction may")
	}
	t.Parallel()
	h := newHarness(t, 1)
	h.cfg.Delivery.Guarantee = "exactly_once"
	d := doubler()
	d.Model = &slowModel{}
	c := h.run(d)
	h.produce(0, event(1, "u"))
	h.eventually("committed", func() bool { return h.committed(0) == 1 })
	if n := valueOf(c.metrics.transactions["aborted"]); n > 0 {
		t.Errorf("%v transactions aborted", n)
	}
}

type slowModel struct {
	halfModel
	warm atomic.Bool
}

func (m *slowModel) Predict(in, out []float64) error {
	if !m.warm.Swap(true) {
		time.Sleep(transactionDeadline + time.Second) // the slowness itself
	}
	return m.halfModel.Predict(in, out)
}

// With several brokers it is the transaction that is refused, not the record.
func TestOutputNotAllowed(t *testing.T) {
	h := newHarness(t, 1, kfake.NumBrokers(2))
	h.cfg.Delivery.Guarantee, h.cfg.Input.Entity = "exactly_once", "user"
	f := h.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.AddPartitionsToTxn}, Topic: "out", Err: kerr.TopicAuthorizationFailed, Count: -1})
	h.produce(0, event(1, "u"))
	if err := h.run(doubler()).wait(); err == nil || !strings.Contains(err.Error(), "grant WRITE") {
		t.Errorf("Run: %v", err)
	}
	if f.Hits() == 0 {
		t.Error("not asked")
	}
}
