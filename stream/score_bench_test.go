package stream

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"scry/checkpoint"
	"scry/predictor"
	"scry/predictor/feature"
	"scry/predictor/forest"
)

// BenchmarkScore is the path from fetched record to encoded prediction and cache value,
// on one core: 20 features of a 450-byte event, 100 trees of depth 6.
func BenchmarkScore(b *testing.B) {
	s, batch := scoredBatch(b, 2048)
	at := formatTime(batch.scored)
	b.ReportAllocs()
	for b.Loop() {
		batch.reset(len(batch.records), batch.deployment, true)
		for c := range batch.chunkCount() {
			s.chunk(batch, c, &s.workers[0], at)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(batch.records)), "ns/event")
}

// TestScoringAllocatesNothingPerEvent: what allocations there are (the models' pools,
// which drop at random under the race detector) do not grow with the events.
func TestScoringAllocatesNothingPerEvent(t *testing.T) {
	allocs := func(n int) float64 {
		s, batch := scoredBatch(t, n)
		at := formatTime(batch.scored)
		return testing.AllocsPerRun(20, func() {
			batch.reset(len(batch.records), batch.deployment, true)
			for c := range batch.chunkCount() {
				s.chunk(batch, c, &s.workers[0], at)
			}
		})
	}
	const events = 16 * chunkRows
	if n := allocs(events); n > events/50 {
		t.Errorf("%v allocations for %d events", n, events)
	}
}

// scoredBatch is a batch that was scored once, so that its memory has grown.
func scoredBatch(tb testing.TB, n int) (*scorer, *batch) {
	tb.Helper()
	d := treesDeployment(tb)
	cfg := DefaultConfig()
	cfg.Cache.URL = "redis://localhost"
	s := newScorer(cfg)
	b := &batch{scored: time.Now()}
	for i := range n {
		b.records = append(b.records, &kgo.Record{Topic: "in", Offset: int64(i), Key: fmt.Appendf(nil, "u%d", i),
			Value: []byte(benchEvent(i)), Timestamp: time.Now()})
	}
	b.runs = []run{{to: n, source: newSource(checkpoint.Partition{Topic: "in"})}}
	b.reset(n, d, true)
	if err := s.score(b); err != nil {
		tb.Fatal(err)
	}
	for i := range b.rows {
		if b.rows[i].reject != nil {
			tb.Fatal(b.rows[i].reject.err)
		}
	}
	return s, b
}

var benchSections = []string{"page", "session", "device", "geo"}

// benchEvent has four objects of five numbers, with some text around.
func benchEvent(i int) string {
	r := rand.New(rand.NewPCG(uint64(i), 7))
	var s strings.Builder
	fmt.Fprintf(&s, `{"event_id":"e%010d","user_id":"u_%d","ts":"2026-11-24T10:%02d:%02d.%03dZ","type":"page_view"`, i, r.IntN(200000), i/60%60, i%60, i%1000)
	for _, section := range benchSections {
		fmt.Fprintf(&s, `,"%s":{"name":"n%d"`, section, r.IntN(1000))
		for f := range 5 {
			fmt.Fprintf(&s, `,"f%d":%.2f`, f, r.Float64()*1000)
		}
		s.WriteByte('}')
	}
	s.WriteByte('}')
	return s.String()
}

// treesDeployment scores those events with 100 random trees of depth 6.
func treesDeployment(tb testing.TB) *predictor.Deployment {
	tb.Helper()
	d := &predictor.Deployment{Name: "bench", Version: "1", Labels: []string{"no", "yes"}, Threshold: 0.5}
	for _, section := range benchSections {
		for f := range 5 {
			name := fmt.Sprintf("%s.f%d", section, f)
			d.Features = append(d.Features, feature.Feature{Name: name, Path: name, Required: true})
		}
	}
	var err error
	if d.Extractor, err = feature.NewJSON(d.Features, feature.JSONConfig{EventTime: "ts"}); err != nil {
		tb.Fatal(err)
	}
	e := &forest.Ensemble{Library: "xgboost", Inputs: make([]forest.Input, len(d.Features)), Outputs: []string{"score"},
		Groups: 1, Base: []float64{0}, Average: 1, Scale: 1, Link: forest.Sigmoid}
	r := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		e.Trees = append(e.Trees, randomTree(r, 6, len(d.Features)))
	}
	m, err := forest.Compile(e)
	if err != nil {
		tb.Fatal(err)
	}
	d.Model = treesModel{m}
	return d
}

func randomTree(r *rand.Rand, depth, features int) forest.Tree {
	t := forest.Tree{Weight: 1}
	inner := 1<<depth - 1
	for i := range inner {
		n := forest.Node{Feature: int32(r.IntN(features)), Threshold: float64(float32(r.Float64() * 1000)), Set: -1}
		n.Left, n.Right = int32(2*i+1), int32(2*i+2)
		if 2*i+1 >= inner {
			n.Left, n.Right = ^int32(2*i+1-inner), ^int32(2*i+2-inner)
		}
		t.Nodes = append(t.Nodes, n)
	}
	for range inner + 1 {
		t.Leaves = append(t.Leaves, forest.Leaf{Value: float64(float32(r.NormFloat64() / 20))})
	}
	return t
}

type treesModel struct{ *forest.Model }

func (m treesModel) Inputs() []string { return make([]string, len(m.Model.Inputs())) }
