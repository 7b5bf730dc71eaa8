package main

import (
	"fmt"
	"runtime"
	"strings"
	"time"
)

// A benchReport is what a bench measured. A part that was left out is nil.
type benchReport struct {
	Version    string     `json:"version"`
	Cores      int        `json:"cores"`
	Model      string     `json:"model"`
	Events     string     `json:"events"` // the file, or shop
	Partitions int32      `json:"partitions"`
	Kafka      string     `json:"kafka"` // embedded, or addresses
	Redis      string     `json:"redis"` // embedded, none, or an address
	CatchUp    *benchPart `json:"catch_up,omitempty"`
	Steady     *benchPart `json:"steady,omitempty"`
	PeakBytes  int64      `json:"peak_memory_bytes"` // of the process

	Scoring *benchScoring `json:"scoring"`
}

// A benchPart is one part of a bench. What cannot be said is 0: the commit time when none
// fell into the part, CPU time where the system does not tell.
type benchPart struct {
	Produced    uint64  `json:"events"`
	Predicted   uint64  `json:"predicted"`
	Tombstones  uint64  `json:"tombstones"`
	DeadLetters uint64  `json:"dead_letters"`
	Seconds     float64 `json:"seconds"`
	Rate        float64 `json:"events_per_second"`
	CPU         float64 `json:"cpu_us_per_event"`      // of the whole process
	Rest        float64 `json:"rest_cpu_us_per_event"` // CPU without benchScoring's
	CoresUsed   float64 `json:"cores_used"`            // by the whole process

	// By the clock, the first three added up over cores.
	Batches uint64  `json:"batches"`
	Extract float64 `json:"extract_ns_per_event"`
	Predict float64 `json:"predict_ns_per_event"`
	Encode  float64 `json:"encode_ns_per_event"`
	Produce float64 `json:"produce_ms_per_batch"`
	Cache   float64 `json:"cache_ms_per_batch"`
	Commits uint64  `json:"commits"`
	Commit  float64 `json:"commit_ms"`

	Latency *benchLatency `json:"latency,omitempty"`
}

// A benchLatency is the time from an event's append to its prediction being durable.
type benchLatency struct {
	Asked  float64 `json:"asked_events_per_second"`
	P50    float64 `json:"p50_ms"`
	P90    float64 `json:"p90_ms"`
	P99    float64 `json:"p99_ms"`
	P999   float64 `json:"p999_ms"`
	Max    float64 `json:"max_ms"`
	Behind uint64  `json:"behind"` // events not yet done when the last was produced
}

// newCatchUp is the part that began with the consumer. Some events may have been done
// before it was first looked at: they count, but not in what is timed by the clock.
func newCatchUp(start, end snapshot) *benchPart {
	p := newPart(snapshot{}, end)
	p.clock(start, end)
	return p
}

// newSteady is the part from start to end; the events that were behind are done by last.
func newSteady(rate float64, start, end, last snapshot, behind uint64) *benchPart {
	p := newPart(start, last)
	p.clock(start, end)
	d := last.latency.since(start.latency)
	ms := func(q float64) float64 { return milliseconds(d.quantile(q)) }
	p.Latency = &benchLatency{Asked: rate, P50: ms(.5), P90: ms(.9), P99: ms(.99), P999: ms(.999), Max: ms(1), Behind: behind}
	return p
}

// newPart takes in what was counted between two snapshots.
func newPart(start, end snapshot) *benchPart {
	p := &benchPart{
		Produced:    end.done() - start.done(),
		Predicted:   end.totals.Predicted - start.totals.Predicted,
		Tombstones:  end.totals.Tombstones - start.totals.Tombstones,
		DeadLetters: end.totals.DeadLetters - start.totals.DeadLetters,
	}
	took := func(stage string) stageTime {
		a, b := start.stages[stage], end.stages[stage]
		return stageTime{b.n - a.n, b.sum - a.sum}
	}
	event := func(stage string) float64 {
		return over(float64(took(stage).sum.Nanoseconds()), float64(p.Produced))
	}
	each := func(stage string) float64 {
		return over(milliseconds(took(stage).sum), float64(took(stage).n))
	}
	p.Batches, p.Commits = took("extract").n, took("commit").n
	p.Extract, p.Predict, p.Encode = event("extract"), event("predict"), event("encode")
	p.Produce, p.Cache, p.Commit = each("produce"), each("cache"), each("commit")
	return p
}

