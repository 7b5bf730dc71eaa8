package forest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// goldenSets are the models of the two libraries in the shared set, with the files
// that each directory holds of one and the same model.
var goldenSets = map[string][]string{
	"xgb-aft":             {"model.json", "model.ubj"},
	"xgb-base-score":      {"model.json", "model.ubj"},
	"xgb-cat":             {"model.json", "model.ubj"},
	"xgb-cat-codes":       {"model.json", "model.ubj"},
	"xgb-dart":            {"model.json", "model.ubj"},
	"xgb-deep16":          {"model.json", "model.ubj"},
	"xgb-early-stop":      {"model.json", "model.ubj"},
	"xgb-forest":          {"model.json", "model.ubj"},
	"xgb-gamma":           {"model.json", "model.ubj"},
	"xgb-gblinear":        {"model.json", "model.ubj"},
	"xgb-logistic-reg":    {"model.json", "model.ubj"},
	"xgb-multi-output":    {"model.json", "model.ubj"},
	"xgb-old-1.7-poisson": {"model.json", "model.ubj"},
	"xgb-old-2.1":         {"model.json", "model.ubj"},
	"xgb-poisson":         {"model.json", "model.ubj"},
	"xgb-rank":            {"model.json", "model.ubj"},
	"xgb-softmax":         {"model.json", "model.ubj"},
	"xgb-softprob":        {"model.json", "model.ubj"},
	"xgb-squarederror":    {"model.json", "model.ubj"},
	"osi-xgb":             {"model.json", "model.ubj"},
	"mlflow-xgboost":      {"model/model.ubj"},
	"../bench/model":      {"model.json"},
	"lgb-binary":          {"model.txt"},
	"lgb-cat":             {"model.txt"},
	"lgb-cat-codes":       {"model.txt"},
	"lgb-dart":            {"model.txt"},
	"lgb-early":           {"model.txt"},
	"lgb-linear":          {"model.txt"},
	"lgb-multiclass":      {"model.txt"},
	"lgb-multiclassova":   {"model.txt"},
	"lgb-nan-unseen":      {"model.txt"},
	"lgb-no-missing":      {"model.txt"},
	"lgb-poisson":         {"model.txt"},
	"lgb-rank":            {"model.txt"},
	"lgb-rf":              {"model.txt"},
	"lgb-sigmoid":         {"model.txt"},
	"lgb-sqrt":            {"model.txt"},
	"lgb-stump":           {"model.txt"},
	"lgb-wide-names":      {"model.txt"},
	"lgb-zero-missing":    {"model.txt"},
	"mlflow-lightgbm":     {"model/model.lgb"},
}

func TestGolden(t *testing.T) {
	models := filepath.Join(shared(t), "models")
	entries, err := os.ReadDir(models)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		name := entry.Name()
		if _, known := goldenSets[name]; !known && (strings.HasPrefix(name, "xgb-") || strings.HasPrefix(name, "lgb-")) {
			t.Errorf("%s: a set that this test does not know", name)
		}
	}
	for set, files := range goldenSets {
		for _, file := range files {
			t.Run(filepath.Base(set)+"/"+file, func(t *testing.T) {
				checkGolden(t, filepath.Join(models, set, file), filepath.Join(models, set, "golden.json"), 0)
			})
		}
	}
}

// golden is what a training library scored. Raw is absent in some files.
type golden struct {
	Features   []string
	Categories map[string][]string
	Rows       [][]any
	Scores     [][]float64
	Raw        [][]float64
	AllRounds  []float64 `json:"scores_all_rounds"`
}

func readGolden(t testing.TB, path string) golden {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	if err := json.Unmarshal(data, &g); err != nil {
		t.Fatal(err)
	}
	if len(g.Rows) == 0 || len(g.Rows) != len(g.Scores) {
		t.Fatalf("%s: %d rows, %d scores", path, len(g.Rows), len(g.Scores))
	}
	return g
}

