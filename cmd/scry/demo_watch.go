package main

import (
	"context"
	"fmt"
	"time"

	"scry/stream"
)

// A watch looks at a running demo each second and adds up at its end.
type watch struct {
	service *service
	traffic *traffic
	keys    keyCounter
	screen  *screen

	opened time.Time
	last   reading
}

// A reading is what was counted up to a moment.
type reading struct {
	at      time.Time
	done    uint64
	latency distribution
}

// A status is what a second looked like.
type status struct {
	since    time.Duration
	rate     float64
	p50, p99 time.Duration
	lag      int64
	keys     int64 // -1: unknown
	dead     uint64
	sample   []byte
	notReady error
}

// await waits until the consumer knows where it starts: events produced earlier would not
// be read. It reports whether that came before ctx or the consumer ended.
func (w *watch) await(ctx context.Context, stopped <-chan struct{}) bool {
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	second := time.NewTicker(time.Second)
	defer second.Stop()
	w.opened = time.Now()
	w.last = reading{at: w.opened}
	for len(w.service.consumer.Lag()) == 0 {
		select {
		case <-ctx.Done():
			return false
		case <-stopped:
			return false
		case <-second.C:
			w.tick()
		case <-look.C:
		}
	}
	return true
}

// shop keeps the shop open until ctx or the duration ends, or the consumer stops. An
// error is why the producer cannot go on.
func (w *watch) shop(ctx context.Context, duration time.Duration, stopped <-chan struct{}) error {
	w.opened = time.Now()
	w.last.at = w.opened
	open, shut := context.WithCancel(ctx)
	defer shut()
	if duration > 0 {
		var end context.CancelFunc
		open, end = context.WithDeadline(open, w.opened.Add(duration))
		defer end()
	}
	closed := make(chan error, 1)
	go func() { closed <- w.traffic.run(open, w.opened) }()

	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for {
		select {
		case err := <-closed:
			return err
		case <-stopped:
			shut()
			return <-closed
		case <-second.C:
			w.tick()
		case <-look.C:
			if sample := w.service.consumer.Stats().Sample(); sample != nil {
				w.screen.first(sample, time.Since(w.opened))
				look.Stop()
			}
		}
	}
}

// finish waits until every event is done, the timeout at the longest.
func (w *watch) finish(timeout time.Duration, stopped <-chan struct{}) {
	deadline := time.After(timeout)
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for w.done() < w.traffic.acked.Load() {
		select {
		case <-look.C:
		case <-deadline:
			return
		case <-stopped:
			return
		}
	}
}

func (w *watch) done() uint64 {
	t := w.service.consumer.Stats().Totals()
	return t.Predicted + t.Tombstones + t.DeadLetters
}

func (w *watch) lag() (records int64) {
	for _, l := range w.service.consumer.Lag() {
		records += l.Records
	}
	return records
}

func (w *watch) tick() {
	now := reading{at: time.Now(), done: w.done(), latency: readLatency(w.service.metrics)}
	latency := now.latency.since(w.last.latency)
	w.screen.status(status{
		since:    now.at.Sub(w.opened),
		rate:     float64(now.done-w.last.done) / now.at.Sub(w.last.at).Seconds(),
		p50:      latency.quantile(.5),
		p99:      latency.quantile(.99),
		lag:      w.lag(),
		keys:     w.keys.count(),
		dead:     w.service.consumer.Stats().Totals().DeadLetters,
		sample:   w.service.consumer.Stats().Sample(),
		notReady: w.service.consumer.Health().Ready(),
	})
	w.last = now
}

// A summary is a demo's end: what went in and what came out.
type summary struct {
	took     time.Duration
	produced uint64
	poison   uint64 // of those, cut off on purpose
	out      stream.Totals
	p50, p99 time.Duration
	keys     int64
}

// sum prints the summary. Its error says that something is missing, or there is too much.
func (w *watch) sum() error {
	latency := readLatency(w.service.metrics)
	s := summary{
		produced: w.traffic.acked.Load(),
		poison:   w.traffic.poisoned.Load(),
		out:      w.service.consumer.Stats().Totals(),
		p50:      latency.quantile(.5),
		p99:      latency.quantile(.99),
		keys:     w.keys.count(),
	}
	if !w.traffic.closed.IsZero() {
		s.took = w.traffic.closed.Sub(w.opened)
	}
	w.screen.summary(s)
	return s.check()
}

// check returns an error unless everything that went in came out once.
func (s summary) check() error {
	in, out := s.produced, s.out.Predicted+s.out.DeadLetters+s.out.Tombstones
	switch {
	case out < in:
		return fmt.Errorf("the counts do not add up: of %s events %s have no prediction and no dead letter; they were not done within the drain timeout",
			count(in), count(in-out))
	case out > in:
		return fmt.Errorf("the counts do not add up: %s predictions and dead letters for %s events; somebody else produces to %s, or a rebalance made it read some twice", count(out), count(in), demoEvents)
	}
	return nil
}
