package predictor

import (
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"scry/predictor/feature"
	"scry/predictor/forest"
)

func itoa(n int) string { return strconv.Itoa(n) }

// echo scores a row with its first value, and notes what it was given.
type echo struct{ rows *[][]float64 }

func (echo) Inputs() []string  { return []string{"x", "c"} }
func (echo) Outputs() []string { return []string{"score"} }
func (e echo) Predict(in, out []float64) error {
	*e.rows = append(*e.rows, slices.Clone(in))
	out[0] = in[0]
	return nil
}

func echoDeployment(rows *[][]float64) *Deployment {
	return &Deployment{
		Model:     echo{rows},
		Features:  []feature.Feature{{Name: "x"}, {Name: "c", Categories: []string{"a", "2", "true"}}},
		tolerance: tolerances[forest.Float64],
	}
}

func TestVerifyReadsCells(t *testing.T) {
	g, err := ParseGolden([]byte(`{"schema":1,"features":["c","x"],"rows":[["a",1],["b",true],[2,0.1],[2.0,false],[true,1e3],[null,2]],
		"scores":[[1],[1],[0.1],[0],[1000],[2]],"kinds":["and more"]}`))
	if err != nil {
		t.Fatal(err)
	}
	var rows [][]float64
	r, err := Verify(echoDeployment(&rows), g)
	if err != nil || r.Rows != 6 || r.Failed != 0 || r.MaxDiff != 0 || len(r.Worst) != 0 {
		t.Errorf("%+v %v", r, err)
	}
	nan := math.NaN()
	want := [][]float64{{1, 0}, {1, nan}, {0.1, 1}, {0, 1}, {1000, 2}, {2, nan}}
	for i := range want {
		if !slices.EqualFunc(rows[i], want[i], func(a, b float64) bool { return a == b || a != a && b != b }) {
			t.Errorf("row %d: %v, want %v", i, rows[i], want[i])
		}
	}
}

func TestVerifyReportsTheWorst(t *testing.T) {
	g := &Golden{Schema: 1, Features: []string{"x", "c"}}
	for i := range 10 {
		g.Rows = append(g.Rows, []any{false, nil}) // scores 0
		g.Scores = append(g.Scores, []float64{float64(i)})
	}
	g.Rows[3][0] = nil // scores NaN
	var rows [][]float64
	r, err := Verify(echoDeployment(&rows), g)
	if err != nil || r.Rows != 10 || r.Failed != 9 || len(r.Worst) != 9 || r.Worst[0].Row != 3 || !math.IsInf(r.MaxDiff, 1) || !math.IsInf(r.MaxULP, 1) || r.Worst[1].ULP != 0x1p52 {
		t.Errorf("%+v %v", r, err)
	}
	if text := (&GoldenError{r}).Error(); !strings.Contains(text, "9 of 10 rows") || !strings.Contains(text, "row 3, score: expected 3, got NaN") || !strings.Contains(text, "1e-12") || strings.Count(text, "; row ") != 5 {
		t.Error(text)
	}
}

func TestVerifyRefuses(t *testing.T) {
	for text, want := range map[string]string{
		`{`:                                                            "unexpected EOF",
		`{"schema":1,"rows":[]} x`:                                     "something follows",
		`{"schema":2,"rows":[[1]]}`:                                    "schema 2",
		`{"schema":1}`:                                                 "no rows",
		`{"schema":1,"rows":[[1,1]]}`:                                  "1 rows and 0 scores",
		golden(`["x"]`, `[1]`, `[1]`):                                  "its features, [x], are not the model's, [x, c]",
		golden(`["x","d"]`, `[1,1]`, `[1]`):                            "its features, [x, d], are not",
		golden(`["x","c","c"]`, `[1,1,1]`, `[1]`):                      "its features, [x, c, c], are not",
		golden(`["x","c"]`, `[1]`, `[1]`):                              "row 0 has 1 values for 2 features",
		golden(`["x","c"]`, `[1,"a"]`, `[1,2]`):                        "row 0 has 2 scores for 1 outputs",
		golden(`["x","c"]`, `["a","a"]`, `[1]`):                        `row 0, x: "a" for a feature without categories`,
		golden(`["x","c"]`, `[1,[]]`, `[1]`):                           "row 0, c: a value is null",
		golden(`["x","c"],"categories":{"c":["2","a"]}`, `[1]`, `[1]`): `feature "c" was coded by [2, a], and is now by [a, 2, true]`,
	} {
		g, err := ParseGolden([]byte(text))
		if err == nil {
			var rows [][]float64
			_, err = Verify(echoDeployment(&rows), g)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	g, err := ParseGolden([]byte(golden(`["x","c"]`, `[1,"a"]`, `[1]`)))
	if err != nil {
		t.Fatal(err)
	}
	d := echoDeployment(nil)
	d.Model = failing{}
	if _, err := Verify(d, g); !errors.Is(err, errFailing) {
		t.Errorf("a model that fails: %v", err)
	}
}

func golden(features, row, scores string) string {
	return `{"schema":1,"features":` + features + `,"rows":[` + row + `],"scores":[` + scores + `]}`
}

var errFailing = errors.New("failing")

type failing struct{ echo }

func (failing) Predict(in, out []float64) error { return errFailing }

func TestTolerance(t *testing.T) {
	for _, c := range []struct {
		arith     forest.Arith
		want, got float64
		ok        bool
	}{
		{forest.Float32, 0.5, 0.5 + 2*0x1p-24, true},
		{forest.Float32, 0.5, 0.5 + 3*0x1p-24, false},
		{forest.Float32, 0, 0x1p-148, true},
		{forest.Float32, 0, 1e-10, false},
		{forest.Float64, 0.5, 0.5 + 4e-13, true},
		{forest.Float64, 0.5, 0.5 + 6e-13, false},
		{forest.Float64, 0, 1e-300, false},
		{forest.Float64, math.Inf(1), math.Inf(1), true},
		{forest.Float32, math.Inf(1), 1, false},
	} {
		r := Report{}
		r.compare(0, []string{"o"}, []float64{c.want}, []float64{c.got}, tolerances[c.arith])
		if (r.Failed == 0) != c.ok {
			t.Errorf("%v for %v: %+v", c.got, c.want, r)
		}
	}
}
