package forest

import (
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"
)

func TestLayoutsScoreAsWalk(t *testing.T) {
	seen := map[string]int{}
	for seed := range uint64(1500) {
		r := rand.New(rand.NewPCG(seed, 7))
		g := grow(r, 40, []int{1, 8, 20, 100}[seed%4])
		m := checkLayout(t, g.e, g.rows([]int{0, 1, 3, 8, 9, 17}[seed%6]))
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
		if len(g.e.Trees) > 0 || g.e.Linear != nil {
			seen[m.Layout()+formOf(m)]++
		}
	}
	for _, kind := range []string{"plain", "keyed full", "ranked full", "ranked pairs"} {
		if seen[kind] < 40 {
			t.Errorf("%s: %d models of 1500", kind, seen[kind])
		}
	}
}

// formOf names the form of a model's first span.
func formOf(m *Model) string {
	full := false
	switch s := m.scorer.(type) {
	case *ranked[float32, uint32]:
		full = s.spans[0].depth > 0
	case *ranked[float32, uint16]:
		full = s.spans[0].depth > 0
	case *ranked[float64, uint16]:
		full = s.spans[0].depth > 0
	default:
		return ""
	}
	if full {
		return " full"
	}
	return " pairs"
}

// Blocks end within a batch, and a row's place in it must not matter.
func TestRowsAreIndependent(t *testing.T) {
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 8))
		g := grow(r, 100, 30)
		in := g.rows(1100)
		for _, rows := range []int{1, 2, 7, 8, 63, 64, 65, 127, 128, 300, 511, 512, 519, 1100} {
			checkLayout(t, g.e, in[:rows*len(g.e.Inputs)])
		}
	}
}

func FuzzLayouts(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("a few numbers to start from, one every four bytes"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := rand.New(newBytesSource(data))
		g := grow(r, 12, 30)
		checkLayout(t, g.e, g.rows(r.IntN(20)))
	})
}

func TestLayoutOfGoldenModels(t *testing.T) {
	models := filepath.Join(shared(t), "models")
	for set, files := range goldenSets {
		e, golden := loadFile(t, filepath.Join(models, set, files[0])), readGolden(t, filepath.Join(models, set, "golden.json"))
		var in []float64
		for i := range golden.Rows {
			in = append(in, golden.row(t, e, i)...)
		}
		m := checkLayout(t, e, in)
		if plain := m.Layout() == "plain"; plain != (e.Linear != nil) {
			t.Errorf("%s: layout %s", set, m.Layout())
		}
	}
}

// checkLayout compares a compiled model with the plain walk, bit for bit.
func checkLayout(t *testing.T, e *Ensemble, in []float64) *Model {
	t.Helper()
	m := compiled(t, e)
	rows := len(in) / len(e.Inputs)
	margins, scores := make([]float64, rows*e.Groups), make([]float64, rows*len(e.Outputs))
	if err := m.Margins(in, margins); err != nil {
		t.Fatal(err)
	}
	if err := m.Predict(in, scores); err != nil {
		t.Fatal(err)
	}
	want, score := make([]float64, e.Groups), make([]float64, len(e.Outputs))
	for r := range rows {
		row := in[r*len(e.Inputs) : (r+1)*len(e.Inputs)]
		e.Walk(row, want)
		same(t, "margins", r, row, margins[r*e.Groups:], want)
		e.finish(want, score)
		same(t, "scores", r, row, scores[r*len(score):], score)
	}
	return m
}

