package forest

import "math/bits"

// A span's trees are walked before any of them is added. There are few, so that what
// is walked stays in the first-level cache from tile to tile, but eight at least, to
// interleave for a lone row. They have one of two forms:
//
// Full trees, heaps of one depth up to 8, at least a quarter filled: the trees that
// XGBoost grows to max_depth. A split takes 4 bytes (6 with keys), a
// step six instructions. A shorter branch goes on with splits that send
// everything left.
//
// Pairs, for any other shape, LightGBM's leaf-wise trees and deep forests: 8-byte
// nodes, two children side by side; a step takes eight instructions. A leaf is its own
// child, so that a walk needs no test for its end: it goes to the tree's full depth.
type span[F float, V rank] struct {
	trees   int
	slots   []uint32 // by tree: its place in the walk
	groupOf []uint32 // by tree
	values  []F      // by where a walk ends: what the leaf adds
	leaves  []leafOf // by where a walk ends, where a leaf is a vector or linear; or nil

	depth   int      // of full trees, 1 at least; 0 for pairs
	columns []uint16 // tree after tree, a root at 1, the children of i at 2i and 2i+1
	bounds  []V      // likewise

	nodes  []node
	depths []int    // by slot, ascending
	roots  []uint32 // by slot
	starts []uint32 // each root eight times
}

type leafOf struct {
	leaf *Leaf
	tree *Tree
}

// A node is one split or leaf: the lower 16 bits of test are the column, the upper 16
// the bound; child is the left child, and the right one follows it.
type node struct {
	test, child uint32
}

// heapChild is the step of fullRows and fullTrees, which walk trees that lie one after
// the other; the leaves of a tree are numbered from leaf + 2^depth. The borrow of the
// subtraction is the carry of the addition: two instructions and no branch.
func heapChild[V rank](column uint16, bound V, t *tile[V], at uint64, lane uint) uint64 {
	_, right := bits.Sub64(uint64(bound), uint64(t[uint(column)+lane]), 0)
	next, _ := bits.Add64(at, at, right)
	return next
}

// child is the step of pairRows and pairTrees, which walk from the nodes in from and
// leave in to where they arrive; the two may be the same.
func child[V rank](nodes []node, t *tile[V], at uint64, lane uint) uint64 {
	n := &nodes[at]
	test := n.test
	_, right := bits.Sub64(uint64(test>>16), uint64(t[uint(uint16(test))+lane]), 0)
	next, _ := bits.Add64(uint64(n.child), 0, right)
	return next
}

// walkRows walks all trees for a tile's eight rows: slot s ends at at[8s:].
func (s *span[F, V]) walkRows(t *tile[V], at []uint32) {
	if s.depth > 0 {
		size := uint32(1) << s.depth
		fullRows(s.depth, s.columns, s.bounds, t, -size, at[:8*s.trees])
		return
	}
	for i := 0; i < s.trees; {
		j := i + 1
		for j < s.trees && s.depths[j] == s.depths[i] {
			j++
		}
		s.descend(pairRows[V], t, s.starts[8*i:8*j], at[8*i:8*j], s.depths[i])
		i = j
	}
}

// walkTrees walks all trees for a tile's first row: slot s ends at at[s].
func (s *span[F, V]) walkTrees(t *tile[V], at []uint32) {
	if s.depth > 0 {
		size := uint32(1) << s.depth
		fullTrees(s.depth, s.columns, s.bounds, t, -size, at[:(s.trees+7)&^7])
		return
	}
	for i := 0; i < s.trees; i += 8 {
		s.descend(pairTrees[V], t, s.roots[i:i+8], at[i:i+8], s.depths[i+7])
	}
}

// descend walks down to the leaves, at most eight levels a step.
func (s *span[F, V]) descend(walk func(int, []node, *tile[V], []uint32, []uint32), t *tile[V], from, to []uint32, depth int) {
	if depth == 0 {
		copy(to, from)
	}
	for ; depth > 0; depth -= 8 {
		if walk(min(depth, 8), s.nodes, t, from, to); depth > 16 && s.arrived(to) {
			return
		}
		from = to
	}
}

func (s *span[F, V]) arrived(at []uint32) bool {
	for _, i := range at {
		if s.nodes[i].child != i {
			return false
		}
	}
	return true
}

func (s *span[F, V]) bytes() int {
	return 4*(len(s.slots)+len(s.groupOf)+len(s.roots)+len(s.starts)) + size[F]()*len(s.values) +
		16*len(s.leaves) + 2*len(s.columns) + size[V]()*len(s.bounds) + 8*(len(s.nodes)+len(s.depths))
}
