package forest

import (
	"cmp"
	"math"
	"slices"
)

// A builder fills a span.
type builder[F float, V rank] struct {
	span[F, V]
	e    *Ensemble
	plan *columnPlan[V]
}

func (b *builder[F, V]) lay(s cutSpan) {
	b.trees = len(s.trees)
	for i := range s.trees {
		b.groupOf = append(b.groupOf, uint32(s.trees[i].Group))
	}
	if s.full > 0 {
		b.full(s.trees, s.full)
	} else {
		b.pairs(s.trees, s.depths)
	}
	if b.leaves != nil {
		b.leaves = append(b.leaves, make([]leafOf, len(b.values)-len(b.leaves))...)
	}
}

// full lays out trees as heaps of one depth.
func (b *builder[F, V]) full(trees []Tree, depth int) {
	size := 1 << depth
	padded := (len(trees) + 7) &^ 7 * size // walkTrees takes eight at a time
	b.depth = depth
	b.columns, b.bounds = make([]uint16, padded), make([]V, padded)
	b.values = make([]F, padded)
	for i := range trees {
		b.slots = append(b.slots, uint32(i))
		b.heap(&trees[i], rootOf(&trees[i]), i*size, 1, size)
	}
}

func rootOf(t *Tree) int32 {
	if len(t.Nodes) == 0 {
		return ^0
	}
	return 0
}

// heap fills the subtree at heap number i of the tree that starts at base.
func (b *builder[F, V]) heap(tree *Tree, from int32, base, i, size int) {
	if from >= 0 {
		n := &tree.Nodes[from]
		column, bound := b.plan.split(tree, n)
		b.columns[base+i], b.bounds[base+i] = uint16(column), bound
		b.heap(tree, n.Left, base, 2*i, size)
		b.heap(tree, n.Right, base, 2*i+1, size)
		return
	}
	for ; i < size; i *= 2 {
		b.bounds[base+i] = ^V(0) // always left
	}
	b.setLeaf(base+i-size, tree, &tree.Leaves[^from])
}

// pairs lays out trees of any shape. The last slots of a span may be there only to
// make a multiple of eight: they start from node 0, a leaf.
func (b *builder[F, V]) pairs(trees []Tree, depths []int) {
	b.grow(1)
	b.nodes[0] = leafNode(0)
	roots := make([]uint32, len(trees))
	bySlot := make([]int, len(trees))
	for i := range trees {
		bySlot[i] = i
		roots[i] = b.addTree(&trees[i])
	}
	slices.SortStableFunc(bySlot, func(i, k int) int { return cmp.Compare(depths[i], depths[k]) })
	b.slots = make([]uint32, len(trees))
	for slot, i := range bySlot {
		b.slots[i] = uint32(slot)
		b.addSlot(roots[i], depths[i])
	}
	for len(b.roots)%8 != 0 {
		b.addSlot(0, b.depths[len(b.depths)-1])
	}
}

func (b *builder[F, V]) addSlot(root uint32, depth int) {
	b.roots = append(b.roots, root)
	b.starts = append(b.starts, root, root, root, root, root, root, root, root)
	b.depths = append(b.depths, depth)
}

// addTree appends a tree's nodes, a subtree's together, and returns its root.
func (b *builder[F, V]) addTree(tree *Tree) (root uint32) {
	type place struct {
		from int32 // as a Node names it
		at   int
	}
	todo := []place{{rootOf(tree), b.grow(1)}}
	root = uint32(todo[0].at)
	for len(todo) > 0 {
		p := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if p.from < 0 {
			b.nodes[p.at] = leafNode(p.at)
			b.setLeaf(p.at, tree, &tree.Leaves[^p.from])
			continue
		}
		n := &tree.Nodes[p.from]
		column, bound := b.plan.split(tree, n)
		left := b.grow(2)
		b.nodes[p.at] = node{uint32(bound)<<16 | uint32(column), uint32(left)}
		todo = append(todo, place{n.Right, left + 1}, place{n.Left, left})
	}
	return root
}

// grow appends n nodes and returns the first.
func (b *builder[F, V]) grow(n int) int {
	b.nodes = append(b.nodes, make([]node, n)...)
	b.values = append(b.values, make([]F, n)...)
	return len(b.nodes) - n
}

func leafNode(at int) node { return node{maxRank << 16, uint32(at)} }

// setLeaf sets what a walk that ends at at adds. The plain walk's own arithmetic
// computes a single value: -0 is what adding leaves as it is. Vectors and linear models
// keep the leaf itself.
func (b *builder[F, V]) setLeaf(at int, tree *Tree, leaf *Leaf) {
	if leaf.Vector == nil && leaf.Feature == nil {
		b.values[at] = F(b.e.add(math.Copysign(0, -1), leaf.Value, tree))
		return
	}
	b.leaves = append(b.leaves, make([]leafOf, len(b.values)-len(b.leaves))...)
	b.leaves[at] = leafOf{leaf, tree}
}
