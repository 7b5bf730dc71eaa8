package forest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
)

// A shape is a synthetic model as the libraries' histogram methods grow them: at most
// 255 thresholds a feature.
type shape struct {
	name             string
	arith            Arith
	trees, groups    int
	depth            int // the deepest a tree may be
	leaves           int // grown best first, as LightGBM does; 0: level by level to depth
	features         int
	categories, card int // how many features are categorical, and of how many codes
}

var shapes = []shape{
	{name: "100x6x20", trees: 100, groups: 1, depth: 6, features: 20},
	{name: "500x8x50", trees: 500, groups: 1, depth: 8, features: 50},
	{name: "lgb100x31x20", arith: Float64, trees: 100, groups: 1, depth: 99, leaves: 31, features: 20},
	{name: "lgb500x31x50", arith: Float64, trees: 500, groups: 1, depth: 99, leaves: 31, features: 50},
	{name: "forest200x20x30", trees: 200, groups: 1, depth: 20, leaves: 5000, features: 30},
	{name: "classes20x100x6", trees: 2000, groups: 20, depth: 6, features: 30},
	{name: "cat100x6x20", trees: 100, groups: 1, depth: 6, features: 20, categories: 6, card: 40},
	{name: "catlgb100x31x20", arith: Float64, trees: 100, groups: 1, depth: 99, leaves: 31, features: 20, categories: 6, card: 40},
}

func (s *shape) ensemble() *Ensemble {
	r := rand.New(rand.NewPCG(1, uint64(s.trees)))
	e := &Ensemble{Inputs: make([]Input, s.features), Outputs: make([]string, s.groups), Arith: s.arith,
		Groups: s.groups, Base: make([]float64, s.groups), Average: 1, Scale: 1}
	for i := range s.trees {
		e.Trees = append(e.Trees, s.tree(r, i%s.groups))
	}
	return e
}

// A region is a leaf that may still be split.
type region struct {
	link   func(*Tree) *int32 // where its parent names it
	depth  int
	mass   float64 // the share of rows in it
	lo, hi []uint8 // by feature, the thresholds that part it are lo to hi-1
}

func (s *shape) tree(r *rand.Rand, group int) Tree {
	t := Tree{Group: group, Weight: 1}
	var root int32
	open := []region{{func(*Tree) *int32 { return &root }, 0, 1, make([]uint8, s.features), make([]uint8, s.features)}}
	for f := range open[0].hi {
		open[0].hi[f] = 255
	}
	leaf := func(o region) {
		*o.link(&t) = ^int32(len(t.Leaves))
		t.Leaves = append(t.Leaves, Leaf{Value: float64(float32(r.NormFloat64() / 10))})
	}
	for len(open) > 0 && (s.leaves == 0 || len(t.Leaves)+len(open) < s.leaves) {
		k, gain := 0, 0.0
		for m := range min(len(open), 64) {
			if g := math.Sqrt(open[m].mass) * r.ExpFloat64(); g > gain && s.leaves > 0 {
				k, gain = m, g
			}
		}
		o, f := open[k], r.IntN(s.features)
		open[k] = open[len(open)-1]
		open = open[:len(open)-1]
		if o.depth == s.depth || o.lo[f] == o.hi[f] {
			leaf(o)
			continue
		}
		n := int(o.hi[f] - o.lo[f])
		at := o.lo[f] + uint8((r.IntN(n)+r.IntN(n))/2) // nearer the middle
		left, right := o, o
		left.hi, right.lo = slices.Clone(o.hi), slices.Clone(o.lo)
		left.hi[f], right.lo[f] = at, at+1
		share := float64(at-o.lo[f]+1) / float64(o.hi[f]-o.lo[f]+1)
		left.mass, right.mass = o.mass*share, o.mass*(1-share)
		left.depth, right.depth = o.depth+1, o.depth+1
		i := len(t.Nodes)
		*o.link(&t) = int32(i)
		left.link = func(t *Tree) *int32 { return &t.Nodes[i].Left }
		right.link = func(t *Tree) *int32 { return &t.Nodes[i].Right }
		t.Nodes = append(t.Nodes, s.split(r, &t, f, at))
		open = append(open, left, right)
	}
	for _, o := range open {
		leaf(o)
	}
	return t
}

// split is on the at-th threshold of feature f, or a random half of its codes.
func (s *shape) split(r *rand.Rand, t *Tree, f int, at uint8) Node {
	n := Node{Feature: int32(f), Set: -1, DefaultLeft: r.IntN(2) == 0, Threshold: threshold(f, at)}
	if f < s.categories {
		set := make(Set, (s.card+31)/32)
		for c := range s.card {
			set[c/32] |= uint32(r.IntN(2)) << (c % 32)
		}
		n.Set, n.ListedRight = int32(len(t.Sets)), s.arith == Float32
		t.Sets = append(t.Sets, set)
	}
	return n
}

// threshold is a quantile of an exponential distribution.
func threshold(f int, at uint8) float64 {
	return float64(float32(-math.Log(1-(float64(at)+1)/256) * float64(f+1)))
}

// rows are of the distribution that the thresholds are quantiles of; one value in
// twenty is missing.
func (s *shape) rows(n int) []float64 {
	r := rand.New(rand.NewPCG(2, 2))
	in := make([]float64, n*s.features)
	for i := range in {
		f := i % s.features
		in[i] = r.ExpFloat64() * float64(f+1)
		if f < s.categories {
			in[i] = float64(r.IntN(s.card + 1))
		}
		if r.IntN(20) == 0 {
			in[i] = math.NaN()
		}
	}
	return in
}

const benchRows = 4096 // enough to be new to the caches and the branch predictor

func BenchmarkPredict(b *testing.B) {
	for _, s := range shapes {
		b.Run(s.name, func(b *testing.B) { benchmark(b, s.ensemble(), s.rows(benchRows)) })
	}
	for _, set := range []string{"../bench/model", "osi-xgb", "lgb-binary"} {
		b.Run("real-"+filepath.Base(set), func(b *testing.B) {
			dir := filepath.Join(shared(b), "models", set)
			e, golden := loadFile(b, filepath.Join(dir, goldenSets[set][0])), readGolden(b, filepath.Join(dir, "golden.json"))
			var in []float64
			for i := range benchRows {
				in = append(in, golden.row(b, e, i%len(golden.Rows))...)
			}
			benchmark(b, e, in)
		})
	}
}

func benchmark(b *testing.B, e *Ensemble, in []float64) {
	m := compiled(b, e)
	out := make([]float64, benchRows*len(e.Outputs))
	for _, batch := range []int{1, 8, 128, 512} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			b.ReportAllocs()
			at, rows := 0, 0
			for b.Loop() {
				if at+batch > benchRows {
					at = 0
				}
				if err := m.Predict(in[at*len(e.Inputs):(at+batch)*len(e.Inputs)], out[:batch*len(e.Outputs)]); err != nil {
					b.Fatal(err)
				}
				at += batch
				rows += batch
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(rows), "ns/row")
			b.ReportMetric(float64(m.Bytes()), "layout-B")
		})
	}
}
