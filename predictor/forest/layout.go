package forest

import "sync"

//go:generate go run layout_gen.go

// ranked is the layout of tree ensembles. A row's values are first replaced by ranks
// (layout_rank.go): a column holds how many of its thresholds a value reaches, so
// that every split of either library, numeric or categorical, whatever it does with
// missing values, is one comparison of small integers: right when rank > bound. That
// is exact, makes nodes small and leaves one kind of node to walk.
//
// Trees come in spans of one form (layout_span.go). Eight walks run interleaved,
// because one alone waits about ten cycles a level for its loads: eight rows of a tile
// down one tree, or, for the rows left over and small batches, eight trees for
// one row. A walk ends at a leaf's number; the values are added afterwards, in tree
// order, so that a row's sum does not depend on its neighbours.
type ranked[F float, V rank] struct {
	e           *Ensemble
	numeric     []*numeric
	categorical []*categorical[V]
	stride      int // from one tile of a block to the next, in columns
	tiles       int // in a block
	keyed       bool
	spans       []span[F, V]
	pool        sync.Pool // *scratch[F, V]
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

// A rank is what a tile holds. Ranks proper take 16 bits. Where all trees are full
// and of float32, ranks of 32 bits save the search for them: they are keys, the
// numbers of the floats themselves (key32).
type rank interface{ uint16 | uint32 }

// A float is a margin in its library's arithmetic.
type float interface{ float32 | float64 }

// A tile holds the ranks of eight rows: row r's column c is at r*laneStride + c. It
// is a window on a longer array: any index a 16-bit column can make lies within it, so
// the compiler needs no check. Most of it is never touched.
type tile[V rank] [7*laneStride + 1<<16]V

func (l *ranked[F, V]) layout() string {
	if l.keyed {
		return "keyed"
	}
	return "ranked"
}

func (l *ranked[F, V]) bytes() int {
	n := 0
	for i := range l.spans {
		n += l.spans[i].bytes()
	}
	for _, f := range l.numeric {
		n += 8 * (len(f.thresholds) + len(f.below))
	}
	for _, c := range l.categorical {
		n += size[V]() * len(c.table)
	}
	return n
}

// size is what a number takes, in bytes.
func size[N rank | float]() int {
	switch any(N(0)).(type) {
	case uint16:
		return 2
	case uint32, float32:
		return 4
	}
	return 8
}
