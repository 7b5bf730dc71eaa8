package forest

// scratch is what scoring one batch needs, reused from batch to batch.
type scratch[F float32 | float64] struct {
	ranks   [len(tile{}) + maxColumns]uint16
	sums    []F // a tile's are groups x 8 rows
	at      []uint32
	margins []float64
}

func newScratch[F float32 | float64](l *ranked[F]) *scratch[F] {
	most := 0
	for _, s := range l.spans {
		most = max(most, s.trees)
	}
	return &scratch[F]{
		sums:    make([]F, l.tiles*l.e.Groups*8),
		at:      make([]uint32, 8*(most+7)),
		margins: make([]float64, l.e.Groups),
	}
}

// tile is the i-th tile of a block.
func (s *scratch[F]) tile(i, stride int) *tile {
	return (*tile)(s.ranks[i*stride:])
}

// score goes through the rows in blocks of tiles: eight rows a tile as long as there
// are, then one.
func (l *ranked[F]) score(in, out []float64, rows int, raw bool) {
	s := l.pool.Get().(*scratch[F])
	defer l.pool.Put(s)
	for r := 0; r < rows; {
		r += l.block(s, in, out, r, rows-r, raw)
	}
}

// block scores the first of the rows left, from row first, and returns how many.
func (l *ranked[F]) block(s *scratch[F], in, out []float64, first, left int, raw bool) int {
	full := min(left/8, l.tiles)
	lone := min(left-8*full, l.tiles-full)
	width, groups := len(l.e.Inputs), l.e.Groups
	for i := range full + lone {
		t := s.tile(i, l.stride)
		for lane := range lanesOf(i, full) {
			r := first + rowOf(i, full) + lane
			l.rank(in[r*width:(r+1)*width], t[lane*laneStride:])
		}
		l.start(s.sums[i*groups*8 : (i+1)*groups*8])
	}
	for _, span := range l.spans {
		for i := range full + lone {
			t, sums := s.tile(i, l.stride), s.sums[i*groups*8:(i+1)*groups*8]
			r := first + rowOf(i, full)
			if i < full {
				l.addRows(&span, t, s.at, sums, in[r*width:])
			} else {
				l.addRow(&span, t, s.at, sums, in[r*width:])
			}
		}
	}
	for i := range full + lone {
		for lane := range lanesOf(i, full) {
			for g := range groups {
				s.margins[g] = float64(s.sums[(i*groups+g)*8+lane])
			}
			l.e.emit(s.margins, out, first+rowOf(i, full)+lane, raw)
		}
	}
	return 8*full + lone
}

// Of a block's tiles the first, full ones hold eight rows, the others one.
func lanesOf(i, full int) int {
	if i < full {
		return 8
	}
	return 1
}

func rowOf(i, full int) int {
	return 8*min(i, full) + max(0, i-full)
}

func (l *ranked[F]) start(sums []F) {
	for g, b := range l.base {
		for r := range 8 {
			sums[g*8+r] = b
		}
	}
}

// addRows adds a span's trees to the sums of a tile's eight rows.
func (l *ranked[F]) addRows(s *span, t *tile, at []uint32, sums []F, in []float64) {
	at = at[:8*s.trees]
	copy(at, l.starts[8*s.slot:])
	depths := l.depths[s.slot : s.slot+s.trees]
	for i := 0; i < len(depths); {
		j := i + 1
		for j < len(depths) && depths[j] == depths[i] {
			j++
		}
		l.descend(&walkRows, t, at[8*i:8*j], depths[i])
		i = j
	}
	if l.leaves != nil {
		l.addLeaves(s, at, 8, sums, in)
		return
	}
	for i, slot := range l.slots[s.first : s.first+s.trees] {
		a := (*[8]uint32)(at[8*slot:])
		sum := (*[8]F)(sums[8*l.groupOf[s.first+i]:])
		sum[0] += l.values[a[0]]
		sum[1] += l.values[a[1]]
		sum[2] += l.values[a[2]]
		sum[3] += l.values[a[3]]
		sum[4] += l.values[a[4]]
		sum[5] += l.values[a[5]]
		sum[6] += l.values[a[6]]
		sum[7] += l.values[a[7]]
	}
}

// addRow does the same for the single row of a tile.
func (l *ranked[F]) addRow(s *span, t *tile, at []uint32, sums []F, in []float64) {
	at = at[:(s.trees+7)&^7]
	copy(at, l.roots[s.slot:])
	for i := 0; i < len(at); i += 8 {
		l.descend(&walkTrees, t, at[i:i+8], l.depths[s.slot+i+7])
	}
	if l.leaves != nil {
		l.addLeaves(s, at, 1, sums, in)
		return
	}
	for i, slot := range l.slots[s.first : s.first+s.trees] {
		sums[8*l.groupOf[s.first+i]] += l.values[at[slot]]
	}
}

// descend walks from at down to the leaves.
func (l *ranked[F]) descend(walk *[9]walkFunc, t *tile, at []uint32, depth int) {
	for ; depth > 8; depth -= 8 {
		walk[8](l.nodes, t, at)
		if depth > 16 && l.arrived(at) {
			return
		}
	}
	if depth > 0 {
		walk[depth](l.nodes, t, at)
	}
}

func (l *ranked[F]) arrived(at []uint32) bool {
	for _, i := range at {
		if l.nodes[i].child != i {
			return false
		}
	}
	return true
}

// addLeaves adds leaves of any kind, the way the plain walk does.
func (l *ranked[F]) addLeaves(s *span, at []uint32, lanes int, sums []F, in []float64) {
	width := len(l.e.Inputs)
	for i, slot := range l.slots[s.first : s.first+s.trees] {
		for lane, a := range at[lanes*int(slot):][:lanes] {
			of := l.leaves[a]
			switch g := 8 * int(l.groupOf[s.first+i]); {
			case of.leaf == nil:
				sums[g+lane] += l.values[a]
			case of.leaf.Vector == nil:
				x := of.leaf.value(in[lane*width : (lane+1)*width])
				sums[g+lane] = F(l.e.add(float64(sums[g+lane]), x, of.tree))
			default:
				for g, x := range of.leaf.Vector {
					sums[8*g+lane] = F(l.e.add(float64(sums[8*g+lane]), x, of.tree))
				}
			}
		}
	}
}
