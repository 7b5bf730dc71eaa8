package batch

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// A reader fills jobs from one input after the other, for many goroutines.
type reader struct {
	p      *pipeline
	mu     sync.Mutex
	input  int    // the one that is being read
	source source // of it; nil: not open yet
	before int64  // bytes of the inputs before it
	ended  bool
	err    error // why it ended early; for who received the end of p.order
}

// next returns a job with events, which has its place in the order; nil when there are
// no more, or when ctx ended.
func (r *reader) next(ctx context.Context) *job {
	var j *job
	select {
	case <-ctx.Done():
		return nil
	case j = <-r.p.free:
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return nil
	}
	if r.input == len(r.p.Inputs) {
		r.end(nil)
		return nil
	}
	if err := r.fill(j); err != nil {
		r.end(fmt.Errorf("%s: %w", r.p.Inputs[r.input].Name, err))
		return nil
	}
	r.p.order <- j
	return j
}

func (r *reader) end(err error) {
	r.ended, r.err = true, err
	close(r.p.order)
}

func (r *reader) fill(j *job) error {
	in := &r.p.Inputs[r.input]
	if r.source == nil {
		s, err := in.open(r.p)
		if err != nil {
			return err
		}
		r.source = s
	}
	j.input, j.err, j.broken = in, nil, false
	j.events.Reset(in.Name)
	more, err := r.source.fill(j)
	j.read = r.before + r.source.position()
	if more && err == nil {
		return nil
	}
	if err = errors.Join(err, r.source.Close()); err != nil {
		return err
	}
	r.source = nil
	r.input++
	r.before += in.Size
	return nil
}

// close lets go of what an early end leaves open.
func (r *reader) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
	if r.source != nil {
		r.source.Close() //nolint:errcheck // it was only read
		r.source = nil
	}
}
