package predictor

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"scry/predictor/feature"
	"scry/predictor/forest"
)

// A Golden is golden.json: rows and the scores that the training library gave them.
// A cell is null (missing), a number, true, false, or a category's string; the file
// may hold more than is read here.
type Golden struct {
	Schema     int                 `json:"schema"`     // 1
	Features   []string            `json:"features"`   // the columns of Rows, in any order
	Categories map[string][]string `json:"categories"` // what strings were coded by, where the file says so
	Rows       [][]any             `json:"rows"`
	Scores     [][]float64         `json:"scores"` // a row each, one score an output
}

// ParseGolden reads golden.json.
func ParseGolden(data []byte) (*Golden, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var g Golden
	if err := d.Decode(&g); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON object")
	}
	switch {
	case g.Schema != 1:
		return nil, fmt.Errorf("schema %d; this program reads schema 1", g.Schema)
	case len(g.Rows) == 0:
		return nil, errors.New("no rows; write some, or leave the file out")
	case len(g.Rows) != len(g.Scores):
		return nil, fmt.Errorf("%d rows and %d scores", len(g.Rows), len(g.Scores))
	}
	return &g, nil
}

// A Report is how a model did on its golden rows.
type Report struct {
	Rows    int
	Failed  int            // rows with a score beyond the tolerance
	MaxDiff float64        // the greatest difference between two scores; infinite where one is NaN
	MaxULP  float64        // the same in units in the last place of the library's type
	Worst   []Disagreement // the scores beyond the tolerance, the furthest first
	Allowed string         // the tolerance, for people
}

// A Disagreement is a score that is not the training library's.
type Disagreement struct {
	Row           int // from zero, as in the file
	Output        string
	Expected, Got float64
	ULP           float64 // the difference, in units in the last place of Expected in the library's type
	times         float64 // the tolerance
}

// A GoldenError says that a model does not reproduce its golden rows.
type GoldenError struct{ Report Report }

// Error names the worst rows.
func (e *GoldenError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d of %d rows are not scored as the training library scored them (%s allowed)", e.Report.Failed, e.Report.Rows, e.Report.Allowed)
	const most = 5
	for _, w := range e.Report.Worst[:min(len(e.Report.Worst), most)] {
		fmt.Fprintf(&b, "; row %d, %s: expected %v, got %v", w.Row, w.Output, w.Expected, w.Got)
	}
	return b.String()
}

// A tolerance is how far a score may be from the library's. Margins are the same to
// the bit; what differs is exp in the link, whose last digits depend on the
// platform's C library.
type tolerance struct {
	ulps32   float64 // of float32, at the expected score
	relative float64 // to the expected score
	text     string
}

var tolerances = map[forest.Arith]tolerance{
	forest.Float32: {ulps32: 2, text: "2 ulps of float32"},
	forest.Float64: {relative: 1e-12, text: "1e-12, relatively"},
}

// allowed is the difference allowed from an expected score.
func (t tolerance) allowed(want float64) float64 {
	if t.ulps32 > 0 {
		return t.ulps32 * t.ulp(want)
	}
	return t.relative * math.Abs(want)
}

// ulp is the unit in the last place of a score in the library's type; 0 where there
// is none.
func (t tolerance) ulp(score float64) float64 {
	score = math.Abs(score)
	switch {
	case t.ulps32 > 0 && score <= math.MaxFloat32:
		f := float32(score)
		return float64(math.Nextafter32(f, float32(math.Inf(1)))) - float64(f)
	case t.ulps32 == 0 && score <= math.MaxFloat64:
		return math.Nextafter(score, math.Inf(1)) - score
	}
	return 0
}

