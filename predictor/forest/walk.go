package forest

import "math"

// zeroBound is LightGBM's kZeroThreshold: with zero_as_missing, what lies within it
// of 0 is missing.
const zeroBound = float64(float32(1e-35))

// Walk scores one row the plain way and fills margins, Groups of them, before
// average and link: what XGBoost calls the margin and LightGBM the raw score. A row
// holds one value an input; NaN is missing. Every layout is tested against it.
func (e *Ensemble) Walk(row, margins []float64) {
	copy(margins, e.Base)
	if e.Linear != nil {
		e.walkLinear(row, margins)
		return
	}
	for t := range e.Trees {
		tree := &e.Trees[t]
		leaf := tree.leaf(row, e.Arith)
		if leaf.Vector == nil {
			margins[tree.Group] = e.add(margins[tree.Group], leaf.value(row), tree)
			continue
		}
		for g, v := range leaf.Vector {
			margins[g] = e.add(margins[g], v, tree)
		}
	}
}

// add adds a leaf's value to a margin in the library's arithmetic. The conversions
// to float32 also keep a compiler from fusing product and sum.
func (e *Ensemble) add(margin, value float64, tree *Tree) float64 {
	if e.Arith == Float64 {
		return margin + value
	}
	v, w := float32(value), float32(tree.Weight)
	if e.DartInPlace {
		base := float32(e.Base[tree.Group])
		v = float32(base+v) - base
	}
	return float64(float32(margin) + float32(v*w))
}

func (e *Ensemble) walkLinear(row, margins []float64) {
	for g := range margins {
		sum := float32(e.Linear.Bias[g]) + float32(margins[g])
		for f, x := range row {
			if !math.IsNaN(x) {
				sum += float32(float32(x) * float32(e.Linear.Weight[f*e.Groups+g]))
			}
		}
		margins[g] = float64(sum)
	}
}

func (t *Tree) leaf(row []float64, arith Arith) *Leaf {
	if len(t.Nodes) == 0 {
		return &t.Leaves[0]
	}
	at := int32(0)
	for at >= 0 {
		n := &t.Nodes[at]
		x := row[n.Feature]
		if arith == Float32 {
			x = float64(float32(x))
		}
		if t.goesLeft(n, x, arith) {
			at = n.Left
		} else {
			at = n.Right
		}
	}
	return &t.Leaves[^at]
}

func (t *Tree) goesLeft(n *Node, x float64, arith Arith) bool {
	switch nan := math.IsNaN(x); {
	case nan && n.Missing == MissingNone:
		x = 0
	case nan, n.Missing == MissingZero && math.Abs(x) <= zeroBound:
		return n.DefaultLeft
	}
	if n.Set < 0 {
		return x < n.Threshold
	}
	listed := t.Sets[n.Set].has(x)
	if arith == Float32 && x < 0 {
		listed = false
	}
	return listed != n.ListedRight
}

// has reports whether x, truncated toward zero, is in the set.
func (s Set) has(x float64) bool {
	if !(x > -1 && x < 1<<31) {
		return false
	}
	c := int(x)
	return c/32 < len(s) && s[c/32]>>(c%32)&1 == 1
}

func (l *Leaf) value(row []float64) float64 {
	if l.Feature == nil {
		return l.Value
	}
	sum := l.Value
	for i, f := range l.Feature {
		x := row[f]
		if math.IsNaN(x) {
			return l.Fallback
		}
		sum += float64(l.Coef[i] * x)
	}
	return sum
}
