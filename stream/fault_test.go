package stream

import (
	"context"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"scry/internal/faults"
)

// TestFaults injects each fault of the table into brokers or network while a workload of
// known truth runs, with both guarantees and both group protocols (each with one of them,
// unless FAULTS=all), and has what came of it judged by every invariant of
// internal/faults. It runs by the clock: in a synctest bubble
// the client's mutexes, and that of commits, would stop it.
func TestFaults(t *testing.T) {
	slots := make(chan struct{}, 4) // trials wait most of their time
	var wg sync.WaitGroup
	for _, f := range faultTable {
		for _, guarantee := range []string{"at_least_once", "exactly_once"} {
			if f.of != "" && f.of != guarantee {
				continue
			}
			for _, protocol := range []string{"classic", "consumer"} {
				if os.Getenv("FAULTS") != "all" && (guarantee == least) != (protocol == "classic") {
					continue
				}
				wg.Go(func() {
					slots <- struct{}{}
					defer func() { <-slots }()
					t.Run(f.name+"/"+guarantee+"/"+protocol, func(t *testing.T) { newTrial(t, guarantee, protocol).run(f) })
				})
			}
		}
	}
	wg.Wait()
}

// A fault is a named case: docs/delivery.md lists the same names.
type fault struct {
	name    string
	of      string        // the one guarantee it is for; empty: both
	set     func(*Config) // what it needs
	expired bool          // as in faults.History
	refuses bool          // predictions
	inject  func(*trial)  // breaks things and returns when they are whole again
}

// A trial is one run of a fault.
type trial struct {
	*harness
	fault   fault
	load    *load
	witness *witness
	members []*running
}

const (
	trialPartitions = 4
	trialUsers      = 32
)

func newTrial(t *testing.T, guarantee, protocol string) *trial {
	w := &trial{harness: newHarness(t, trialPartitions, kfake.NumBrokers(3),
		kfake.BrokerConfigs(map[string]string{"group.consumer.heartbeat.interval.ms": "100", "group.consumer.session.timeout.ms": "10000"}))}
	w.stableByPartition()
	w.wire = newWire()
	w.cfg.Delivery.Guarantee, w.cfg.Kafka.Protocol = guarantee, protocol
	w.cfg.Input.Entity = "user"
	w.cfg.Output.Compression = "none" // the wire reads along
	w.load = &load{h: w.harness}
	w.witness = newWitness(w.harness)
	return w
}

// run brings workload and members up, injects the fault, lets the workload go on for a
// while, and judges what is there when all of it is done.
func (w *trial) run(f fault) {
	w.t.Helper()
	w.fault = f
	if f.set != nil {
		f.set(&w.cfg)
	}
	w.load.start()
	defer w.load.stop()
	w.join()
	w.join()
	w.eventually("every partition has predictions", func() bool { return w.witness.busy() >= trialPartitions })

	fault := faults.Fault{Name: f.name, Begin: time.Now()}
	f.inject(w)
	fault.End = time.Now()
	more := w.load.sent.Load() + 100
	w.eventually("the workload goes on", func() bool { return w.load.sent.Load() > more })
	w.load.stop()
	patience(func() bool { return w.witness.committed(w.load.ends()) })
	for _, m := range w.members {
		if err := m.stop(); err != nil {
			w.t.Errorf("Run: %v", err)
		}
	}
	patience(w.witness.through)
	w.judge(fault)
}

// patience waits for a state, in vain perhaps: the invariants say what is amiss then.
func patience(ok func() bool) {
	for deadline := time.Now().Add(30 * time.Second); !ok() && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
}

func (w *trial) judge(f faults.Fault) {
	w.t.Helper()
	w.witness.stop()
	h := w.witness.history
	h.ExactlyOnce, h.Expired = w.cfg.Delivery.Guarantee == "exactly_once", w.fault.expired
	h.Input, h.Faults = w.load.events, []faults.Fault{f}
	for i := range h.Input { // a whole batch is refused with a prediction that is too large
		h.Input[i].Refused = w.fault.refuses && w.witness.refused[h.Input[i].Source]
	}
	w.wire.mu.Lock()
	defer w.wire.mu.Unlock()
	for i := range h.Output {
		h.Output[i].Appended = w.wire.acked[h.Output[i].Source.String()]
	}
	for i := range h.Dead {
		h.Dead[i].Appended = w.wire.acked[h.Dead[i].Source.String()]
	}
	found := faults.Check(&h)
	said := make(map[faults.Invariant]int)
	for _, v := range found {
		if said[v.Invariant]++; said[v.Invariant] <= 3 {
			w.t.Errorf("%.200s", v)
		}
	}
	distinct := make(map[faults.Source]bool)
	for _, p := range h.Output {
		distinct[p.Source] = true
	}
	w.t.Logf("%d events, %d predictions, %d repeats, %d dead letters, violations %v",
		len(h.Input), len(distinct), len(h.Output)-len(distinct), len(h.Dead), said)
}

// join starts a member.
func (w *trial) join() *running {
	m := w.harness.run(doubler())
	w.members = append(w.members, m)
	return m
}