func compiled(t testing.TB, e *Ensemble) *Model {
	t.Helper()
	m, err := Compile(e)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func same(t *testing.T, what string, r int, row, got, want []float64) {
	t.Helper()
	for i := range want {
		if math.Float64bits(got[i]) != math.Float64bits(want[i]) && !(got[i] != got[i] && want[i] != want[i]) {
			t.Errorf("row %d %v: %s[%d] is %v, want %v", r, row, what, i, got[i], want[i])
		}
	}
}

func TestLengths(t *testing.T) {
	e := grow(rand.New(rand.NewPCG(1, 1)), 3, 3).e
	m := compiled(t, e)
	in, out := len(e.Inputs), len(e.Outputs)
	for _, l := range [][2]int{{in + 1, out}, {in, 2 * out}, {0, out}, {in, 0}, {2*in - 1, 2 * out}} {
		if m.Predict(make([]float64, l[0]), make([]float64, l[1])) == nil {
			t.Errorf("%d inputs, %d outputs: no error, rows are %d and %d", l[0], l[1], in, out)
		}
	}
}

// A base that is no float32 is rounded by the first tree that adds to it.
func TestBaseBesideFloat32(t *testing.T) {
	e := &Ensemble{Inputs: make([]Input, 1), Outputs: []string{"", ""}, Groups: 2, Base: []float64{0.1, 0.1}, Average: 1,
		Trees: []Tree{{Weight: 1, Leaves: []Leaf{{Value: 0}}}}}
	checkLayout(t, e, []float64{1, 2})
}

func TestCompileRefusesNoGroups(t *testing.T) {
	for _, e := range []*Ensemble{{}, {Groups: 1, Base: []float64{0}}, {Groups: 2, Base: []float64{0}, Outputs: []string{""}}} {
		if _, err := Compile(e); err == nil {
			t.Errorf("%+v: no error", e)
		}
	}
}

// What the layout cannot hold is scored by the plain walk, and no less exactly.
func TestTooWide(t *testing.T) {
	stumps := func(n int, split func(t *Tree, i int)) *Ensemble {
		e := &Ensemble{Inputs: make([]Input, 1), Outputs: []string{""}, Arith: Float64, Groups: 1, Base: []float64{0}, Average: 1}
		for i := range n {
			tree := Tree{Weight: 1, Nodes: []Node{{Set: -1, Left: ^0, Right: ^1}}, Leaves: []Leaf{{Value: 1}, {Value: float64(i)}}}
			split(&tree, i)
			e.Trees = append(e.Trees, tree)
		}
		return e
	}
	set := func(s Set) func(*Tree, int) {
		return func(t *Tree, i int) {
			t.Sets = []Set{append(slices.Clone(s), uint32(i))}
			t.Nodes[0].Set = 0
		}
	}
	for name, c := range map[string]struct {
		e      *Ensemble
		layout string
	}{
		"thresholds":    {stumps(maxRank+1, func(t *Tree, i int) { t.Nodes[0].Threshold = float64(i) }), "plain"},
		"few enough":    {stumps(maxRank, func(t *Tree, i int) { t.Nodes[0].Threshold = float64(i) }), "ranked"},
		"sets":          {stumps(maxColumns+1, set(nil)), "plain"},
		"sets that fit": {stumps(maxColumns, set(nil)), "ranked"},
		"one long set": {stumps(maxColumns, func(t *Tree, i int) {
			if set(nil)(t, i); i == 0 {
				set(make(Set, 1<<16))(t, 1)
			}
		}), "plain"},
	} {
		m := checkLayout(t, c.e, []float64{math.NaN(), -1, 0, 1, 2, 5, 40, 1e3, 65534, 65535, 1e9})
		if m.Layout() != c.layout {
			t.Errorf("%s: layout %s, want %s", name, m.Layout(), c.layout)
		}
	}
}

func TestScoringAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("under the race detector a pool forgets at random")
	}
	for seed := range uint64(20) {
		g := grow(rand.New(rand.NewPCG(seed, 5)), 30, 20)
		m := compiled(t, g.e)
		for _, rows := range []int{1, 9, 130} {
			in, out := g.rows(rows), make([]float64, rows*len(g.e.Outputs))
			if n := testing.AllocsPerRun(50, func() { _ = m.Predict(in, out) }); n != 0 {
				t.Errorf("seed %d, %s, %d rows: %v allocations", seed, m.Layout(), rows, n)
			}
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	g := grow(rand.New(rand.NewPCG(3, 9)), 60, 30)
	in := g.rows(70)
	m := compiled(t, g.e)
	want := make([]float64, 70*g.e.Groups)
	if err := m.Margins(in, want); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			got := make([]float64, len(want))
			for range 20 {
				_ = m.Margins(in, got)
				same(t, "margins", 0, nil, got, want)
			}
		})
	}
	wg.Wait()
}
