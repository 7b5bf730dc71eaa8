package forest

// add walks the trees for the lanes of a tile, eight or one, and adds what they give
// to its sums: of group g and lane r at 8g + r. rows are the inputs.
func (s *span[F, V]) add(e *Ensemble, t *tile[V], lanes int, at []uint32, sums []F, rows []float64) {
	if lanes == 8 {
		s.walkRows(t, at)
	} else {
		s.walkTrees(t, at)
	}
	switch {
	case s.leaves != nil:
		s.addLeaves(e, lanes, at, sums, rows)
	case lanes == 8:
		s.addRows(at, sums)
	default:
		s.addRow(at, sums)
	}
}

// addRows keeps the sums in registers from one tree of a group to the next.
func (s *span[F, V]) addRows(at []uint32, sums []F) {
	for i := 0; i < len(s.slots); {
		group := s.groupOf[i]
		sum := (*[8]F)(sums[8*group:])
		s0, s1, s2, s3, s4, s5, s6, s7 := sum[0], sum[1], sum[2], sum[3], sum[4], sum[5], sum[6], sum[7]
		for ; i < len(s.slots) && s.groupOf[i] == group; i++ {
			a := (*[8]uint32)(at[8*s.slots[i]:])
			s0 += s.values[a[0]]
			s1 += s.values[a[1]]
			s2 += s.values[a[2]]
			s3 += s.values[a[3]]
			s4 += s.values[a[4]]
			s5 += s.values[a[5]]
			s6 += s.values[a[6]]
			s7 += s.values[a[7]]
		}
		*sum = [8]F{s0, s1, s2, s3, s4, s5, s6, s7}
	}
}

func (s *span[F, V]) addRow(at []uint32, sums []F) {
	for i := 0; i < len(s.slots); {
		group := s.groupOf[i]
		sum := sums[8*group]
		for ; i < len(s.slots) && s.groupOf[i] == group; i++ {
			sum += s.values[at[s.slots[i]]]
		}
		sums[8*group] = sum
	}
}

// addLeaves adds leaves of any kind, as the plain walk does.
func (s *span[F, V]) addLeaves(e *Ensemble, lanes int, at []uint32, sums []F, rows []float64) {
	width := len(e.Inputs)
	for i, slot := range s.slots {
		for lane, a := range at[lanes*int(slot):][:lanes] {
			of, sum := s.leaves[a], sums[lane:]
			switch g := 8 * s.groupOf[i]; {
			case of.leaf == nil:
				sum[g] += s.values[a]
			case of.leaf.Vector == nil:
				x := of.leaf.value(rows[lane*width : (lane+1)*width])
				sum[g] = F(e.add(float64(sum[g]), x, of.tree))
			default:
				for g, x := range of.leaf.Vector {
					sum[8*g] = F(e.add(float64(sum[8*g]), x, of.tree))
				}
			}
		}
	}
}
