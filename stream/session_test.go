package stream

import (
	"context"
	"errors"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"scry/checkpoint"
)

// A session that ends takes its goroutines with it.
func TestSessionsLeaveNothingRunning(t *testing.T) {
	h := newHarness(t, 1)
	h.cfg.Delivery.Guarantee = "exactly_once"
	c := h.run(doubler())
	done := int64(0)
	abort := func(times int) {
		for range times {
			f := h.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, Err: kerr.InvalidTxnState,
				When: func(r kmsg.Request) bool { return r.(*kmsg.EndTxnRequest).Commit }})
			h.produce(0, event(1, "a"))
			done++
			h.eventually("committed", func() bool { return f.Hits() == 1 && h.committed(0) == done })
		}
	}
	abort(2)
	before := runtime.NumGoroutine()
	abort(20)
	// Connections of the last sessions may be about to close.
	h.eventually("no more goroutines than before", func() bool { return runtime.NumGoroutine() < before+20 })
	if err := c.Health().Live(); err != nil {
		t.Error(err)
	}
	h.eventually("ready", func() bool { return c.Health().Ready() == nil })
}

// While an abandoned session leaves the group nothing is consumed, and health says so.
func TestNotReadyWhileLeaving(t *testing.T) {
	h := newHarness(t, 1)
	h.cfg.Delivery.Guarantee = "exactly_once"
	var c atomic.Pointer[running]
	ready := make(chan error, 1)
	h.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, Err: kerr.InvalidTxnState,
		When: func(r kmsg.Request) bool { return r.(*kmsg.EndTxnRequest).Commit }})
	h.kafka.ControlKey(int16(kmsg.LeaveGroup), func(kmsg.Request) (kmsg.Response, error, bool) {
		ready <- c.Load().Health().Ready()
		return nil, nil, false
	})
	c.Store(h.run(doubler()))
	h.produce(0, event(1, "a"))
	if err := <-ready; err == nil || !strings.Contains(err.Error(), "partitions") {
		t.Errorf("ready while it leaves the group: %v", err)
	}
	h.eventually("committed, ready again", func() bool { return h.committed(0) == 1 && c.Load().Health().Ready() == nil })
}

// A stop in the middle of a transaction ends it: readers do not wait for the brokers to.
func TestStopInATransaction(t *testing.T) {
	h := newHarness(t, 1)
	h.cfg.Delivery.Guarantee, h.cfg.Delivery.DrainTimeout = "exactly_once", 4*time.Second
	h.cfg.Input.Entity = "user"
	c := h.run(doubler())
	h.produce(0, event(1, "a"))
	h.eventually("committed", func() bool { return h.committed(0) == 1 })
	open := func() int {
		listed, err := kadm.NewClient(h.client).ListTransactions(context.Background(), nil, []string{"Ongoing"})
		if err != nil {
			t.Fatal(err)
		}
		return len(listed)
	}
	h.redis.Close()
	h.produce(0, events(10, "a")...)
	h.eventually("a transaction waits for Redis", func() bool { return open() == 1 })
	if err := c.stop(); err != nil {
		t.Errorf("Run: %v", err)
	}
	if n := open(); n > 0 {
		t.Error("the transaction is still open")
	}
	if h.said.times("its events will be read again") != 1 {
		t.Error("nothing is said of its events")
	}
	if at := h.committed(0); at != 1 {
		t.Errorf("committed %d, want 1", at)
	}
}

// A stop does not wait for the transaction of a dead member.
func TestStopWhileATransactionIsWaitedFor(t *testing.T) {
	h := newHarness(t, 1)
	h.cfg.Delivery.Guarantee, h.cfg.Delivery.DrainTimeout = "exactly_once", time.Minute
	h.dangling("scry/test/dead", 5)
	f := h.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.ListTransactions}, Err: kerr.CoordinatorNotAvailable, Count: -1})
	c := h.run(doubler())
	h.eventually("the transaction is waited for", func() bool { return f.Hits() > 0 })
	if err := c.stop(); err != nil {
		t.Errorf("Run: %v", err)
	}
	if h.said.times("a transaction still holds the positions") > 0 {
		t.Error("it was waited for to the end")
	}
}

