package main

import (
	"fmt"
	"time"

	"scry/internal/batch"
)

// A progress is what score shows on standard error: on a terminal a line that says how
// far it is, with whatever else there is to say above it.
type progress struct {
	terminal
	size  int64 // of the inputs; 0: not known
	began time.Time
	drawn time.Time // zero: no line is there
	last  batch.Totals
}

func (p *progress) begin(inputs []batch.Input) {
	p.began = time.Now()
	p.size = 0
	for _, in := range inputs {
		if in.Size == 0 {
			p.size = 0
			return
		}
		p.size += in.Size
	}
}

// update draws the line anew, a few times a second.
func (p *progress) update(t batch.Totals) {
	p.last = t
	now := time.Now()
	if !p.redraw || now.Sub(p.began) < 500*time.Millisecond || now.Sub(p.drawn) < 200*time.Millisecond {
		return
	}
	p.drawn = now
	fmt.Fprint(p.terminal, "\r\x1b[K"+progressLine(t, p.size, now.Sub(p.began)))
}

// progressLine says how many events there were, how fast, and what is left to do.
func progressLine(t batch.Totals, size int64, took time.Duration) string {
	events := t.Predicted + t.Rejected
	line := fmt.Sprintf("%s  %s/s", plural(events, "event"), count(int64(float64(events)/took.Seconds())))
	if t.Rejected > 0 {
		line += fmt.Sprintf("  %s rejected", count(t.Rejected))
	}
	if size > 0 && t.Read > 0 {
		left := time.Duration(float64(took) * float64(size-t.Read) / float64(t.Read))
		line += fmt.Sprintf("  %d %%  %v left", 100*t.Read/size, left.Round(time.Second))
	}
	return line
}

// Write puts lines above the progress.
func (p *progress) Write(b []byte) (int, error) {
	p.end()
	return p.terminal.Write(b)
}

func (p *progress) end() {
	if !p.drawn.IsZero() {
		fmt.Fprint(p.terminal, "\r\x1b[K")
		p.drawn = time.Time{}
	}
}

func (p *progress) warn(text string) { fmt.Fprintln(p, "scry: "+text) }

func (p *progress) dependency(name string, err error) {
	if err == nil {
		p.warn(name + " works again")
		return
	}
	p.warn(fmt.Sprintf("%v; trying until it works", err))
}

// summary is the last line.
func (p *progress) summary(t batch.Totals, cached bool) {
	took := time.Since(p.began)
	line := fmt.Sprintf("%s, %s rejected, in %v", plural(t.Predicted, "prediction"), count(t.Rejected), took.Round(time.Millisecond))
	if cached {
		line += fmt.Sprintf("; cache: %s written, %s had a newer prediction, %s past cache.ttl",
			plural(t.Cached.Written, "key"), count(t.Cached.Stale), count(t.Cached.Expired))
	}
	p.warn(line)
}
