package stream

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestWindowBoundsBytesAndBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := func(w *window) bool {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			return errors.Is(w.wait(ctx), context.DeadlineExceeded)
		}
		w := newWindow(100)
		a, b := &batch{bytes: 60}, &batch{bytes: 60}
		w.enter(a)
		if full(w) {
			t.Error("full at 60 of 100 bytes")
		}
		w.enter(b)
		if !full(w) {
			t.Error("room at 120 of 100 bytes")
		}
		waited := make(chan error)
		go func() { waited <- w.wait(t.Context()) }()
		synctest.Wait()
		w.leave(a)
		if err := <-waited; err != nil {
			t.Errorf("wait: %v", err)
		}
		w.leave(b)
		for range maxBatches {
			w.enter(&batch{})
		}
		if !full(w) {
			t.Errorf("room beside %d batches", maxBatches)
		}
	})
}
