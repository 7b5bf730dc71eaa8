package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"scry/stream"
)

// A measurement runs a consumer and its events through both parts of a bench.
type measurement struct {
	service *service
	traffic *traffic
	screen  *screen
	stopped chan struct{} // closed when the consumer has ended
}

// run measures. After it the consumer has left its group.
func (m *measurement) run(ctx context.Context, f pipelineFlags) (*benchReport, error) {
	err := m.traffic.preload(ctx, f.events, func(acked uint64) {
		m.screen.progress(fmt.Sprintf("producing: %s of %s events", count(acked), count(f.events)))
	})
	if err != nil || ctx.Err() != nil {
		return nil, errors.Join(err, interrupted(ctx))
	}
	consuming, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var failed error
	go func() {
		failed = m.service.run(consuming)
		close(m.stopped)
	}()
	r, err := m.parts(ctx, f)
	stop()
	<-m.stopped
	if err := errors.Join(failed, err); err != nil {
		return nil, err
	}
	_, r.PeakBytes = usage()
	return r, nil
}

// errEnded is a consumer that ended before the bench did; it says why by itself.
var errEnded = errors.New("the consumer ended before the bench did")

func interrupted(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return errors.New("stopped before the end, so there is nothing to show")
}

func (m *measurement) parts(ctx context.Context, f pipelineFlags) (*benchReport, error) {
	r := &benchReport{}
	for len(m.service.consumer.Lag()) == 0 { // it knows where it starts
		if err := m.look(ctx, time.Millisecond); err != nil {
			return nil, err
		}
	}
	start := m.snapshot()
	if f.events > 0 {
		if err := m.finish(ctx, "catching up"); err != nil {
			return nil, err
		}
		r.CatchUp = newCatchUp(start, m.snapshot())
		if err := m.addUp(); err != nil {
			return nil, err
		}
	}
	if f.duration == 0 {
		return r, nil
	}
	start = m.snapshot()
	open, cancel := context.WithDeadline(ctx, start.at.Add(f.duration))
	defer cancel()
	closed := make(chan error, 1)
	go func() { closed <- m.traffic.run(open, start.at) }()
	for open.Err() == nil {
		if err := m.look(open, 100*time.Millisecond); errors.Is(err, errEnded) {
			return nil, errors.Join(err, <-closed)
		}
		m.screen.progress(fmt.Sprintf("at %s events/s: %.0f of %v", count(int64(f.rate)), time.Since(start.at).Seconds(), f.duration))
	}
	if err := <-closed; err != nil || ctx.Err() != nil {
		return nil, errors.Join(err, interrupted(ctx))
	}
	end := m.snapshot()
	behind := m.traffic.acked.Load() - end.done()
	if err := m.finish(ctx, "finishing"); err != nil {
		return nil, err
	}
	r.Steady = newSteady(f.rate, start, end, m.snapshot(), behind)
	return r, m.addUp()
}

// look waits a moment, unless ctx or the consumer ends.
func (m *measurement) look(ctx context.Context, wait time.Duration) error {
	select {
	case <-ctx.Done():
		return interrupted(ctx)
	case <-m.stopped:
		return errEnded
	case <-time.After(wait):
		return nil
	}
}

// stall is how long nothing may be done before a bench gives up.
const stall = 30 * time.Second

// finish waits until every event produced is done.
func (m *measurement) finish(ctx context.Context, what string) error {
	last, moved, shown := uint64(0), time.Now(), time.Now()
	for {
		done, all := outcome(m.service.consumer.Stats().Totals()), m.traffic.acked.Load()
		if done >= all {
			return nil
		}
		now := time.Now()
		if done != last {
			last, moved = done, now
		}
		if now.Sub(moved) > stall {
			err := m.service.consumer.Health().Ready()
			if err == nil {
				err = fmt.Errorf("%s of %s events are done", count(done), count(all))
			}
			return fmt.Errorf("nothing was done for %v: %w", stall, err)
		}
		if now.Sub(shown) > 200*time.Millisecond {
			shown = now
			m.screen.progress(fmt.Sprintf("%s: %s of %s events", what, count(done), count(all)))
		}
		if err := m.look(ctx, time.Millisecond); err != nil {
			return err
		}
	}
}

// addUp returns an error unless all that was produced came out once.
func (m *measurement) addUp() error {
	in, out := m.traffic.acked.Load(), outcome(m.service.consumer.Stats().Totals())
	if in != out {
		return fmt.Errorf("the counts do not add up: %s events, %s predictions, tombstones and dead letters", count(in), count(out))
	}
	return nil
}

// A snapshot is what had been counted up to a moment.
type snapshot struct {
	at      time.Time
	cpu     time.Duration
	totals  stream.Totals
	stages  map[string]stageTime
	latency distribution
}

// A stageTime is the time that so many batches, polls or commits took together.
type stageTime struct {
	n   uint64
	sum time.Duration
}

func (m *measurement) snapshot() snapshot {
	cpu, _ := usage()
	return snapshot{
		at:      time.Now(),
		cpu:     cpu,
		totals:  m.service.consumer.Stats().Totals(),
		stages:  readStages(m.service.metrics),
		latency: readLatency(m.service.metrics),
	}
}

func (s snapshot) done() uint64 { return outcome(s.totals) }

func outcome(t stream.Totals) uint64 { return t.Predicted + t.Tombstones + t.DeadLetters }

// readStages reads what each stage took.
func readStages(g prometheus.Gatherer) map[string]stageTime {
	stages := make(map[string]stageTime)
	families, err := g.Gather()
	if err != nil {
		return stages
	}
	for _, f := range families {
		if f.GetName() != "scry_stage_duration_seconds" {
			continue
		}
		for _, m := range f.Metric {
			h := m.GetHistogram()
			stages[m.Label[0].GetValue()] = stageTime{h.GetSampleCount(), time.Duration(h.GetSampleSum() * float64(time.Second))}
		}
	}
	return stages
}
