package web

import (
	"context"

	"scry/stream"
)

// A source is what is served of a consumer.
type source interface {
	Live() error
	Ready() error
	Checks() []stream.Check
	Totals() stream.Totals
	Latencies() []float64
	Sample() []byte
	Lag() []stream.Lag
	Lookup(ctx context.Context, entity string) (stream.Cached, error)
}

// A view is a consumer with its parts side by side.
type view struct {
	*stream.Consumer
	*stream.Health
	*stream.Stats
}
