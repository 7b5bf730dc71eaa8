package forest

import (
	"errors"
	"math"
	"math/bits"
	"slices"
)

// A source is one feature as one kind of split reads it: the feature and what counts
// as missing. It fills the columns its splits compare.
type source struct {
	feature int
	missing Missing

	// thresholds are the distinct ones of its numeric splits as a search tree: t[1]
	// is the root, t[2i] and t[2i+1] are t[i]'s children, and NaN, which nothing
	// reaches, fills it up. The split on the k-th from 0 has bound k.
	thresholds []float64
	levels     int // of the search tree
	count      uint16

	// left and right are the columns of the splits that send missing values left
	// (rank 0) and right (rank count); -1 when there are none.
	left, right int

	// A column each distinct categorical split: 1 where the category goes right, bound
	// 0. A row of setTable holds them for one category; two more rows serve those in
	// no set and the missing.
	setFirst, setCount int
	categories         int
	setTable           []uint16
}

// A columnPlan assigns every split its column and bound.
type columnPlan struct {
	sources []source
	sorted  [][]float64  // a source's thresholds, ascending
	splits  [][]setSplit // a source's categorical splits
	width   int          // columns in all

	bySource map[sourceKey]int
	bySet    map[setKey]int // the position among the source's splits
}

type sourceKey struct {
	feature int32
	missing Missing
}

type setKey struct {
	source                   int
	listed                   string
	defaultLeft, listedRight bool
}

type setSplit struct {
	listed                   Set
	defaultLeft, listedRight bool
}

// errWide says that a model has more columns or thresholds than the layout can hold;
// the plain walk scores it then.
var errWide = errors.New("forest: too wide for ranks")

func planColumns(e *Ensemble) (*columnPlan, error) {
	p := &columnPlan{bySource: map[sourceKey]int{}, bySet: map[setKey]int{}}
	for t := range e.Trees {
		tree := &e.Trees[t]
		for i := range tree.Nodes {
			p.add(tree, &tree.Nodes[i])
		}
	}
	for i := range p.sources {
		s := &p.sources[i]
		slices.Sort(p.sorted[i])
		p.sorted[i] = slices.Compact(p.sorted[i])
		if len(p.sorted[i]) > maxRank {
			return nil, errWide
		}
		s.searchTree(p.sorted[i])
		p.number(s, len(p.splits[i]))
		if p.width > maxColumns {
			return nil, errWide
		}
		if err := s.tabulate(p.splits[i], e.Arith); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// add notes a split: its source, and its threshold or set.
func (p *columnPlan) add(tree *Tree, n *Node) {
	key := sourceKey{n.Feature, n.Missing}
	k, ok := p.bySource[key]
	if !ok {
		k = len(p.sources)
		p.bySource[key] = k
		p.sources = append(p.sources, source{feature: int(n.Feature), missing: n.Missing, left: -1, right: -1})
		p.sorted = append(p.sorted, nil)
		p.splits = append(p.splits, nil)
	}
	if n.Set >= 0 {
		set := keyOf(k, tree, n)
		if _, ok := p.bySet[set]; !ok {
			p.bySet[set] = len(p.splits[k])
			p.splits[k] = append(p.splits[k], setSplit{tree.Sets[n.Set], n.DefaultLeft, n.ListedRight})
		}
		return
	}
	p.sorted[k] = append(p.sorted[k], n.Threshold)
	if n.DefaultLeft {
		p.sources[k].left = 0
	} else {
		p.sources[k].right = 0
	}
}

func keyOf(source int, tree *Tree, n *Node) setKey {
	var b []byte
	for _, w := range tree.Sets[n.Set] {
		b = append(b, byte(w), byte(w>>8), byte(w>>16), byte(w>>24))
	}
	return setKey{source, string(b), n.DefaultLeft, n.ListedRight}
}

// number hands out a source's columns.
func (p *columnPlan) number(s *source, sets int) {
	if s.left == 0 {
		s.left = p.width
		p.width++
	}
	if s.right == 0 {
		s.right = p.width
		p.width++
	}
	s.setFirst, s.setCount = p.width, sets
	p.width += sets
}

// searchTree lays ascending thresholds out level by level.
func (s *source) searchTree(sorted []float64) {
	s.count = uint16(len(sorted))
	s.levels = bits.Len(uint(len(sorted)))
	s.thresholds = make([]float64, 1<<s.levels)
	next := 0
	var fill func(at int)
	fill = func(at int) {
		if at >= len(s.thresholds) {
			return
		}
		fill(2 * at)
		s.thresholds[at] = math.NaN()
		if next < len(sorted) {
			s.thresholds[at] = sorted[next]
			next++
		}
		fill(2*at + 1)
	}
	fill(1)
}

// tabulate fills the table of the categorical splits.
func (s *source) tabulate(splits []setSplit, arith Arith) error {
	words := 0
	for _, p := range splits {
		s.categories = max(s.categories, 32*len(p.listed))
		words += len(p.listed)
	}
	// Sets of about one length take 32 entries a word. A single long one among many
	// short ones must not make a small file a large table.
	if (s.categories+2)*len(splits) > 1<<20+64*words {
		return errWide
	}
	s.setTable = make([]uint16, 0, (s.categories+2)*len(splits))
	for c := range s.categories + 2 {
		for _, p := range splits {
			left := p.listed.has(float64(c)) != p.listedRight
			if c == s.categories+1 {
				left = p.defaultLeft
			}
			s.setTable = append(s.setTable, bit(!left))
		}
	}
	return nil
}

func bit(b bool) uint16 {
	if b {
		return 1
	}
	return 0
}

// split is the column and the bound of a node.
func (p *columnPlan) split(tree *Tree, n *Node) (column, bound int) {
	k := p.bySource[sourceKey{n.Feature, n.Missing}]
	s := &p.sources[k]
	if n.Set >= 0 {
		return s.setFirst + p.bySet[keyOf(k, tree, n)], 0
	}
	bound, _ = slices.BinarySearch(p.sorted[k], n.Threshold)
	if n.DefaultLeft {
		return s.left, bound
	}
	return s.right, bound
}
