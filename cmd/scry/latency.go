package main

import (
	"maps"
	"math"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A distribution is a native histogram: observations by bucket, each 2^(2^-schema) times
// as wide as the one below.
type distribution struct {
	schema  int32
	zero    float64 // observations of about 0
	buckets map[int32]float64
}

// readLatency reads the histogram of the time from an event's append to its prediction
// being durable. It is empty before the first event.
func readLatency(g prometheus.Gatherer) (d distribution) {
	d.buckets = map[int32]float64{}
	families, err := g.Gather()
	if err != nil {
		return d
	}
	for _, f := range families {
		if f.GetName() != "scry_append_latency_seconds" || len(f.Metric) == 0 {
			continue
		}
		h := f.Metric[0].GetHistogram()
		d.schema, d.zero = h.GetSchema(), float64(h.GetZeroCount())
		index, n, next := int32(0), int64(0), 0
		for _, span := range h.GetPositiveSpan() {
			index += span.GetOffset()
			for range span.GetLength() {
				n += h.GetPositiveDelta()[next]
				d.buckets[index] = float64(n)
				index, next = index+1, next+1
			}
		}
	}
	return d
}

// since is what was observed after an earlier reading. When the histogram has been
// reset or made coarser meanwhile, that is all there is.
func (d distribution) since(earlier distribution) distribution {
	diff := distribution{schema: d.schema, zero: d.zero - earlier.zero, buckets: make(map[int32]float64, len(d.buckets))}
	if d.schema != earlier.schema || diff.zero < 0 {
		return d
	}
	for i, n := range d.buckets {
		diff.buckets[i] = n - earlier.buckets[i]
		if diff.buckets[i] < 0 {
			return d
		}
	}
	return diff
}

// quantile returns the upper end of the bucket that holds the share q of the
// observations, so with a schema of 3 it is at most 9 % too high; 0 of none.
func (d distribution) quantile(q float64) time.Duration {
	total := d.zero
	for _, n := range d.buckets {
		total += n
	}
	rank := q * total
	seen := d.zero
	for _, i := range slices.Sorted(maps.Keys(d.buckets)) {
		if seen >= rank {
			break
		}
		if seen += d.buckets[i]; seen >= rank {
			seconds := math.Exp2(float64(i) * math.Exp2(-float64(d.schema)))
			return time.Duration(seconds * float64(time.Second))
		}
	}
	return 0
}
