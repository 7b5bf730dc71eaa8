package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

var errDown = errors.New("connection refused")

// downFor returns an operation that fails until d has passed, and the times it was tried.
func downFor(d time.Duration) (op func(context.Context) error, tries *[]time.Time) {
	up, tries := time.Now().Add(d), new([]time.Time)
	return func(context.Context) error {
		*tries = append(*tries, time.Now())
		if time.Now().Before(up) {
			return errDown
		}
		return nil
	}, tries
}

func TestRetryBacksOffForAsLongAsItTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		counted := 0
		r := Retry{Min: 50 * time.Millisecond, Max: 5 * time.Second, Count: func(string) { counted++ }}
		op, tries := downFor(10 * time.Hour)
		if err := r.Do(t.Context(), "redis", op); err != nil {
			t.Fatal(err)
		}
		if counted != len(*tries)-1 {
			t.Errorf("counted %d retries of %d tries", counted, len(*tries))
		}
		var waits []time.Duration
		for i, at := range (*tries)[1:] {
			waits = append(waits, at.Sub((*tries)[i]))
		}
		if least, most := slices.Min(waits), slices.Max(waits); least < r.Min || most > r.Max+1 {
			t.Errorf("waits from %v to %v, want within %v to %v", least, most, r.Min, r.Max)
		}
		if waits[0] > 4*r.Min {
			t.Errorf("first wait %v, want near %v", waits[0], r.Min)
		}
		if late := slices.Min(waits[20:]); late < time.Second {
			t.Errorf("still waiting only %v after twenty tries", late)
		}
		if distinct := len(slices.Compact(slices.Sorted(slices.Values(waits[20:])))); distinct < len(waits)/2 {
			t.Errorf("only %d different waits in %d: no jitter", distinct, len(waits))
		}
	})
}

func TestRetryZeroValueWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		op, tries := downFor(time.Minute)
		if err := (Retry{}).Do(t.Context(), "redis", op); err != nil {
			t.Fatal(err)
		}
		if len(*tries) > 60 {
			t.Errorf("%d tries in a minute", len(*tries))
		}
	})
}

func TestRetryReportsOncePerChange(t *testing.T) {
	for _, c := range []struct {
		down time.Duration
		want []string
	}{
		{0, nil},
		{time.Second, nil}, // shorter than Loud
		{time.Minute, []string{"redis: connection refused", "redis: <nil>"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			var got []string
			r := Retry{Min: 50 * time.Millisecond, Max: 5 * time.Second, Loud: 10 * time.Second}
			r.Report = func(dependency string, err error) {
				got = append(got, fmt.Sprintf("%s: %v", dependency, err))
				if since := time.Since(began); err != nil && (since < r.Loud || since > r.Loud+r.Max) {
					t.Errorf("reported after %v, want %v and at most a wait more", since, r.Loud)
				}
			}
			op, _ := downFor(c.down)
			if err := r.Do(t.Context(), "redis", op); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("down for %v: reported %q, want %q", c.down, got, c.want)
			}
		})
	}
}

func TestRetryStopsAtPermanent(t *testing.T) {
	for _, permanent := range []error{
		Permanent(errDown),
		fmt.Errorf("cache: %w", Permanent(errDown)),
	} {
		synctest.Test(t, func(t *testing.T) {
			tries, reports := 0, 0
			r := Retry{Report: func(string, error) { reports++ }} // Loud 0: at the first failure
			err := r.Do(t.Context(), "redis", func(context.Context) error {
				if tries++; tries == 3 {
					return permanent
				}
				return errDown
			})
			if err != permanent || tries != 3 {
				t.Errorf("got %v after %d tries, want %v after 3", err, tries, permanent)
			}
			if reports != 1 { // down; a permanent failure is no recovery
				t.Errorf("%d reports, want 1", reports)
			}
		})
	}
}

func TestRetryEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		drained := errors.New("drain deadline exceeded")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, drained)
		defer cancel()
		began := time.Now()
		op, _ := downFor(time.Hour)
		err := Retry{}.Do(ctx, "redis", op)
		if took := time.Since(began); took != time.Minute {
			t.Errorf("returned after %v, want at the deadline", took)
		}
		if !errors.Is(err, drained) || !errors.Is(err, errDown) || IsPermanent(err) {
			t.Errorf("got %v, want the cause and the last error, not permanent", err)
		}

		// An operation's own timeout is not the end of the context.
		tries := 0
		err = Retry{}.Do(t.Context(), "redis", func(context.Context) error {
			if tries++; tries == 1 {
				return context.DeadlineExceeded
			}
			return nil
		})
		if err != nil || tries != 2 {
			t.Errorf("got %v after %d tries, want success after 2", err, tries)
		}

		ctx, stop := context.WithCancel(t.Context())
		stop()
		err = Retry{}.Do(ctx, "redis", func(ctx context.Context) error { return ctx.Err() })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context canceled", err)
		}
	})
}

func TestPermanent(t *testing.T) {
	if Permanent(nil) != nil {
		t.Error("Permanent(nil) is an error")
	}
	if err := fmt.Errorf("x: %w", Permanent(errDown)); !IsPermanent(err) || !errors.Is(err, errDown) {
		t.Errorf("%v: not permanent, or lost its cause", err)
	}
	if IsPermanent(errDown) || IsPermanent(nil) {
		t.Error("permanent without a mark")
	}
}
