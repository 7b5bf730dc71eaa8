package stream

import (
	"context"
	"slices"
	"sync"
	"time"
)

// maxBatches bounds the batches in flight, however small, so that handing one to the
// cache's goroutine never blocks the loop.
const maxBatches = 1024

// A window bounds what is in flight: bytes of events read and not yet delivered, and
// batches. A batch is let in whole while there is any room, so the bound is passed by
// at most one poll. Safe for concurrent use.
type window struct {
	max int64

	mu      sync.Mutex
	used    int64
	batches []*batch      // in flight, oldest first
	left    time.Time     // when one last left
	freed   chan struct{} // closed and replaced when one leaves, or is held
}

func newWindow(limit int64) *window {
	return &window{max: limit, freed: make(chan struct{})}
}

// wait returns when there is room, or with ctx's error.
func (w *window) wait(ctx context.Context) error {
	return w.until(ctx, func() bool { return w.used < w.max && len(w.batches) < maxBatches })
}

func (w *window) full() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.used >= w.max || len(w.batches) >= maxBatches
}

// empty returns when nothing is in flight, or with ctx's error.
func (w *window) empty(ctx context.Context) error {
	return w.until(ctx, func() bool { return len(w.batches) == 0 })
}

// until returns when ok, which is asked again whenever a batch leaves or is held, or with
// ctx's error.
func (w *window) until(ctx context.Context, ok func() bool) error {
	for {
		w.mu.Lock()
		if ok() {
			w.mu.Unlock()
			return nil
		}
		freed := w.freed
		w.mu.Unlock()
		select {
		case <-freed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (w *window) enter(b *batch) {
	w.mu.Lock()
	w.used += b.bytes
	w.batches = append(w.batches, b)
	w.mu.Unlock()
}

func (w *window) leave(b *batch) {
	w.mu.Lock()
	i := slices.Index(w.batches, b)
	w.batches = slices.Delete(w.batches, i, i+1)
	w.used -= b.bytes
	w.left = time.Now()
	w.wake()
	w.mu.Unlock()
}

// wake has until look again.
func (w *window) wake() {
	close(w.freed)
	w.freed = make(chan struct{})
}

// held notes that a batch is kept back: it will not leave soon.
func (w *window) held() {
	w.mu.Lock()
	w.wake()
	w.mu.Unlock()
}

// load returns what is in flight; age is the oldest batch's, 0 when there is none.
func (w *window) load() (bytes int64, batches int, age time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.batches) > 0 {
		age = time.Since(w.batches[0].polled)
	}
	return w.used, len(w.batches), age
}
