package shop

import "math"

// rng is splitmix64 (Steele, Lea, Flood, 2014): eight bytes of state, so each
// session carries its own and goes the same way whoever else is in the shop. It is
// written out here because a training set must not change with the Go release.
type rng uint64

func (r *rng) next() uint64 {
	*r += 0x9e3779b97f4a7c15
	z := uint64(*r)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// float returns a number in [0, 1).
func (r *rng) float() float64 { return float64(r.next()>>11) / (1 << 53) }

// below returns an integer in [0, n).
func (r *rng) below(n int) int { return int(r.next() >> 33 % uint64(n)) }

func (r *rng) chance(p float64) bool { return r.float() < p }

// normal is a sum of four uniforms: close enough to a bell, with mean 0 and
// variance 1, and no logarithm.
func (r *rng) normal() float64 {
	return (r.float() + r.float() + r.float() + r.float() - 2) * math.Sqrt(3)
}

// weighted returns an index of weights, which add up to 1, with that probability.
func (r *rng) weighted(weights []float64) int {
	x := r.float()
	for i, w := range weights {
		if x -= w; x < 0 {
			return i
		}
	}
	return len(weights) - 1
}
