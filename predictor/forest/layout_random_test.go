package forest

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
)

// bytesSource makes random numbers of a fuzzer's bytes, and, after their end, of a
// generator seeded with their number.
type bytesSource struct {
	data []byte
	rest *rand.PCG
}

func newBytesSource(data []byte) *bytesSource {
	return &bytesSource{data, rand.NewPCG(uint64(len(data)), 1)}
}

func (s *bytesSource) Uint64() uint64 {
	if len(s.data) < 4 {
		return s.rest.Uint64()
	}
	x := uint64(binary.LittleEndian.Uint32(s.data)) * 0x9e3779b97f4a7c15
	s.data = s.data[4:]
	return x
}

// A grower makes random ensembles and rows for them.
type grower struct {
	*rand.Rand
	e      *Ensemble
	values []float64 // worth trying in a row: thresholds, their neighbours, codes
}

// hard are values at which comparisons go wrong.
var hard = []float64{
	0, math.Copysign(0, -1), 1, -1, 0.5, -0.5, 3, 31, 32, 33, 1e9, 1 << 31, -1e300, 1e300, 1e-40, 5e-324, -5e-324,
	math.SmallestNonzeroFloat32, math.MaxFloat32, math.MaxFloat64, math.Inf(1), math.Inf(-1),
	float64(float32(1e-35)), -float64(float32(1e-35)), math.Nextafter(float64(float32(1e-35)), 1), 1e-36,
}

func grow(r *rand.Rand, mostTrees, mostSplits int) *grower {
	g := &grower{Rand: r, values: append([]float64{math.NaN()}, hard...)}
	g.e = &Ensemble{
		Inputs:      make([]Input, 1+g.IntN(9)),
		Arith:       Arith(g.IntN(2)),
		Groups:      1 + max(0, g.IntN(7)-3),
		DartInPlace: g.chance(4),
		Average:     []float64{1, 1, 7}[g.IntN(3)],
		Link:        Link(g.IntN(int(Log1pExp) + 1)),
		Scale:       []float64{1, 2.5}[g.IntN(2)],
	}
	g.e.Outputs = make([]string, g.e.Groups)
	if g.e.Link == SoftmaxArg {
		g.e.Outputs = g.e.Outputs[:1]
	}
	for range g.e.Groups {
		g.e.Base = append(g.e.Base, float64(float32(g.NormFloat64())))
	}
	if g.chance(8) {
		g.e.Base[0] = math.Inf(-1)
	}
	if g.chance(20) {
		g.e.Linear = &Linear{Weight: make([]float64, len(g.e.Inputs)*g.e.Groups), Bias: make([]float64, g.e.Groups)}
		for i := range g.e.Linear.Weight {
			g.e.Linear.Weight[i] = g.number()
		}
		return g
	}
	if g.chance(40) {
		g.e.Base[0] = 0.1 // which no float32 is
	}
	vectors, linear := g.chance(5), g.chance(5)
	// Only in a model without the others are all trees full.
	forms := [][]form{{balanced}, {ragged, straight, balanced}}[g.IntN(2)]
	for i := range g.IntN(mostTrees + 1) {
		g.e.Trees = append(g.e.Trees, g.tree(i%g.e.Groups, g.IntN(mostSplits+1), forms[g.IntN(len(forms))], vectors, linear))
	}
	return g
}

func (g *grower) chance(n int) bool { return g.IntN(n) == 0 }

// number is an ordinary or a hard value, in float32 where the library keeps that.
func (g *grower) number() float64 {
	x := g.NormFloat64()
	switch g.IntN(4) {
	case 0:
		x = hard[g.IntN(len(hard))]
	case 1:
		x = float64(g.IntN(20) - 10)
	}
	if g.e.Arith == Float32 {
		x = float64(float32(x))
	}
	return x
}

func (g *grower) tree(group, splits int, form form, vectors, linear bool) Tree {
	t := Tree{Group: group, Weight: 1}
	if g.chance(3) {
		t.Weight = g.Float64()
	}
	g.subtree(&t, splits, form)
	for i := range t.Leaves {
		g.leaf(&t.Leaves[i], vectors, linear)
	}
	return t
}

// A form is how the splits of a tree hang together.
type form int

const (
	ragged   form = iota
	straight      // as deep as can be
	balanced
)

// subtree appends a subtree of so many splits and returns its root as a parent names
// it.
func (g *grower) subtree(t *Tree, splits int, form form) int32 {
	if splits == 0 {
		t.Leaves = append(t.Leaves, Leaf{})
		return ^int32(len(t.Leaves) - 1)
	}
	at := len(t.Nodes)
	t.Nodes = append(t.Nodes, g.split(t))
	left := g.IntN(splits)
	switch form {
	case straight:
		left = (splits - 1) * (splits % 2)
	case balanced:
		left = splits / 2
	}
	l := g.subtree(t, left, form)
	r := g.subtree(t, splits-1-left, form)
	t.Nodes[at].Left, t.Nodes[at].Right = l, r
	return int32(at)
}

func (g *grower) split(t *Tree) Node {
	n := Node{
		Feature:     int32(g.IntN(len(g.e.Inputs))),
		Set:         -1,
		Missing:     Missing(g.IntN(3)),
		DefaultLeft: g.chance(2),
		ListedRight: g.chance(2),
		Threshold:   g.number(),
	}
	if n.Feature%4 == 3 { // categorical, for the most part
		set := make(Set, g.IntN(4))
		for w := range set {
			set[w] = g.Uint32() & g.Uint32()
		}
		n.Set = int32(len(t.Sets))
		t.Sets = append(t.Sets, set)
		g.values = append(g.values, float64(g.IntN(130)), float64(g.IntN(130))+0.5)
	}
	x := n.Threshold
	g.values = append(g.values, x, math.Nextafter(x, math.Inf(1)), math.Nextafter(x, math.Inf(-1)),
		float64(math.Nextafter32(float32(x), 1e38)), float64(math.Nextafter32(float32(x), -1e38)))
	return n
}

func (g *grower) leaf(leaf *Leaf, vectors, linear bool) {
	leaf.Value = g.number()
	if vectors {
		for range g.e.Groups {
			leaf.Vector = append(leaf.Vector, g.number())
		}
	} else if linear && g.chance(2) {
		leaf.Fallback = g.number()
		for range 1 + g.IntN(3) {
			leaf.Feature = append(leaf.Feature, int32(g.IntN(len(g.e.Inputs))))
			leaf.Coef = append(leaf.Coef, g.NormFloat64())
		}
	}
}

// rows makes n rows, mostly of values worth trying.
func (g *grower) rows(n int) []float64 {
	in := make([]float64, n*len(g.e.Inputs))
	for i := range in {
		if in[i] = g.NormFloat64(); !g.chance(4) {
			in[i] = g.values[g.IntN(len(g.values))]
		}
	}
	return in
}
