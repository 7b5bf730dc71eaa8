package forest

import (
	"math"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
)

func TestLayoutsScoreAsWalk(t *testing.T) {
	for seed := range uint64(1500) {
		r := rand.New(rand.NewPCG(seed, 7))
		g := grow(r, 40, []int{1, 8, 20, 100}[seed%4])
		checkLayout(t, g.e, g.rows([]int{0, 1, 3, 8, 9, 17}[seed%6]))
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
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
	m, err := Compile(e)
	if err != nil {
		t.Fatal(err)
	}
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
	m, _ := Compile(e)
	in, out := len(e.Inputs), len(e.Outputs)
	for _, l := range [][2]int{{in + 1, out}, {in, 2 * out}, {0, out}, {in, 0}, {2*in - 1, 2 * out}} {
		if m.Predict(make([]float64, l[0]), make([]float64, l[1])) == nil {
			t.Errorf("%d inputs, %d outputs: no error, rows are %d and %d", l[0], l[1], in, out)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	g := grow(rand.New(rand.NewPCG(3, 9)), 60, 30)
	in := g.rows(70)
	m, _ := Compile(g.e)
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
