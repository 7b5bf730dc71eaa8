package forest

import (
	"math"
	"os"
	"path/filepath"
	"testing"
)

func FuzzXGBoostJSON(f *testing.F) {
	f.Add([]byte(tiny))
	addModels(f, "xgb-*", "model.json")
	f.Fuzz(loadAndWalk)
}

func FuzzXGBoostUBJ(f *testing.F) {
	f.Add([]byte("{L\x00\x00\x00\x00\x00\x00\x00\x07learner{}L\x00\x00\x00\x00\x00\x00\x00\x07version[$L#L\x00\x00\x00\x00\x00\x00\x00\x00}"))
	addModels(f, "xgb-*", "model.ubj")
	f.Fuzz(loadAndWalk)
}

func FuzzLightGBM(f *testing.F) {
	f.Add([]byte(tinyLGB))
	addModels(f, "lgb-*", "model.txt")
	f.Fuzz(loadAndWalk)
}

// addModels seeds with the small models of testdata and, where they are present, the
// small ones of the shared set.
func addModels(f *testing.F, set, file string) {
	dirs := []string{"testdata"}
	if dir := findShared(); dir != "" {
		dirs = append(dirs, filepath.Join(dir, "models"))
	}
	for _, dir := range dirs {
		files, err := filepath.Glob(filepath.Join(dir, set, file))
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			if data, err := os.ReadFile(file); err == nil && len(data) < 16<<10 {
				f.Add(data)
			}
		}
	}
}

// loadAndWalk: no file makes Load or what it returns panic, nor loop.
func loadAndWalk(t *testing.T, data []byte) {
	e, err := Load("m", data)
	if err != nil {
		return
	}
	row := make([]float64, len(e.Inputs))
	margins, scores := make([]float64, e.Groups), make([]float64, len(e.Outputs))
	for _, v := range []float64{math.NaN(), 0, -1, 1, math.Inf(1), 1e300} {
		for i := range row {
			row[i] = v
		}
		e.Walk(row, margins)
		e.finish(margins, scores)
	}
	if len(e.Base) != e.Groups {
		t.Fatalf("%d bases for %d groups", len(e.Base), e.Groups)
	}
}