func loadFile(t testing.TB, path string) *Ensemble {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	e, err := Load(filepath.Base(path), data)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// checkGolden walks every row: margins to the bit, or to within slack, and scores to
// within two ulps of the library's type.
func checkGolden(t *testing.T, model, goldenFile string, slack float64) {
	e, g := loadFile(t, model), readGolden(t, goldenFile)
	margins, scores := make([]float64, e.Groups), make([]float64, len(e.Outputs))
	for i := range g.Rows {
		e.Walk(g.row(t, e, i), margins)
		if g.Raw != nil {
			near := func(a, b float64) bool { return a == b || math.Abs(a-b) <= slack }
			if !slices.EqualFunc(margins, g.Raw[i], near) {
				t.Fatalf("row %d: margins %v, the library's %v", i, margins, g.Raw[i])
			}
		}
		e.finish(margins, scores)
		if len(g.Scores[i]) != len(scores) {
			t.Fatalf("row %d: %d scores, the library's %d", i, len(scores), len(g.Scores[i]))
		}
		for k, want := range g.Scores[i] {
			if d := e.Arith.ulps(scores[k], want); d > 2 && slack == 0 || math.Abs(scores[k]-want) > 1e-6*max(1, math.Abs(want)) {
				t.Fatalf("row %d output %d: score %v, the library's %v: %d ulps", i, k, scores[k], want, d)
			}
		}
	}
}

// row is row i as the model takes it: a category's code, a missing value NaN.
func (g *golden) row(t testing.TB, e *Ensemble, i int) []float64 {
	if len(g.Rows[i]) != len(e.Inputs) {
		t.Fatalf("row %d has %d values for %d inputs", i, len(g.Rows[i]), len(e.Inputs))
	}
	row := make([]float64, len(e.Inputs))
	for k, v := range g.Rows[i] {
		categories := e.Inputs[k].Categories
		if categories == nil {
			categories = g.Categories[g.Features[k]]
		}
		switch v := v.(type) {
		case nil:
			row[k] = math.NaN()
		case bool:
			if v {
				row[k] = 1
			}
		case float64:
			row[k] = v
			if categories != nil {
				row[k] = code(categories, fmt.Sprint(v))
			}
		case string:
			if categories == nil {
				t.Fatalf("row %d: %q for input %d, which has no categories", i, v, k)
			}
			row[k] = code(categories, v)
		}
	}
	return row
}

func code(categories []string, value string) float64 {
	if i := slices.Index(categories, value); i >= 0 {
		return float64(i)
	}
	return math.NaN()
}

// ulps is how many numbers of the library's type lie between a and b.
func (a Arith) ulps(x, y float64) int {
	if a == Float32 {
		return abs(int(ordered32(float32(x))) - int(ordered32(float32(y))))
	}
	return abs(int(ordered64(x) - ordered64(y)))
}

func ordered32(x float32) int32 {
	if b := int32(math.Float32bits(x)); b >= 0 {
		return b
	} else {
		return math.MinInt32 - b
	}
}

func ordered64(x float64) int64 {
	if b := int64(math.Float64bits(x)); b >= 0 {
		return b
	} else {
		return math.MinInt64 - b
	}
}

func abs(x int) int { return max(x, -x) }

// Booster.predict scores all rounds; a file without best_iteration does so here.
func TestGoldenAllRounds(t *testing.T) {
	for _, set := range []string{"xgb-early-stop", "xgb-old-1.7-poisson"} {
		dir := filepath.Join(shared(t), "models", set)
		data, err := os.ReadFile(filepath.Join(dir, "model.json"))
		if err != nil {
			t.Fatal(err)
		}
		e, err := Load(set, bytes.Replace(data, []byte(`"best_iteration"`), []byte(`"was_iteration"`), 1))
		if err != nil {
			t.Fatal(err)
		}
		g := readGolden(t, filepath.Join(dir, "golden.json"))
		margins := make([]float64, 1)
		for i, want := range g.AllRounds {
			e.Walk(g.row(t, e, i), margins)
			e.finish(margins, margins)
			if d := e.Arith.ulps(margins[0], want); d > 2 {
				t.Fatalf("%s row %d: score %v, the library's %v", set, i, margins[0], want)
			}
		}
		if len(g.AllRounds) == 0 {
			t.Errorf("%s: no scores of all rounds", set)
		}
	}
}
