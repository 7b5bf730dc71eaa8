package forest

import (
	"math/bits"
	"sync"
)

//go:generate go run layout_gen.go

// ranked is the layout of tree ensembles. A row's values are first replaced by ranks
// (layout_rank.go): a column holds how many of its thresholds a value reaches, so
// that every split of either library, numeric or categorical, whatever it does with
// missing values, is one comparison of small integers: right when rank > bound. That
// is exact, makes a node small and leaves one kind of node to walk. Trees of any
// shape are arrays of 8-byte nodes whose children lie side by side; a leaf is its own
// child, so a walk needs no test for its end and no branch: it goes to the tree's
// full depth.
//
// Eight walks run interleaved, because one alone waits about twelve cycles a level
// for its loads: eight rows of a tile down one tree, or, for the rows left over and
// small batches, eight trees for one row. A walk gives a node's number; the values are
// added afterwards, in tree order, so that a row's sum does not depend on its
// neighbours.
type ranked[F float32 | float64] struct {
	e       *Ensemble
	sources []source
	stride  int // of the tiles of a block in its lanes, in columns
	tiles   int // in a block

	nodes  []node
	values []F      // by node: what its leaf adds
	leaves []leafOf // by node, where a leaf is a vector or linear; nil when none is

	spans []span
	// By slot, a span's trees by depth:
	roots  []uint32
	starts []uint32 // each root eight times
	depths []int
	// By tree:
	slots   []uint32 // within its span
	groupOf []uint32

	base []F
	pool sync.Pool // *scratch[F]
}

type span struct {
	first, trees int
	slot         int // its first
}

type leafOf struct {
	leaf *Leaf
	tree *Tree
}

// A node is one split or leaf: bits 0 to 13 of test are the column, the upper 16 the
// bound; child is the left child, and the right one follows it. A leaf's bound is
// never exceeded and its child is itself.
type node struct {
	test, child uint32
}

const (
	maxColumns = 1 << 14
	maxRank    = 1<<16 - 1
	maxTiles   = 64

	// laneStride parts the rows of a tile. It is fixed, so that a lane is a constant
	// in an address, and no multiple of a page, so that lanes do not compete for the
	// same sets of the cache.
	laneStride = maxColumns + 256
)

// A tile holds the ranks of eight rows: row r's column c is at r*laneStride + c. It
// is a window on a longer array: any index a node can make lies within it, so the
// compiler needs no check. Most of it is never touched.
type tile [7*laneStride + maxColumns]uint16

// A walkFunc walks eight lanes at a time from the nodes in at and leaves there where
// it arrived.
type walkFunc func(nodes []node, t *tile, at []uint32)

// child is the step of a walk. The borrow of the subtraction is the carry of the
// addition: two instructions and no branch.
func child(nodes []node, t *tile, at uint64, lane uint) uint64 {
	n := &nodes[at]
	test := n.test
	_, right := bits.Sub64(uint64(test>>16), uint64(t[uint(test&(maxColumns-1))+lane]), 0)
	next, _ := bits.Add64(uint64(n.child), 0, right)
	return next
}

func (l *ranked[F]) layout() string { return "ranked" }

func (l *ranked[F]) bytes() int {
	n := 8*len(l.nodes) + size[F]()*len(l.values) + 16*len(l.leaves) + 8*len(l.depths) +
		4*(len(l.roots)+len(l.starts)+len(l.slots)+len(l.groupOf))
	for i := range l.sources {
		n += 8*len(l.sources[i].thresholds) + 2*len(l.sources[i].setTable)
	}
	return n
}

func size[F float32 | float64]() int {
	if F(1)/3 == F(float32(1)/3) {
		return 4
	}
	return 8
}
