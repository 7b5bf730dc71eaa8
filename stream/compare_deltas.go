package stream

import (
	"maps"
	"math"
	"slices"
)

// Deltas sums up differences of scores. Those where a model gave no number are not in it.
type Deltas struct {
	Count         int64   `json:"count"`
	Unequal       int64   `json:"unequal"` // not 0
	Mean          float64 `json:"mean"`
	MeanAbs       float64 `json:"mean_abs"`
	MaxAbs        float64 `json:"max_abs"`
	P50Abs        float64 `json:"p50_abs"` // percentiles are at most 0.4 % too low
	P90Abs        float64 `json:"p90_abs"`
	P99Abs        float64 `json:"p99_abs"`
	P999Abs       float64 `json:"p999_abs"`
	WithoutNumber int64   `json:"without_number"` // compared, and not counted

	sum, sumAbs float64
	buckets     map[uint64]int64 // absolute deltas by their first bits
}

func (d *Deltas) add(delta float64) {
	if math.IsNaN(delta) || math.IsInf(delta, 0) {
		d.WithoutNumber++
		return
	}
	size := math.Abs(delta)
	d.Count++
	if delta != 0 {
		d.Unequal++
	}
	d.sum += delta
	d.sumAbs += size
	d.MaxAbs = max(d.MaxAbs, size)
	d.buckets[math.Float64bits(size)>>44]++
}

// close works out what is known when all are in.
func (d *Deltas) close() {
	if d.Count == 0 {
		return
	}
	d.Mean, d.MeanAbs = d.sum/float64(d.Count), d.sumAbs/float64(d.Count)
	d.P50Abs, d.P90Abs, d.P99Abs, d.P999Abs = d.quantile(.5), d.quantile(.9), d.quantile(.99), d.quantile(.999)
}

// quantile is the least absolute delta that a share q of them does not pass, by the
// sign, exponent and first 8 bits of the number: those order numbers as they are.
func (d *Deltas) quantile(q float64) float64 {
	rank, seen := int64(math.Ceil(q*float64(d.Count))), int64(0)
	for _, k := range slices.Sorted(maps.Keys(d.buckets)) {
		if seen += d.buckets[k]; seen >= rank {
			return math.Float64frombits(k << 44)
		}
	}
	return 0
}
