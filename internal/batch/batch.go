// Package batch scores files: events in, predictions out, in the order of the input.
//
//	read (in turn), score and format (all cores) -> write
//
// As many goroutines as there are cores each read a bounded batch of events, one at a
// time, score it by a [stream.Scorer] and format the output while it is in their core's
// cache. The caller's goroutine writes the batches in the order in which they were read.
// All memory belongs to a fixed number of jobs that go round, so it does not grow with
// the input.
//
// # What is promised
//
// An event gets the prediction that the stream would give it, or is rejected with the
// stream's reason. What is written consists of whole records. A file takes its name only
// when everything is in it: see [Create].
package batch

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"scry/predictor"
	"scry/predictor/feature"
	"scry/stream"
)

const (
	blockBytes  = 128 << 10 // of text read at a time
	blockEvents = 256       // of one job at most: what a core's second cache holds, scored and all
	maxEvent    = 16 << 20  // bytes of one event
)

// A Config says what is scored, and where everything goes.
type Config struct {
	Inputs     []Input // one after the other
	Stream     stream.Config
	Deployment *predictor.Deployment
	Fields     feature.JSONConfig // where the columns of a table have entity and time

	Output  Output
	Rejects *Rejects
	Cache   *stream.CacheWriter // nil: no cache
	// Progress is called after each batch. Warn is told what the user should know.
	Progress func(Totals)
	Warn     func(string)
}

// Totals is how far it is, and in the end what there was.
type Totals struct {
	Predicted, Rejected int64
	Read                int64 // bytes of the inputs
	Cached              stream.CacheCounts
}

// A job is one batch of events on its way.
type job struct {
	events stream.Events
	input  *Input
	packed bool   // the events are packed rows, not text
	broken bool   // the last event ends where the file does, without an end of line
	text   []byte // that the events alias
	rows   [][]byte
	out    []byte // the formatted predictions
	read   int64  // bytes of all inputs up to its end
	err    error
	done   chan struct{}
}

// Run scores everything. When ctx ends it returns its cause at once; a goroutine may
// then still wait for a pipe to read.
func Run(ctx context.Context, c Config) (Totals, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cores := runtime.GOMAXPROCS(0)
	jobs := cores + 3
	p := pipeline{Config: c, at: time.Now(), free: make(chan *job, jobs), order: make(chan *job, jobs)}
	for range jobs {
		p.free <- &job{done: make(chan struct{}, 1)}
	}
	in := &reader{p: &p}
	for range cores {
		go p.score(ctx, in)
	}
	for {
		select {
		case <-ctx.Done():
			return p.totals, context.Cause(ctx)
		case j, more := <-p.order:
			if !more {
				if in.err != nil {
					return p.totals, in.err
				}
				return p.totals, p.end()
			}
			select {
			case <-ctx.Done():
				return p.totals, context.Cause(ctx)
			case <-j.done:
			}
			if err := p.write(ctx, j); err != nil {
				return p.totals, err
			}
			p.free <- j
		}
	}
}

type pipeline struct {
	Config
	at     time.Time
	free   chan *job
	order  chan *job // as they were read; closed when all were
	totals Totals
	first  error // of the rejects
}

// A worker is what one goroutine scores with: a scorer a deployment, which each file
// with a header of its own has.
type worker struct {
	pipeline   *pipeline
	deployment *predictor.Deployment
	scorer     *stream.Scorer
}

func (w *worker) with(d *predictor.Deployment) *stream.Scorer {
	if w.deployment != d {
		w.deployment, w.scorer = d, stream.NewScorer(w.pipeline.Stream, d, w.pipeline.at)
	}
	return w.scorer
}

func (p *pipeline) score(ctx context.Context, in *reader) {
	defer in.close()
	w := worker{pipeline: p}
	for {
		j := in.next(ctx)
		if j == nil {
			return
		}
		if j.err = w.with(j.input.deployment).Score(&j.events); j.err == nil {
			j.out = p.Output.format(j.out[:0], j.input.Name, &j.events)
		}
		j.done <- struct{}{}
		runtime.Gosched() // to who writes it, which has to wait for a core otherwise
	}
}

// write is the end of a job.
func (p *pipeline) write(ctx context.Context, j *job) error {
	if warning := j.input.warning; warning != "" {
		p.Warn(warning)
		j.input.warning = ""
	}
	if j.err != nil {
		return fmt.Errorf("%s: %w", j.input.Name, j.err)
	}
	rejected := 0
	for i := range j.events.Len() {
		if j.events.Prediction(i) != nil {
			continue
		}
		s := j.events.Scored(i)
		rejected++
		if p.first == nil {
			p.first = fmt.Errorf("%s:%d: %w", j.input.Name, s.Position, s.Err)
		}
		if err := p.Rejects.write(j, s); err != nil {
			return err
		}
		if j.broken && i == j.events.Len()-1 {
			p.Warn(j.input.Name + " ends within its last line, which cannot be scored: was the file cut short?")
		}
	}
	if p.Cache != nil {
		n, err := p.Cache.Write(ctx, &j.events)
		if err != nil {
			return fmt.Errorf("writing the cache: %w", err)
		}
		p.totals.Cached.Written += n.Written
		p.totals.Cached.Stale += n.Stale
		p.totals.Cached.Expired += n.Expired
	}
	if err := p.Output.write(j); err != nil {
		return err
	}
	p.totals.Rejected += int64(rejected)
	p.totals.Predicted += int64(j.events.Len() - rejected)
	p.totals.Read = j.read
	p.Progress(p.totals)
	return nil
}

// end fails when there is not one prediction to show: then it is the configuration that
// is wrong, or the wrong file.
func (p *pipeline) end() error {
	if p.totals.Predicted == 0 && p.first != nil {
		return fmt.Errorf("not one of %d events could be scored; the first: %w", p.totals.Rejected, p.first)
	}
	return p.Output.end()
}
