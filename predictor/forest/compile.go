package forest

import (
	"cmp"
	"math"
	"slices"
)

// Compile makes an ensemble into what scores fast. The ensemble must be as a loader
// leaves it, every index checked, and is not to be changed afterwards.
//
// Trees take the ranked layout, whatever their shape. What that cannot hold is
// scored by the plain walk: a linear booster, and a model of more than 16,384 columns
// or 65,535 thresholds in one of them.
func Compile(e *Ensemble) (*Model, error) {
	if e.Linear == nil && (e.Arith == Float64 || baseIsFloat32(e)) {
		if plan, err := planColumns(e); err == nil {
			if e.Arith == Float32 {
				return &Model{e, build[float32](e, plan)}, nil
			}
			return &Model{e, build[float64](e, plan)}, nil
		}
	}
	return &Model{e, newPlain(e)}, nil
}

// baseIsFloat32 reports whether a sum can start from Base in float32; XGBoost's does.
func baseIsFloat32(e *Ensemble) bool {
	for _, b := range e.Base {
		if float64(float32(b)) != b {
			return false
		}
	}
	return true
}

// A span's trees are walked before any is added. It takes few trees, so that their
// nodes stay in the first-level cache from tile to tile, but eight at least, so that
// a lone row has enough to interleave.
const (
	spanNodes = 3 << 10 // 24 KiB
	spanTrees = 64
)

// build lays the trees out.
func build[F float32 | float64](e *Ensemble, plan *columnPlan) *ranked[F] {
	l := &ranked[F]{e: e, sources: plan.sources, stride: (plan.width + 63) &^ 63}
	l.tiles = max(1, min(maxTiles, maxColumns/max(l.stride, 1)))
	for _, b := range e.Base {
		l.base = append(l.base, F(b))
	}
	l.nodes = []node{leafNode(0)}
	l.values = []F{0}
	for first := 0; first < len(e.Trees); {
		first = l.addSpan(plan, first)
	}
	if l.leaves != nil {
		l.leaves = append(l.leaves, make([]leafOf, len(l.nodes)-len(l.leaves))...)
	}
	l.pool.New = func() any { return newScratch(l) }
	return l
}

// addSpan lays out the next trees and returns the first one after them.
func (l *ranked[F]) addSpan(plan *columnPlan, first int) int {
	s := span{first: first, slot: len(l.roots)}
	var slots []slot
	for start := len(l.nodes); first+len(slots) < len(l.e.Trees); {
		t := len(slots)
		if t >= 8 && (len(l.nodes)-start >= spanNodes || t == spanTrees) {
			break
		}
		root := uint32(len(l.nodes))
		depth := l.addTree(plan, &l.e.Trees[first+t])
		slots = append(slots, slot{t, root, depth})
	}
	s.trees = len(slots)
	slices.SortStableFunc(slots, func(a, b slot) int { return cmp.Compare(a.depth, b.depth) })
	l.slots = append(l.slots, make([]uint32, s.trees)...)
	for i, slot := range slots {
		l.slots[first+slot.tree] = uint32(i)
	}
	for len(slots)%8 != 0 {
		slots = append(slots, slot{depth: slots[len(slots)-1].depth})
	}
	for _, slot := range slots {
		l.depths = append(l.depths, slot.depth)
		l.roots = append(l.roots, slot.root)
		for range 8 {
			l.starts = append(l.starts, slot.root)
		}
	}
	l.spans = append(l.spans, s)
	return first + s.trees
}

// A slot is a tree's place in its span's walk. The last ones of a span may be there
// only to make eight: they start from node 0, a leaf.
type slot struct {
	tree  int
	root  uint32
	depth int
}

// addTree appends a tree's nodes, children side by side and a subtree together, and
// returns its depth.
func (l *ranked[F]) addTree(plan *columnPlan, tree *Tree) (depth int) {
	type place struct {
		child int32 // as a Node names it
		at    int
		depth int
	}
	root := int32(0)
	if len(tree.Nodes) == 0 {
		root = ^0
	}
	l.grow(1)
	todo := []place{{root, len(l.nodes) - 1, 0}}
	for len(todo) > 0 {
		p := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		depth = max(depth, p.depth)
		if p.child < 0 {
			l.addLeaf(p.at, tree, &tree.Leaves[^p.child])
			continue
		}
		n := &tree.Nodes[p.child]
		column, bound := plan.split(tree, n)
		left := len(l.nodes)
		l.nodes[p.at] = node{uint32(bound)<<16 | uint32(column), uint32(left)}
		l.grow(2)
		todo = append(todo, place{n.Right, left + 1, p.depth + 1}, place{n.Left, left, p.depth + 1})
	}
	l.groupOf = append(l.groupOf, uint32(tree.Group))
	return depth
}

func (l *ranked[F]) grow(n int) {
	l.nodes = append(l.nodes, make([]node, n)...)
	l.values = append(l.values, make([]F, n)...)
}

func leafNode(at int) node { return node{maxRank << 16, uint32(at)} }

// addLeaf makes node at a leaf. A leaf of one value keeps what it adds, which the
// plain walk's own arithmetic computes: -0 is what adding leaves as it is. Vectors
// and linear models keep the leaf itself.
func (l *ranked[F]) addLeaf(at int, tree *Tree, leaf *Leaf) {
	l.nodes[at] = leafNode(at)
	if leaf.Vector == nil && leaf.Feature == nil {
		l.values[at] = F(l.e.add(math.Copysign(0, -1), leaf.Value, tree))
		return
	}
	l.leaves = append(l.leaves, make([]leafOf, len(l.nodes)-len(l.leaves))...)
	l.leaves[at] = leafOf{leaf, tree}
}