// clock takes in what the process did between two snapshots.
func (p *benchPart) clock(start, end snapshot) {
	took, cpu, done := end.at.Sub(start.at).Seconds(), (end.cpu - start.cpu).Seconds(), float64(end.done()-start.done())
	p.Seconds, p.Rate = took, over(done, took)
	p.CPU, p.CoresUsed = over(cpu*1e6, done), over(cpu, took)
}

// over is 0 of nothing.
func over(sum, n float64) float64 {
	if n == 0 {
		return 0
	}
	return sum / n
}

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1e3 }

// describe fills in what was measured, and where.
func (r *benchReport) describe(f pipelineFlags, w workload) {
	r.Version, r.Cores, r.Model, r.Partitions = version(), runtime.GOMAXPROCS(0), w.title, f.partitions
	r.Events, r.Kafka, r.Redis = "shop", "embedded", "embedded"
	if f.file != "" {
		r.Events = f.file
	}
	if len(f.brokers) > 0 {
		r.Kafka, r.Redis = strings.Join(f.brokers, ","), "none"
	}
	if f.redis != "" {
		r.Redis = w.config.Cache.URL.MaskedURL()
	}
}

// process names what runs in the process, whose CPU time and memory are measured.
func (r *benchReport) process(also ...string) string {
	who := []string{"scry"}
	if r.Kafka == "embedded" {
		who = append(who, "Kafka")
	}
	if r.Redis == "embedded" {
		who = append(who, "Redis")
	}
	who = append(who, also...)
	if len(who) == 1 {
		return "scry alone"
	}
	last := len(who) - 1
	return strings.Join(who[:last], ", ") + " and " + who[last]
}

// print writes the report as tables.
func (r *benchReport) print(t terminal) {
	row := func(what, value, note string) {
		line := fmt.Sprintf("  %-13s %s   %s", what, t.paint(bold, fmt.Sprintf("%12s", value)), t.paint(dim, note))
		fmt.Fprintln(t, strings.TrimRight(line, " "))
	}
	fmt.Fprintf(t, "%s: model %s, events of %s, %s, %s\n",
		t.paint(bold, "scry bench"), t.paint(bold, printable(r.Model)), printable(r.Events), plural(int(r.Partitions), "partition"), plural(r.Cores, "core"))
	fmt.Fprintf(t, "%s\n", t.paint(dim, "Kafka "+r.Kafka+", Redis "+r.Redis))
	if p := r.CatchUp; p != nil {
		fmt.Fprintf(t, "\nCatching up with %s events\n\n", count(p.Produced))
		row("events/s", count(int64(p.Rate+.5)), "")
		row("cores used", fmt.Sprintf("%.2f", p.CoresUsed), r.process())
		p.stages(row)
	}
	if p := r.Steady; p != nil {
		l := p.Latency
		fmt.Fprintf(t, "\nAt %s events/s for %.1f s\n\n", count(int64(l.Asked+.5)), p.Seconds)
		row("latency p50", fmt.Sprintf("%.1f ms", l.P50), latencyNote)
		row("p90", fmt.Sprintf("%.1f ms", l.P90), "")
		row("p99", fmt.Sprintf("%.1f ms", l.P99), "")
		row("p99.9", fmt.Sprintf("%.1f ms", l.P999), "")
		row("max", fmt.Sprintf("%.1f ms", l.Max), "")
		row("behind", count(l.Behind), "events not yet done when the last was produced")
		row("cores used", fmt.Sprintf("%.2f", p.CoresUsed), r.process("the producer"))
		p.stages(row)
	}
	r.printScoring(t, row)
	fmt.Fprintln(t)
	row("peak memory", size(int(r.PeakBytes)), r.process("the producer"))
}

// stages writes where the time goes.
func (p *benchPart) stages(row func(what, value, note string)) {
	row("batch", fmt.Sprintf("%.0f", over(float64(p.Produced), float64(p.Batches))), "events on average")
	row("extract", nanoseconds(p.Extract), "an event, by the clock")
	row("predict", nanoseconds(p.Predict), "")
	row("encode", nanoseconds(p.Encode), "")
	row("produce", fmt.Sprintf("%.2f ms", p.Produce), "a batch, until acknowledged")
	if p.Cache > 0 {
		row("cache", fmt.Sprintf("%.2f ms", p.Cache), "a batch")
	}
	if p.Commits > 0 {
		row("commit", fmt.Sprintf("%.2f ms", p.Commit), "a commit")
	}
	if p.DeadLetters > 0 {
		row("dead letters", count(p.DeadLetters), "events that cannot be scored: see scry validate --event")
	}
	if p.Tombstones > 0 {
		row("tombstones", count(p.Tombstones), "")
	}
}
