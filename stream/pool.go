package stream

import "sync"

// A slicePool keeps a few slices for reuse, the largest memory it holds bounded. Safe
// for concurrent use. Elements are as their last user left them.
type slicePool[T any] struct {
	mu   sync.Mutex
	free [][]T
}

const poolSlices = 64

// get returns a slice of length 0 with room for n, a kept one when any fits.
func (p *slicePool[T]) get(n int) []T {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(p.free) - 1; i >= 0; i-- {
		if s := p.free[i]; cap(s) >= n {
			last := len(p.free) - 1
			p.free[i] = p.free[last]
			p.free[last] = nil
			p.free = p.free[:last]
			return s[:0]
		}
	}
	return make([]T, 0, n)
}

func (p *slicePool[T]) put(s []T) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.free) < poolSlices {
		p.free = append(p.free, s)
	}
}