// Verify scores the golden rows and compares. Its error is for a golden file that
// does not fit the model; disagreeing scores are in the report.
func Verify(d *Deployment, g *Golden) (Report, error) {
	in, err := g.Matrix(d.Features)
	if err != nil {
		return Report{}, err
	}
	outputs := d.Model.Outputs()
	r := Report{Rows: len(g.Rows), Allowed: d.tolerance.text}
	out := make([]float64, len(outputs))
	for i, want := range g.Scores {
		if len(want) != len(outputs) {
			return Report{}, fmt.Errorf("row %d has %d scores for %d outputs", i, len(want), len(outputs))
		}
		if err := d.Model.Predict(in[i*len(d.Features):(i+1)*len(d.Features)], out); err != nil {
			return Report{}, fmt.Errorf("row %d: %w", i, err)
		}
		r.compare(i, outputs, want, out, d.tolerance)
	}
	slices.SortStableFunc(r.Worst, func(a, b Disagreement) int { return cmp.Compare(b.times, a.times) })
	return r, nil
}

func (r *Report) compare(row int, outputs []string, want, got []float64, t tolerance) {
	failed := false
	for k := range want {
		if got[k] == want[k] { // infinities, too
			continue
		}
		diff, allowed := math.Abs(got[k]-want[k]), t.allowed(want[k])
		if math.IsNaN(diff) {
			diff = math.Inf(1)
		}
		ulp := diff / t.ulp(want[k])
		r.MaxDiff, r.MaxULP = max(r.MaxDiff, diff), max(r.MaxULP, ulp)
		if diff > allowed || math.IsInf(diff, 1) {
			failed = true
			r.Worst = append(r.Worst, Disagreement{row, outputs[k], want[k], got[k], ulp, diff / allowed})
		}
	}
	if failed {
		r.Failed++
	}
}

// Matrix is the golden rows as the model takes them, row after row, one value a
// feature.
func (g *Golden) Matrix(features []feature.Feature) ([]float64, error) {
	at, err := g.order(features)
	if err != nil {
		return nil, err
	}
	in := make([]float64, 0, len(g.Rows)*len(features))
	for i, cells := range g.Rows {
		if len(cells) != len(features) {
			return nil, fmt.Errorf("row %d has %d values for %d features", i, len(cells), len(features))
		}
		for k, f := range features {
			x, err := cell(cells[at[k]], f)
			if err != nil {
				return nil, fmt.Errorf("row %d, %s: %w", i, f.Name, err)
			}
			in = append(in, x)
		}
	}
	return in, nil
}

// order finds each feature's column in the golden rows.
func (g *Golden) order(features []feature.Feature) ([]int, error) {
	at := make([]int, len(features))
	for i, f := range features {
		at[i] = slices.Index(g.Features, f.Name)
		if at[i] < 0 || len(g.Features) != len(features) {
			return nil, fmt.Errorf("its features, %s, are not the model's, %s", list(g.Features), list(namesOf(features)))
		}
		if coded := g.Categories[f.Name]; len(coded) > 0 && !slices.Equal(coded, f.Categories) {
			return nil, fmt.Errorf("feature %q was coded by %s, and is now by %s", f.Name, list(coded), list(f.Categories))
		}
	}
	return at, nil
}

// cell is the value of a golden cell in a column of the model. A number in a
// categorical column is looked up by its shortest text, since the libraries write
// codes of one column now as 2, now as 2.0.
func cell(v any, f feature.Feature) (float64, error) {
	switch v := v.(type) {
	case nil:
		return math.NaN(), nil
	case bool:
		if len(f.Categories) > 0 {
			return code(strconv.FormatBool(v), f), nil
		}
		if v {
			return 1, nil
		}
		return 0, nil
	case json.Number:
		x, err := strconv.ParseFloat(v.String(), 64)
		if err == nil && len(f.Categories) > 0 {
			return code(strconv.FormatFloat(x, 'f', -1, 64), f), nil
		}
		return x, err
	case string:
		if len(f.Categories) == 0 {
			return 0, fmt.Errorf("%q for a feature without categories; list them in %s", v, specFile)
		}
		return code(v, f), nil
	}
	return 0, errors.New("a value is null, a number, true, false or a string")
}

// code is a category's position; an unknown one is missing.
func code(text string, f feature.Feature) float64 {
	if i := slices.Index(f.Categories, text); i >= 0 {
		return float64(i)
	}
	return math.NaN()
}
