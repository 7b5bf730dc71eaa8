package forest

import "math"

// rank fills a lane of a tile with the ranks of one row of inputs.
func (l *ranked[F]) rank(row []float64, lane []uint16) {
	for i := range l.sources {
		l.sources[i].rank(row, l.e.Arith, lane)
	}
}

// rank fills row lane of a tile with the ranks of one row of inputs.
func (s *source) rank(row []float64, arith Arith, to []uint16) {
	x := row[s.feature]
	if arith == Float32 {
		x = float64(float32(x))
	}
	missing := x != x
	switch s.missing {
	case MissingNone:
		if missing {
			x, missing = 0, false
		}
	case MissingZero:
		missing = missing || math.Abs(x) <= zeroBound
	}
	if s.setCount > 0 {
		r := s.setRow(x, missing, arith)
		copy(to[s.setFirst:s.setFirst+s.setCount], s.setTable[r*s.setCount:])
	}
	if s.left >= 0 {
		r := s.reached(x)
		if missing {
			r = 0
		}
		to[s.left] = r
	}
	if s.right >= 0 {
		r := s.reached(x)
		if missing {
			r = s.count
		}
		to[s.right] = r
	}
}

// reached counts the thresholds at or below x.
func (s *source) reached(x float64) uint16 {
	i := 1
	for range s.levels {
		right := 0
		if x >= s.thresholds[i] {
			right = 1
		}
		i = 2*i + right
	}
	return uint16(i - len(s.thresholds))
}

// setRow is the row of the set table for a category's code.
func (s *source) setRow(x float64, missing bool, arith Arith) int {
	switch {
	case missing:
		return s.categories + 1
	case !(x > -1 && x < float64(s.categories)), arith == Float32 && x < 0:
		return s.categories
	}
	return int(x)
}
