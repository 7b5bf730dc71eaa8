package main

import (
	"context"
	"encoding/json"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"scry/internal/testenv"
)

// BenchmarkFailover kills a process while 1,000 events a second come in, and measures how
// long readers of the output wait: for the first prediction of the process that is started
// again under its kafka.instance, from its start on; and for one in every partition that
// the killed one had left to the other member, from the kill on.
func BenchmarkFailover(b *testing.B) {
	for _, guarantee := range []string{"at_least_once", "exactly_once"} {
		b.Run("restart/"+guarantee, func(b *testing.B) {
			f := newFailover(b, guarantee)
			m := f.start("--set", "kafka.instance=a")
			var waited time.Duration
			for b.Loop() {
				f.predicted(time.Now().Add(atRest), failoverPartitions)
				kill(m)
				began := time.Now()
				m = f.start("--set", "kafka.instance=a")
				f.predicted(began, 1)
				waited += time.Since(began)
			}
			b.ReportMetric(float64(waited.Milliseconds())/float64(b.N), "ms/restart")
		})
		b.Run("takeover/"+guarantee, func(b *testing.B) {
			f := newFailover(b, guarantee)
			dying, survivor := f.start(), f.start()
			var waited time.Duration
			for b.Loop() {
				f.eventually("each has half of the partitions", f.shared)
				f.predicted(time.Now().Add(atRest), failoverPartitions)
				kill(dying)
				killed := time.Now()
				f.predicted(killed, failoverPartitions)
				waited += time.Since(killed)
				dying, survivor = survivor, f.start()
			}
			b.ReportMetric(float64(waited.Milliseconds())/float64(b.N), "ms/takeover")
		})
	}
}

const (
	failoverPartitions = 4
	// atRest is how long a group runs before a member of it is killed: one that is killed
	// while it joins leaves a rebalance to its successor.
	atRest = 3 * time.Second
)

// A failover is a world with a steady load and a reader.
type failover struct {
	*world
	args []string

	mu     sync.Mutex
	newest map[string]time.Time // when scry made a prediction, by partition of the input
}

func newFailover(b *testing.B, guarantee string) *failover {
	events, _ := sharedEvents(b)
	w := newWorld(b, failoverPartitions)
	f := &failover{world: w, newest: map[string]time.Time{}}
	config := w.config(testenv.Shared(b) + "/models/osi-xgb")
	f.args = []string{"run", "-c", config, "--set", "delivery.guarantee=" + guarantee, "--set", "kafka.session_timeout=6s"}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			w.flood(events, 1000, 1)
		}
	})
	reader, err := kgo.NewClient(kgo.SeedBrokers(w.broker), kgo.ConsumeTopics(w.out), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		b.Fatal(err)
	}
	wg.Go(func() {
		for ctx.Err() == nil {
			reader.PollFetches(ctx).EachRecord(f.saw)
		}
	})
	b.Cleanup(func() { cancel(); wg.Wait(); reader.Close() })
	return f
}

func (f *failover) saw(r *kgo.Record) {
	var p prediction
	if err := json.Unmarshal(r.Value, &p); err != nil {
		f.t.Error(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.newest[p.ID[:strings.LastIndexByte(p.ID, '-')]] = r.Timestamp
}

// predicted waits until in so many partitions a prediction was made after a time.
func (f *failover) predicted(after time.Time, partitions int) {
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		f.mu.Lock()
		n := 0
		for _, at := range f.newest {
			if at.After(after) {
				n++
			}
		}
		f.mu.Unlock()
		if n >= partitions {
			return
		}
		if time.Now().After(deadline) {
			f.t.Fatalf("predictions in %d partitions after a minute, want %d", n, partitions)
		}
	}
}

func (f *failover) start(sets ...string) *exec.Cmd { return f.scry(append(f.args, sets...)...) }

func kill(m *exec.Cmd) {
	_ = m.Process.Kill()
	_ = m.Wait()
}

// shared reports whether two members have the partitions.
func (f *failover) shared() bool {
	groups, err := kadm.NewClient(f.client).DescribeGroups(context.Background(), f.in)
	if err != nil {
		f.t.Fatal(err)
	}
	members := 0
	for _, m := range groups[f.in].Members {
		if a, ok := m.Assigned.AsConsumer(); ok && len(a.Topics) > 0 && len(a.Topics[0].Partitions) == failoverPartitions/2 {
			members++
		}
	}
	return groups[f.in].State == "Stable" && members == 2
}