// What brokers refused is remembered for the session that reads it again, and no longer.
func TestRefusalsAreForgotten(t *testing.T) {
	h := newHarness(t, 1)
	c := h.idle()
	refuse := func(partition int32, offset int64) {
		c.transactional.refuse(&kgo.Record{Topic: "in", Partition: partition, Offset: offset}, refusal{})
	}
	want := func(when string, left ...eventID) {
		t.Helper()
		if got := slices.Collect(maps.Keys(c.transactional.refused)); len(got) != len(left) || len(left) > 0 && got[0] != left[0] {
			t.Errorf("%s: %v, want %v", when, got, left)
		}
	}
	assign := func(s *session, partition int32, next int64) checkpoint.Partition {
		p := checkpoint.Partition{Topic: "in", ID: partition}
		if err := s.assign(p, checkpoint.Position{Next: next}, 10, true); err != nil {
			t.Fatal(err)
		}
		return p
	}
	in5 := eventID{topicPartition{"in", 0}, 5}

	s := &session{consumer: c}
	assign(s, 0, 0)
	refuse(0, 5)
	s.abandon()
	s.abandon()
	want("its session was given up", in5)

	s = &session{consumer: c}
	p := assign(s, 0, 5)
	want("it is to be read again", in5)
	s.forget([]checkpoint.Partition{p}, "revoked")
	want("another member has the partition")

	refuse(0, 5)
	assign(s, 0, 6)
	want("another member has read it")

	refuse(0, 7)
	s.abandon()
	s = &session{consumer: c}
	assign(s, 1, 0)
	s.abandon()
	want("the next session was not given the partition")
}

// The group forgets a member, and the client learns it when it joins in a rebalance: then
// it has another member id and its old partitions, which somebody else has moved.
func TestMemberThatWasForgottenReadsItsPositionsAgain(t *testing.T) {
	h := newHarness(t, 1)
	c := h.run(doubler())
	h.produce(0, events(10, "a")...)
	h.eventually("committed", func() bool { return h.committed(0) == 10 })
	h.whileForgotten(c, func() {
		h.produce(0, events(10, "others")...)
		h.moveGroup(20, "")
	})
	h.produce(0, events(10, "b")...)
	h.eventually("committed", func() bool { return h.committed(0) == 30 })
	if out := h.read("out", 20); len(out) != 20 {
		t.Errorf("%d predictions, want 20: what others have committed is predicted again", len(out))
	}
}

// A group that has lost what this process had committed is believed, and it is told; that
// somebody has moved it back is not.
func TestPositionsThatBrokersLose(t *testing.T) {
	for _, by := range []struct {
		who       string
		eventTime int64
	}{{"the brokers", 1}, {"somebody", 0}} {
		t.Run("moved back by "+by.who, func(t *testing.T) {
			h := newHarness(t, 1)
			c := h.run(doubler())
			h.produce(0, events(20, "a")...)
			h.eventually("committed", func() bool { return h.committed(0) == 20 })
			id := h.kafka.TopicInfo("in").TopicID
			h.whileForgotten(c, func() {
				h.moveGroup(5, checkpoint.Encode(checkpoint.Metadata{TopicID: id, Born: 1, EventTime: by.eventTime}))
			})
			h.produce(0, events(10, "b")...)
			h.eventually("committed", func() bool { return h.committed(0) == 30 })
			if out := h.read("out", 45); len(out) != 45 {
				t.Errorf("%d predictions, want 45", len(out))
			}
			if said := h.said.times("the group has lost a position"); (said > 0) != (by.eventTime > 0) {
				t.Errorf("a loss was told %d times", said)
			}
		})
	}
}

