package stream

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A ledger holds what a topic must contain at the least once.
type ledger map[string]int

// TestMembersComeAndGo has members join and leave with batches in flight and a slow
// cache: no event is lost, no commit passes what was delivered, none goes back.
func TestMembersComeAndGo(t *testing.T) {
	const partitions = 6
	h := newHarness(t, partitions)
	h.cfg.Input.Entity = "user"
	h.cfg.Delivery.MaxInFlight = 200_000
	h.slow = 20 * time.Millisecond
	watch := h.watchCommits()

	stop := make(chan struct{})
	var wg sync.WaitGroup
	var produced [partitions]int
	wg.Go(func() { // a steady stream of events
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			p := i % partitions
			h.produce(int32(p), events(10, fmt.Sprintf("u%d", i%50))...)
			produced[p] += 10
		}
	})
	members := []*running{h.run(doubler())}
	for range 12 {
		if len(members) < 3 && rand.IntN(2) == 0 || len(members) == 1 {
			members = append(members, h.run(doubler()))
		} else {
			i := rand.IntN(len(members))
			if err := members[i].stop(); err != nil {
				t.Errorf("Run: %v", err)
			}
			members = append(members[:i], members[i+1:]...)
		}
		time.Sleep(time.Duration(rand.IntN(600)) * time.Millisecond) // the churn itself: its times are random, not awaited
	}
	close(stop)
	wg.Wait()
	total := 0
	for p := range partitions {
		total += produced[p]
		h.eventually(fmt.Sprintf("partition %d is committed to its end", p), func() bool { return h.committed(int32(p)) == int64(produced[p]) })
	}
	seen := h.distinct("out", total)
	for p := range partitions {
		for o := range produced[p] {
			if id := fmt.Sprintf("in-%d-%d", p, o); seen[id] == 0 {
				t.Fatalf("%s is lost", id)
			}
		}
	}
	watch(t)
	t.Logf("%d events, %d repeats", total, len(seen)-total)
}

// distinct reads a topic until it has n different ids, and counts each.
func (h *harness) distinct(topic string, n int) ledger {
	h.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(h.brokers...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		h.t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	seen := ledger{}
	for len(seen) < n && ctx.Err() == nil {
		cl.PollFetches(ctx).EachRecord(func(r *kgo.Record) { seen[idOf(r.Value)]++ })
	}
	return seen
}

// idOf is the id of a prediction.
func idOf(value []byte) string {
	const start = len(`{"id":"`)
	for i := start; i < len(value); i++ {
		if value[i] == '"' {
			return string(value[start:i])
		}
	}
	return ""
}

// A stop while partitions are given back, with nothing that can become durable: the two
// waits must not add up.
func TestStopInTheMidstOfARevoke(t *testing.T) {
	atLeastOnce(t)
	h := newHarness(t, 2)
	h.cfg.Input.Entity = "user"
	h.cfg.Delivery.DrainTimeout = 4 * time.Second
	a := h.run(doubler())
	h.eventually("all are assigned", func() bool { return len(a.Lag()) == 2 })
	h.redis.Close()
	h.produce(0, events(10, "a")...)
	h.produce(1, events(10, "a")...)
	h.read("out", 20)
	h.cfg.Cache.URL = ""
	h.run(doubler())
	h.eventually("partitions are being given back", func() bool {
		var m dto.Metric
		return a.metrics.rebalances.Write(&m) == nil && m.GetCounter().GetValue() == 1
	})
	began := time.Now()
	if err := a.stop(); err != nil {
		t.Errorf("Run: %v", err)
	}
	if took := time.Since(began); took > h.cfg.Delivery.DrainTimeout+time.Second {
		t.Errorf("stopping took %v, the drain deadline is %v", took, h.cfg.Delivery.DrainTimeout)
	}
}

// Partitions are given back at once when what is in flight in them is held: by a hold that
// begins while they are waited for, too.
func TestRevokeMeetsAHold(t *testing.T) {
	h := newHarness(t, 2)
	h.cfg.Delivery.DrainTimeout = 90 * time.Second // longer than eventually waits
	m := &stuckModel{entered: make(chan struct{}), release: make(chan struct{})}
	h.produce(0, event(1, "a"))
	h.produce(1, event(1, "a"))
	a := h.run(withModel(m))
	<-m.entered
	b := h.run(doubler())
	if guarantee() == "at_least_once" { // else it is not asked while the transaction is open
		h.eventually("partitions are being given back", func() bool { return valueOf(a.metrics.rebalances) == 1 })
	}
	close(m.release)
	h.eventually("the other member has a partition", func() bool { return len(b.Lag()) > 0 })
}

// stuckModel fails, when it is told to.
type stuckModel struct {
	halfModel
	once             sync.Once
	entered, release chan struct{}
}

func (m *stuckModel) Predict([]float64, []float64) error {
	m.once.Do(func() { close(m.entered) })
	<-m.release
	return errors.New("weights are gone")
}

// watchCommits notes every commit of the group and returns a check that none went back.
func (h *harness) watchCommits() func(t *testing.T) {
	var mu sync.Mutex
	last := map[string]int64{}
	var faults []string
	h.kafka.ControlKey(int16(kmsg.OffsetCommit), func(req kmsg.Request) (kmsg.Response, error, bool) {
		h.kafka.KeepControl()
		mu.Lock()
		defer mu.Unlock()
		for _, t := range req.(*kmsg.OffsetCommitRequest).Topics {
			for _, p := range t.Partitions {
				k := fmt.Sprintf("%x-%d", t.TopicID, p.Partition)
				if p.Offset < last[k] {
					faults = append(faults, fmt.Sprintf("partition %d went back from %d to %d", p.Partition, last[k], p.Offset))
				}
				last[k] = max(last[k], p.Offset)
			}
		}
		return nil, nil, false
	})
	return func(t *testing.T) {
		mu.Lock()
		defer mu.Unlock()
		for _, f := range faults {
			t.Error(f)
		}
	}
}