// leave stops the oldest member.
func (w *trial) leave() {
	w.t.Helper()
	m := w.members[0]
	w.members = w.members[1:]
	if err := m.stop(); err != nil {
		w.t.Errorf("Run: %v", err)
	}
}

// answer has the brokers answer requests by an error, as often as Count says.
func (w *trial) answer(f kfake.Fault) {
	w.t.Helper()
	h := w.kafka.Fault(f)
	defer h.Remove()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := h.Wait(ctx, f.Count); err != nil {
		w.t.Errorf("%v was answered %v %d times, want %d", f.Keys, f.Err, h.Hits(), f.Count)
	}
}

// tamper does something to n answers that are on their way.
func (w *trial) tamper(key kmsg.Key, n int, with func(kmsg.Response) error) {
	w.t.Helper()
	select {
	case <-w.wire.tamper(key, n, with):
	case <-time.After(20 * time.Second):
		w.t.Errorf("fewer than %d answers to %s came", n, key.Name())
	}
}

// A load produces events whose fate is known: of every fifty one is poison, five are late.
type load struct {
	h       *harness
	sent    atomic.Int64
	stopped func()

	mu         sync.Mutex
	events     []faults.Event
	partitions int32 // 0: trialPartitions
}

func (l *load) start() {
	stop := make(chan struct{})
	var wg sync.WaitGroup
	l.stopped = sync.OnceFunc(func() {
		close(stop)
		wg.Wait()
		if err := l.h.client.Flush(context.Background()); err != nil {
			l.h.t.Errorf("workload: %v", err)
		}
	})
	wg.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond) // 300 events a second
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			for range 3 {
				l.produce(int(l.sent.Add(1)), "")
			}
		}
	})
}

func (l *load) stop() { l.stopped() }

// produce sends the n-th event, of an entity of the workload's unless it is given another.
func (l *load) produce(n int, entity string) {
	l.mu.Lock()
	partitions := max(l.partitions, trialPartitions)
	l.mu.Unlock()
	user := n * 7 % trialUsers
	at := time.Now().UnixMilli()
	if n%10 == 9 { // entities have newer ones by now
		at -= int64(n % 1000)
	}
	e := faults.Event{Source: faults.Source{Topic: "in", Partition: int32(user) % partitions, Time: at}, Entity: fmt.Sprint("u", user), At: time.Now()}
	if entity != "" {
		e.Entity = entity
	}
	value := fmt.Sprintf(`{"x":%g,"user":%q,"at":%d}`, math.Round(float64(n%1000))/1000, e.Entity, at)
	if e.Poison = n%50 == 25 && entity == ""; e.Poison {
		value = value[:len(value)/2]
	}
	r := &kgo.Record{Topic: "in", Partition: e.Partition, Value: []byte(value), Timestamp: time.UnixMilli(at)}
	l.h.client.Produce(context.Background(), r, func(r *kgo.Record, err error) {
		if err != nil {
			l.h.t.Errorf("the workload lost an event: %v", err)
			return
		}
		e.Offset = r.Offset
		l.mu.Lock()
		l.events = append(l.events, e)
		l.mu.Unlock()
	})
}

// ends is the position behind the last event, by partition.
func (l *load) ends() map[int32]int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	ends := make(map[int32]int64)
	for _, e := range l.events {
		ends[e.Partition] = max(ends[e.Partition], e.Offset+1)
	}
	return ends
}

// dead is how many huge events are dead letters.
func (l *load) dead(w *witness) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range l.events {
		if e.Entity == huge && slices.ContainsFunc(w.history.Dead, func(d faults.DeadLetter) bool { return d.Source == e.Source }) {
			n++
		}
	}
	return n
}

// huge is an entity whose prediction no topic of the case takes.
var huge = strings.Repeat("huge", 80_000)

// stableByPartition has the fake refuse stable offsets where a broker does: of partitions
// that an open transaction holds, not of the whole group.
func (w *trial) stableByPartition() {
	held := make(map[string][]int32) // by transactional id, those of its last transaction, which may have ended
	w.kafka.ControlKey(int16(kmsg.TxnOffsetCommit), func(r kmsg.Request) (kmsg.Response, error, bool) {
		w.kafka.KeepControl()
		req := r.(*kmsg.TxnOffsetCommitRequest)
		key := req.TransactionalID
		if last := held[key]; len(last) > 0 && last[0] != int32(req.ProducerEpoch) {
			held[key] = nil // each transaction has an epoch of its own
		}
		if held[key] == nil {
			held[key] = []int32{int32(req.ProducerEpoch)}
		}
		for _, p := range req.Topics[0].Partitions {
			held[key] = append(held[key], p.Partition)
		}
		return nil, nil, false
	})
	w.kafka.ControlKey(int16(kmsg.OffsetFetch), func(r kmsg.Request) (kmsg.Response, error, bool) {
		w.kafka.KeepControl()
		req := r.(*kmsg.OffsetFetchRequest)
		for _, g := range req.Groups {
			for _, t := range g.Topics {
				for _, h := range held {
					if slices.ContainsFunc(h[1:], func(p int32) bool { return slices.Contains(t.Partitions, p) }) {
						return nil, nil, false
					}
				}
			}
			req.RequireStable = req.RequireStable && g.Topics == nil
		}
		return nil, nil, false
	})
}