// A group whose commits are gone is not born anew while a process knows better: start:
// latest would skip what came meanwhile.
func TestBirthOutlivesCommits(t *testing.T) {
	h := newHarness(t, 1)
	h.cfg.Input.Start = "latest"
	c := h.run(doubler())
	h.eventually("it has begun", func() bool { return h.committed(0) == 0 })
	h.whileForgotten(c, func() {
		h.produce(0, events(10, "a")...)
		if _, err := kadm.NewClient(h.client).DeleteGroups(context.Background(), "test"); err != nil {
			t.Fatal(err)
		}
	})
	h.eventually("committed", func() bool { return h.committed(0) == 10 })
	if out := h.read("out", 10); len(out) != 10 {
		t.Errorf("%d predictions, want 10", len(out))
	}
}

// The client takes a connection that is closed at once for one that nothing mends.
func TestIdentifyIsTriedAgain(t *testing.T) {
	h := newHarness(t, 1)
	client, err := kgo.NewClient(kgo.SeedBrokers(h.brokers...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var closed, refused atomic.Int32
	h.kafka.ControlKey(int16(kmsg.ApiVersions), func(kmsg.Request) (kmsg.Response, error, bool) {
		h.kafka.KeepControl()
		return nil, errors.New("closed"), closed.Add(1) <= 4
	})
	s := &session{consumer: h.idle(), client: client}
	s.identify(t.Context())
	if id, _, err := client.ProducerID(t.Context()); err != nil || id < 0 || closed.Load() <= 4 {
		t.Errorf("producer id %d, %v, after %d connections", id, err, closed.Load())
	}

	other, err := kgo.NewClient(kgo.SeedBrokers(h.brokers...))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	h.kafka.ControlKey(int16(kmsg.InitProducerID), func(req kmsg.Request) (kmsg.Response, error, bool) {
		h.kafka.KeepControl()
		resp := req.ResponseKind().(*kmsg.InitProducerIDResponse)
		resp.ErrorCode = kerr.ClusterAuthorizationFailed.Code
		refused.Add(1)
		return resp, nil, true
	})
	s.client = other
	s.identify(t.Context())
	if n := refused.Load(); n != 1 {
		t.Errorf("asked %d times for what is not allowed: it is told with the first records, with what to grant", n)
	}
}

// whileForgotten lets something happen while the group does not know the consumer, which
// learns it afterwards and joins again.
func (h *harness) whileForgotten(c *running, f func()) {
	h.t.Helper()
	// Its heartbeats are answered as if nothing were, and it reads nothing.
	var forgotten, rebalance, reads atomic.Bool
	forgotten.Store(true)
	h.kafka.ControlKey(int16(kmsg.Heartbeat), func(req kmsg.Request) (kmsg.Response, error, bool) {
		if !forgotten.Load() {
			return nil, nil, false
		}
		h.kafka.KeepControl()
		resp := req.ResponseKind().(*kmsg.HeartbeatResponse)
		if rebalance.Load() {
			forgotten.Store(false)
			resp.ErrorCode = kerr.RebalanceInProgress.Code
		}
		return resp, nil, true
	})
	h.kafka.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		h.kafka.KeepControl()
		return req.ResponseKind(), nil, !reads.Load()
	})
	before, _ := c.client.Load().GroupMetadata()
	h.evict(before)
	f()
	rebalance.Store(true)
	h.eventually("it has joined again", func() bool {
		now, _ := c.client.Load().GroupMetadata()
		return now != "" && now != before
	})
	reads.Store(true)
}

// moveGroup commits a position of in-0, as nobody's member.
func (h *harness) moveGroup(next int64, metadata string) {
	h.t.Helper()
	var at kadm.Offsets
	at.Add(kadm.Offset{Topic: "in", At: next, LeaderEpoch: -1, Metadata: metadata})
	if err := kadm.NewClient(h.client).CommitAllOffsets(context.Background(), "test", at); err != nil {
		h.t.Fatal(err)
	}
}
