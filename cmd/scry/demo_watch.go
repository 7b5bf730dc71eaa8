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

	waiting        int64 // events in the input before the shop opened
	opened, closed time.Time
	last           reading
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

// shop opens the shop as soon as the consumer has its partitions, and closes it when ctx
// or the duration ends. An error is why the consumer or the producer cannot go on.
func (w *watch) shop(ctx context.Context, duration time.Duration, stopped <-chan error) error {
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	second := time.NewTicker(time.Second)
	defer second.Stop()
	w.opened = time.Now()
	w.last = reading{at: w.opened}
	for w.service.consumer.Health().Ready() != nil {
		select {
		case <-ctx.Done():
			return nil
		case err := <-stopped:
			return err
		case <-second.C:
			w.tick()
		case <-look.C:
		}
	}
	w.waiting = w.lag()
	w.opened = time.Now()
	w.last.at = w.opened
	second.Reset(time.Second)

	open, shut := context.WithCancel(ctx)
	if duration > 0 {
		open, shut = context.WithTimeout(ctx, duration)
	}
	defer shut()
	sold := make(chan error, 1)
	go func() { sold <- w.traffic.run(open) }()
	for first := true; ; {
		if sample := w.service.consumer.Stats().Sample(); first && sample != nil {
			w.screen.first(sample, time.Since(w.opened))
			first = false
			look.Stop()
		}
		select {
		case <-look.C:
		case err := <-sold:
			w.closed = time.Now()
			return err
		case err := <-stopped:
			shut()
			<-sold
			return err
		case <-second.C:
			w.tick()
		}
	}
}

// finish waits until every event is done, the timeout at the longest.
func (w *watch) finish(timeout time.Duration) {
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for deadline := time.Now().Add(timeout); w.done() < w.due() && time.Now().Before(deadline); {
		<-look.C
	}
}

func (w *watch) due() uint64 { return uint64(w.waiting) + w.traffic.acked.Load() }

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
	took              time.Duration
	produced, waiting uint64
	poison            uint64
	out               stream.Totals
	p50, p99          time.Duration
	keys              int64
}

// sum prints the summary. Its error says that something is missing, or there is too much.
func (w *watch) sum() error {
	latency := readLatency(w.service.metrics)
	s := summary{
		produced: w.traffic.acked.Load(),
		waiting:  uint64(w.waiting),
		poison:   w.traffic.poison.Load(),
		out:      w.service.consumer.Stats().Totals(),
		p50:      latency.quantile(.5),
		p99:      latency.quantile(.99),
		keys:     w.keys.count(),
	}
	if !w.closed.IsZero() {
		s.took = w.closed.Sub(w.opened)
	}
	w.screen.summary(s)
	return s.check()
}

// check returns an error unless everything that went in came out once.
func (s summary) check() error {
	in, out := s.produced+s.waiting, s.out.Predicted+s.out.DeadLetters+s.out.Tombstones
	switch {
	case out < in:
		return fmt.Errorf("the counts do not add up: of %s events %s have no prediction and no dead letter; they are in the topic, uncommitted, and the next start reads them",
			count(in), count(in-out))
	case out > in:
		return fmt.Errorf("the counts do not add up: %s predictions and dead letters for %s events; events were read twice, or somebody else produces to %s", count(out), count(in), demoEvents)
	}
	return nil
}
