package forest

import (
	"math"
	"math/bits"
)

// numeric ranks one feature by the thresholds of its numeric splits. It fills two
// columns: for the splits that send missing values left they have rank 0, for
// those that send them right, in the next column, the highest. The split on the k-th
// threshold from 0 has bound k, or, with keys, the number before the threshold's.
type numeric struct {
	feature    int
	missing    Missing
	column     int
	thresholds []float64 // ascending

	// below is a search tree: below[1] is the root, below[2i] and below[2i+1] are the
	// children of below[i]. Each holds the number before a threshold's, as key64
	// numbers them; what fills the tree up is reached by nothing.
	below  []uint64
	levels int
}

// rankColumns fills the numeric columns of a tile with ranks, for the first rows of
// in, as many as lanes.
func rankColumns[V rank](all []*numeric, in []float64, width, lanes int, arith Arith, t *tile[V]) {
	for _, n := range all {
		at, below := n.column, n.below
		for i := n.feature; i < width*lanes; i += width {
			x := in[i]
			if arith == Float32 {
				x = float64(float32(x))
			}
			x, missing := n.value(x)
			key, k := key64(x), uint64(1)
			for range n.levels {
				_, reached := bits.Sub64(below[k], key, 0)
				k, _ = bits.Add64(k, k, reached)
			}
			t[at], t[at+1] = sides(V(k-uint64(len(below))), V(len(n.thresholds)), missing)
			at += laneStride
		}
	}
}

// keyColumns is rankColumns with keys.
func keyColumns[V rank](all []*numeric, in []float64, width, lanes int, t *tile[V]) {
	for _, n := range all {
		at := n.column
		for i := n.feature; i < width*lanes; i += width {
			x, missing := n.value(float64(float32(in[i])))
			t[at], t[at+1] = sides(V(key32(float32(x))), ^V(0), missing)
			at += laneStride
		}
	}
}

// sides are the two columns of a feature.
func sides[V rank](r, highest V, missing bool) (left, right V) {
	var mask V
	if missing {
		mask = ^V(0)
	}
	return r &^ mask, r&^mask | highest&mask
}

// value is the value that splits compare, and whether it is missing.
func (n *numeric) value(x float64) (float64, bool) {
	nan := x != x
	switch {
	case n.missing == MissingNaN:
		return x, nan
	case n.missing == MissingZero:
		return x, nan || math.Abs(x) <= zeroBound
	case nan:
		return 0, false
	}
	return x, false
}

// key64 numbers the floats so that they compare as integers, the two zeros as equal.
// NaN has a number, too, but no place in the order.
func key64(x float64) uint64 {
	b := math.Float64bits(x + 0)
	return b ^ (uint64(int64(b)>>63) | 1<<63)
}

// key32 is key64 for float32.
func key32(x float32) uint32 {
	b := math.Float32bits(x + 0)
	return b ^ (uint32(int32(b)>>31) | 1<<31)
}

// categorical ranks one feature by its categorical splits: a column each distinct
// split, 1 where the category goes right; the bound is 0. A row of table holds them for
// one category; two more rows serve those in no set and the missing.
type categorical[V rank] struct {
	feature    int
	missing    Missing
	column     int
	splits     []setSplit
	categories int
	table      []V
}

// fill fills the columns for the first rows of in, as many as lanes.
func (c *categorical[V]) fill(in []float64, width, lanes int, arith Arith, t *tile[V]) {
	n := len(c.splits)
	for lane := range lanes {
		row := c.row(in[lane*width+c.feature], arith)
		copy(t[lane*laneStride+c.column:], c.table[row*n:(row+1)*n])
	}
}

// row is the row of the table for a category's code.
func (c *categorical[V]) row(x float64, arith Arith) int {
	if arith == Float32 {
		x = float64(float32(x))
	}
	switch nan := x != x; {
	case nan && c.missing == MissingNone:
		x = 0
	case nan, c.missing == MissingZero && math.Abs(x) <= zeroBound:
		return c.categories + 1
	}
	if !(x > -1 && x < float64(c.categories)) || arith == Float32 && x < 0 {
		return c.categories
	}
	return int(x)
}
