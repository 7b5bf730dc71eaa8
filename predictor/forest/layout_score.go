package forest

// scratch is what scoring one batch needs, reused from batch to batch.
type scratch[F float, V rank] struct {
	ranks   [len(tile[V]{}) + maxColumns]V
	sums    []F      // a tile's are groups x 8 rows
	at      []uint32 // where a span's walks end
	margins []float64
}

func newScratch[F float, V rank](l *ranked[F, V]) *scratch[F, V] {
	return &scratch[F, V]{
		sums:    make([]F, l.tiles*l.e.Groups*8),
		at:      make([]uint32, 8*spanTrees),
		margins: make([]float64, l.e.Groups),
	}
}

// A block is the rows that are scored together: rows first on, in tiles of eight as
// long as there are so many, then in tiles of one.
type block struct {
	first, full, lone int
}

func (b block) tiles() int { return b.full + b.lone }
func (b block) end() int   { return b.first + 8*b.full + b.lone }

// tile is the i-th tile's first row and how many it has.
func (b block) tile(i int) (row, lanes int) {
	if i < b.full {
		return b.first + 8*i, 8
	}
	return b.first + 7*b.full + i, 1
}

func (l *ranked[F, V]) score(in, out []float64, rows int, raw bool) {
	s := l.pool.Get().(*scratch[F, V])
	defer l.pool.Put(s)
	for first := 0; first < rows; {
		b := block{first: first, full: min((rows-first)/8, l.tiles)}
		b.lone = min(rows-b.end(), l.tiles-b.full)
		l.rankBlock(s, b, in)
		for k := range l.spans {
			for i := range b.tiles() {
				row, lanes := b.tile(i)
				l.spans[k].add(l.e, l.tile(s, i), lanes, s.at, l.sums(s, i), in[row*len(l.e.Inputs):])
			}
		}
		l.emitBlock(s, b, out, raw)
		first = b.end()
	}
}

func (l *ranked[F, V]) tile(s *scratch[F, V], i int) *tile[V] {
	return (*tile[V])(s.ranks[i*l.stride:])
}

// sums are a tile's: of group g and lane r at 8g + r.
func (l *ranked[F, V]) sums(s *scratch[F, V], i int) []F {
	n := 8 * l.e.Groups
	return s.sums[i*n : (i+1)*n]
}

// rankBlock fills the tiles and starts the sums.
func (l *ranked[F, V]) rankBlock(s *scratch[F, V], b block, in []float64) {
	width := len(l.e.Inputs)
	for i := range b.tiles() {
		row, lanes := b.tile(i)
		t, rows := l.tile(s, i), in[row*width:]
		if l.keyed {
			keyColumns(l.numeric, rows, width, lanes, t)
		} else {
			rankColumns(l.numeric, rows, width, lanes, l.e.Arith, t)
		}
		for _, c := range l.categorical {
			c.fill(rows, width, lanes, l.e.Arith, t)
		}
		sums := l.sums(s, i)
		for k := range sums {
			sums[k] = F(l.e.Base[k/8])
		}
	}
}

func (l *ranked[F, V]) emitBlock(s *scratch[F, V], b block, out []float64, raw bool) {
	for i := range b.tiles() {
		row, lanes := b.tile(i)
		sums := l.sums(s, i)
		for lane := range lanes {
			for g := range s.margins {
				s.margins[g] = float64(sums[8*g+lane])
			}
			l.e.emit(s.margins, out, row+lane, raw)
		}
	}
}
