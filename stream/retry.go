package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// Retry repeats an operation until it succeeds, fails permanently or its context
// ends. It is a value and holds no state: one serves all goroutines, and Report and
// Count are called from whichever of them is retrying.
type Retry struct {
	// Min and Max bound the wait before a try: jittered, doubling from Min to Max,
	// with no limit on the number of tries. 0 means 50 ms and 5 s.
	Min, Max time.Duration
	// Loud is for how long a dependency may fail before it is reported.
	Loud time.Duration
	// Report is told once, with the error, that a dependency has been failing for
	// Loud, and once, with nil, that it works again. An operation that fails
	// permanently or is cut short recovers nothing. It may be nil.
	Report func(dependency string, err error)
	// Count is called for every failure that will be tried again. It may be nil.
	Count func(dependency string)
}

// Do runs op until it returns nil or an error that IsPermanent, which it returns as
// it is. When ctx ends first the error wraps the context's cause and op's last error.
// dependency names what op needs, in reports and errors: "redis".
func (r Retry) Do(ctx context.Context, dependency string, op func(context.Context) error) error {
	began, reported := time.Now(), false
	var last error
	err := backoff.RetryNotify(func() error {
		if last = op(ctx); IsPermanent(last) {
			return backoff.Permanent(last)
		}
		return last
	}, backoff.WithContext(r.waits(), ctx), func(err error, _ time.Duration) {
		if r.Count != nil {
			r.Count(dependency)
		}
		if r.Report != nil && !reported && time.Since(began) >= r.Loud {
			reported = true
			r.Report(dependency, err)
		}
	})
	switch {
	case err == nil:
		if reported {
			r.Report(dependency, nil)
		}
		return nil
	case IsPermanent(last):
		return last
	}
	cause := context.Cause(ctx)
	if errors.Is(last, cause) {
		return fmt.Errorf("%s: %w", dependency, last)
	}
	return fmt.Errorf("%s: %w; last error: %w", dependency, cause, last)
}

// waits is one call's schedule. The library draws each wait from half to one and a
// half of its interval; its bounds are set so that the waits lie in Min to Max.
func (r Retry) waits() *backoff.ExponentialBackOff {
	if r.Min <= 0 {
		r.Min = 50 * time.Millisecond
	}
	if r.Max <= 0 {
		r.Max = 5 * time.Second
	}
	highest := r.Max * 2 / 3
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(min(r.Min*2, highest)),
		backoff.WithMaxInterval(highest),
		backoff.WithMultiplier(2),
		backoff.WithRandomizationFactor(0.5),
		backoff.WithMaxElapsedTime(0),
	)
}

// Permanent marks an error that no retry mends. Everything else is retried.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

type permanentError struct{ error }

func (e *permanentError) Unwrap() error { return e.error }

// IsPermanent reports whether retrying is pointless: err is marked.
func IsPermanent(err error) bool {
	var p *permanentError
	return errors.As(err, &p)
}
