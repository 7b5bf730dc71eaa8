package forest

import (
	"errors"
	"math"
	"slices"
)

// A columnPlan assigns every split its column and bound.
type columnPlan[V rank] struct {
	keyed       bool // numeric bounds are keys
	numeric     []*numeric
	categorical []*categorical[V]
	width       int // columns in all

	numericOf     map[featureKey]*numeric
	categoricalOf map[featureKey]*categorical[V]
	setAt         map[setKey]int // position among its feature's splits
}

// A featureKey is one feature as one kind of split reads it.
type featureKey struct {
	feature int32
	missing Missing
}

// A setSplit is a categorical split, a setKey the same to find equal ones.
type setSplit struct {
	listed                   Set
	defaultLeft, listedRight bool
}

type setKey struct {
	featureKey
	listed                   string
	defaultLeft, listedRight bool
}

// errWide says that a model has more columns or thresholds than a layout can hold.
var errWide = errors.New("forest: too wide for the layout")

// maxKeySets bounds the categorical columns beside keys: there a column takes twice
// the room it takes beside ranks, and copying them for every row costs more than the
// search for ranks.
const maxKeySets = 128

func planColumns[V rank](e *Ensemble, keyed bool) (*columnPlan[V], error) {
	p := &columnPlan[V]{
		keyed:         keyed,
		numericOf:     map[featureKey]*numeric{},
		categoricalOf: map[featureKey]*categorical[V]{},
		setAt:         map[setKey]int{},
	}
	for t := range e.Trees {
		tree := &e.Trees[t]
		for i := range tree.Nodes {
			p.add(tree, &tree.Nodes[i])
		}
	}
	if keyed && len(p.setAt) > maxKeySets {
		return nil, errWide
	}
	for _, n := range p.numeric {
		n.column = p.width
		p.width += 2
		if err := n.prepare(keyed); err != nil {
			return nil, err
		}
	}
	for _, c := range p.categorical {
		c.column = p.width
		p.width += len(c.splits)
		if err := c.prepare(); err != nil {
			return nil, err
		}
	}
	if p.width > maxColumns {
		return nil, errWide
	}
	return p, nil
}

// add notes a split's threshold or set.
func (p *columnPlan[V]) add(tree *Tree, n *Node) {
	key := featureKey{n.Feature, n.Missing}
	if n.Set < 0 {
		of := p.numericOf[key]
		if of == nil {
			of = &numeric{feature: int(n.Feature), missing: n.Missing}
			p.numericOf[key] = of
			p.numeric = append(p.numeric, of)
		}
		of.thresholds = append(of.thresholds, n.Threshold)
		return
	}
	of := p.categoricalOf[key]
	if of == nil {
		of = &categorical[V]{feature: int(n.Feature), missing: n.Missing}
		p.categoricalOf[key] = of
		p.categorical = append(p.categorical, of)
	}
	set := keyOf(tree, n)
	if _, ok := p.setAt[set]; !ok {
		p.setAt[set] = len(of.splits)
		of.splits = append(of.splits, setSplit{tree.Sets[n.Set], n.DefaultLeft, n.ListedRight})
	}
}

func keyOf(tree *Tree, n *Node) setKey {
	var b []byte
	for _, w := range tree.Sets[n.Set] {
		b = append(b, byte(w), byte(w>>8), byte(w>>16), byte(w>>24))
	}
	return setKey{featureKey{n.Feature, n.Missing}, string(b), n.DefaultLeft, n.ListedRight}
}

// split is the column and the bound of a node.
func (p *columnPlan[V]) split(tree *Tree, n *Node) (column int, bound V) {
	key := featureKey{n.Feature, n.Missing}
	if n.Set >= 0 {
		return p.categoricalOf[key].column + p.setAt[keyOf(tree, n)], 0
	}
	of := p.numericOf[key]
	column = of.column
	if !n.DefaultLeft {
		column++
	}
	if p.keyed {
		return column, V(key32(float32(n.Threshold)) - 1)
	}
	k, _ := slices.BinarySearch(of.thresholds, n.Threshold)
	return column, V(k)
}

// prepare sorts the thresholds and makes the search tree. Keys need neither.
func (n *numeric) prepare(keyed bool) error {
	if keyed {
		n.thresholds = nil
		return nil
	}
	slices.Sort(n.thresholds)
	n.thresholds = slices.Compact(n.thresholds)
	if len(n.thresholds) > maxRank {
		return errWide
	}
	for len(n.thresholds) >= 1<<n.levels {
		n.levels++
	}
	n.below = make([]uint64, 1<<n.levels)
	left := n.thresholds
	var fill func(at int)
	fill = func(at int) {
		if at >= len(n.below) {
			return
		}
		fill(2 * at)
		n.below[at] = math.MaxUint64
		if len(left) > 0 {
			n.below[at] = key64(left[0]) - 1
			left = left[1:]
		}
		fill(2*at + 1)
	}
	fill(1)
	return nil
}

// prepare fills the table.
func (c *categorical[V]) prepare() error {
	words := 0
	for _, s := range c.splits {
		c.categories = max(c.categories, 32*len(s.listed))
		words += len(s.listed)
	}
	// Sets of about one length take 32 entries a word. A single long one among many
	// short ones must not make a small file a large table.
	size := (c.categories + 2) * len(c.splits)
	if size > 1<<20+64*words {
		return errWide
	}
	c.table = make([]V, 0, size)
	for code := range c.categories + 2 {
		for _, s := range c.splits {
			left := s.listed.has(float64(code)) != s.listedRight
			if code == c.categories+1 {
				left = s.defaultLeft
			}
			right := V(1)
			if left {
				right = 0
			}
			c.table = append(c.table, right)
		}
	}
	return nil
}
