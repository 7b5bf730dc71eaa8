package forest

import "fmt"

// Compile makes an ensemble into what scores fast. The ensemble must be as a loader
// leaves it, every index checked, and is not to be changed afterwards.
//
// Trees are ranked (see layout.go), whatever their shape and kind; the plain walk
// scores what that cannot hold: a linear booster, and a model of more than 16,384
// columns or 65,535 thresholds of one feature.
func Compile(e *Ensemble) (*Model, error) {
	if e.Groups < 1 || len(e.Base) != e.Groups || len(e.Outputs) == 0 {
		return nil, fmt.Errorf("forest: an ensemble of %d groups with %d bases and %d outputs",
			e.Groups, len(e.Base), len(e.Outputs))
	}
	return &Model{e, compile(e)}, nil
}

func compile(e *Ensemble) scorer {
	// The plain walk rounds a base to float32 only when it adds to it.
	if e.Linear != nil || e.Arith == Float32 && !inFloat32(e.Base...) {
		return newPlain(e)
	}
	spans := cut(e.Trees)
	if keysFit(e, spans) {
		if plan, err := planColumns[uint32](e, true); err == nil {
			return build[float32](e, plan, spans)
		}
	}
	plan, err := planColumns[uint16](e, false)
	switch {
	case err != nil:
		return newPlain(e)
	case e.Arith == Float32:
		return build[float32](e, plan, spans)
	}
	return build[float64](e, plan, spans)
}

// keysFit reports whether keys can take the place of ranks: values are compared as
// float32 and no tree needs pairs, whose nodes have no room for keys.
func keysFit(e *Ensemble, spans []cutSpan) bool {
	if e.Arith != Float32 {
		return false
	}
	for _, s := range spans {
		if s.full == 0 {
			return false
		}
		for t := range s.trees {
			for i := range s.trees[t].Nodes {
				if !inFloat32(s.trees[t].Nodes[i].Threshold) {
					return false
				}
			}
		}
	}
	return true
}

func inFloat32(values ...float64) bool {
	for _, x := range values {
		if float64(float32(x)) != x {
			return false
		}
	}
	return true
}

const (
	spanNodes = 6 << 10 // 24 to 72 KiB with the values: what is walked of it stays in the first-level cache
	spanTrees = 64
	fullDepth = 8
)

// A cutSpan is the trees of a span before they are laid out.
type cutSpan struct {
	trees  []Tree
	depths []int
	full   int // the depth of full trees, 0 for pairs
}

// cut parts the trees into spans.
func cut(trees []Tree) (spans []cutSpan) {
	for len(trees) > 0 {
		s := cutSpan{trees: trees[:spanLen(trees)]}
		trees = trees[len(s.trees):]
		deepest, leaves := 0, 0
		for i := range s.trees {
			depth := s.trees[i].depth()
			s.depths = append(s.depths, depth)
			deepest = max(deepest, depth)
			leaves += len(s.trees[i].Leaves)
		}
		if full := max(1, deepest); full <= fullDepth && len(s.trees)<<full <= 4*leaves {
			s.full = full
		}
		spans = append(spans, s)
	}
	return spans
}

// spanLen is how many of the trees make the next span, a multiple of eight but for
// the last.
func spanLen(trees []Tree) int {
	nodes := 0
	for i := range trees {
		if i > 0 && i%8 == 0 && (nodes >= spanNodes || i == spanTrees) {
			return i
		}
		nodes += 2*len(trees[i].Nodes) + 1
	}
	return len(trees)
}

// depth is the number of splits on the longest way to a leaf.
func (t *Tree) depth() (deepest int) {
	depth := make([]int, len(t.Nodes))
	for i := range t.Nodes {
		for _, child := range []int32{t.Nodes[i].Left, t.Nodes[i].Right} {
			deepest = max(deepest, depth[i]+1)
			if child >= 0 {
				depth[child] = depth[i] + 1
			}
		}
	}
	return deepest
}

// build lays the trees out.
func build[F float, V rank](e *Ensemble, plan *columnPlan[V], spans []cutSpan) *ranked[F, V] {
	l := &ranked[F, V]{
		e:           e,
		keyed:       plan.keyed,
		numeric:     plan.numeric,
		categorical: plan.categorical,
		stride:      max(64, (plan.width+63)&^63),
	}
	// A block of many classes takes fewer rows, which bounds the sums.
	l.tiles = max(1, min(maxTiles, maxColumns/l.stride, 1<<14/e.Groups))
	for _, s := range spans {
		b := builder[F, V]{e: e, plan: plan}
		b.lay(s)
		l.spans = append(l.spans, b.span)
	}
	l.pool.New = func() any { return newScratch(l) }
	return l
}
