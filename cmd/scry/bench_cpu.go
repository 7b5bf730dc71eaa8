package main

import (
	"fmt"
	"runtime"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"scry/stream"
)

// A benchScoring is what scoring takes with nothing around it: events like the bench's, on
// one thread, after the consumer has ended.
type benchScoring struct {
	Events  int     `json:"events"`
	Clock   string  `json:"clock"` // thread_cpu, or wall where the system tells no thread's CPU time
	Extract float64 `json:"extract_us_per_event"`
	Predict float64 `json:"predict_us_per_event"`
	Encode  float64 `json:"encode_us_per_event"`
}

// mostScored bounds the events that are scored alone: enough for the third digit.
const mostScored = 50_000

// scoreAlone measures scoring for a report's last part. What the whole process took
// besides it is the rest.
func (r *benchReport) scoreAlone(w workload, t *traffic) error {
	produced := t.acked.Load()
	records := make([]*kgo.Record, min(produced, mostScored))
	now := time.Now()
	for i := range records {
		records[i], _ = t.next(nil, now)
		records[i].Timestamp = now
	}
	clock, name := threadCPU, "thread_cpu"
	if clock == nil {
		clock, name = func() time.Duration { return time.Since(now) }, "wall"
	}
	runtime.LockOSThread() // a thread's clock counts for whatever runs on it
	defer runtime.UnlockOSThread()
	took, err := stream.ScoreStages(w.config.Config, w.model, records, clock)
	if err != nil {
		return err
	}
	each := func(d time.Duration) float64 { return over(float64(d.Nanoseconds())/1e3, float64(len(records))) }
	s := &benchScoring{len(records), name, each(took.Extract), each(took.Predict), each(took.Encode)}
	r.Scoring = s
	for _, p := range []*benchPart{r.CatchUp, r.Steady} {
		if p != nil && p.CPU > 0 && name == "thread_cpu" {
			p.Rest = p.CPU - s.Extract - s.Predict - s.Encode
		}
	}
	return nil
}

// printScoring writes where the CPU time goes: of the first part, which is the busier.
func (r *benchReport) printScoring(t terminal, row func(what, value, note string)) {
	us := func(v float64) string { return fmt.Sprintf("%.2f us", v) }
	s, p, who := r.Scoring, r.CatchUp, r.process()
	if p == nil {
		p, who = r.Steady, r.process("the producer")
	}
	title, note := "CPU time of an event", "CPU time of a thread that does nothing else"
	if s.Clock == "wall" {
		title, note = "Scoring an event", "by the clock, as this system tells no thread's CPU time"
	}
	fmt.Fprintf(t, "\n%s\n\n", title)
	row("extract", us(s.Extract), fmt.Sprintf("%s; %s events, after the bench", note, count(s.Events)))
	row("predict", us(s.Predict), "")
	row("encode", us(s.Encode), "")
	if s.Clock != "wall" {
		row("rest", us(p.Rest), "the difference: fetch, produce, cache, commit, memory, and what else the process runs")
		row("in all", us(p.CPU), "of the process: "+who)
	}
}
