package predictor

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	buyerintent "scry/examples/buyer-intent"
	"scry/internal/testenv"
	"scry/predictor/feature"
)

func TestSessions(t *testing.T) {
	dir := filepath.Join(testenv.Shared(t), "models", "osi-xgb")
	d, err := Load(dir, Config{Threshold: 0.5, Entity: "user_id", EventTime: "ts"})
	if err != nil {
		t.Fatal(err)
	}
	if d.Golden.Rows != 1000 || d.Golden.Failed != 0 {
		t.Errorf("golden rows: %+v", d.Golden)
	}
	if d.Name != "osi-xgb" || d.Version != d.Digest[:12] || len(d.Digest) != 64 || d.Threshold != 0.5 || len(d.Features) != 17 {
		t.Errorf("%s %s %s %v, %d features", d.Name, d.Version, d.Digest, d.Threshold, len(d.Features))
	}
	var want map[string]float64
	read(t, filepath.Join(dir, "golden-events.json"), &want)
	events, err := os.ReadFile(filepath.Join(dir, "events.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	s, row, score, n := feature.NewScratch(17), make([]float64, 17), make([]float64, 1), 0
	for event := range bytes.Lines(events) {
		fields, err := d.Extractor.Extract(event, row, s)
		if err != nil || fields.Entity == nil || !fields.HasTime {
			t.Fatalf("event %d: %+v %v", n, fields, err)
		}
		if err := d.Model.Predict(row, score); err != nil {
			t.Fatal(err)
		}
		expected, ok := want[itoa(n)]
		if !ok || math.Abs(score[0]-expected) > d.tolerance.allowed(expected) {
			t.Fatalf("event %d scores %v, want %v", n, score[0], expected)
		}
		if alone, err := d.Score(event); err != nil || alone[0] != score[0] {
			t.Fatalf("event %d alone scores %v, %v", n, alone, err)
		}
		n++
	}
	if _, err := d.Score([]byte("{")); !errors.Is(err, feature.ErrMalformed) {
		t.Errorf("a broken event: %v", err)
	}
	if n != len(want) || n < 1000 {
		t.Errorf("%d events, %d scores", n, len(want))
	}
}

// TestSharedModels loads every model of the two libraries with its golden rows.
func TestSharedModels(t *testing.T) {
	models := filepath.Join(testenv.Shared(t), "models")
	loaded := 0
	for _, pattern := range []string{"xgb-*", "lgb-*", "mlflow-xgboost", "mlflow-lightgbm"} {
		dirs, err := filepath.Glob(filepath.Join(models, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, dir := range dirs {
			t.Run(filepath.Base(dir), func(t *testing.T) {
				bundle := fstest.MapFS{}
				for _, name := range []string{"model.ubj", "model.txt", "model/model.ubj", "model/model.lgb", "golden.json"} {
					if data, err := os.ReadFile(filepath.Join(dir, name)); err == nil {
						bundle[filepath.Base(name)] = &fstest.MapFile{Data: data}
					}
				}
				d, err := LoadFS(bundle, "x", Config{})
				if strings.HasSuffix(dir, "-cat-codes") {
					if err == nil || !strings.Contains(err.Error(), "write a features.yaml") {
						t.Fatalf("a model without names: %v", err)
					}
					var g Golden
					read(t, filepath.Join(dir, "golden.json"), &g)
					bundle["features.yaml"] = &fstest.MapFile{Data: []byte("features: [{name: " + strings.Join(g.Features, "}, {name: ") + "}]")}
					d, err = LoadFS(bundle, "x", Config{})
				}
				if err != nil {
					t.Fatal(err)
				}
				if d.Golden.Rows < 100 || d.Golden.Failed > 0 {
					t.Errorf("golden rows: %+v", d.Golden)
				}
				loaded++
			})
		}
	}
	if loaded < 35 {
		t.Errorf("only %d models", loaded)
	}
}

func TestBadModels(t *testing.T) {
	bad := filepath.Join(testenv.Shared(t), "models", "bad")
	var cases []struct{ Case, File, Expect string }
	read(t, filepath.Join(bad, "cases.json"), &cases)
	for _, c := range cases {
		_, err := Load(filepath.Join(bad, c.Case), Config{})
		var golden *GoldenError
		switch {
		case err == nil:
			t.Errorf("%s: no error", c.Case)
		case errors.As(err, &golden) != (c.Expect == "refuse-golden"):
			t.Errorf("%s: %v", c.Case, err)
		case golden != nil && (golden.Report.Failed != 1 || len(golden.Report.Worst) != 1 || !strings.Contains(err.Error(), "row 42, score: expected 0.594207438826561, got 0.600209")):
			t.Errorf("%s: %v", c.Case, err)
		}
	}
}

// TestDemoModel loads the bundle inside the binary.
func TestDemoModel(t *testing.T) {
	d, err := LoadFS(buyerintent.Bundle(), "x", Config{})
	if err != nil {
		t.Fatal(err)
	}
	if d.Name != "buyer-intent" || d.Version != "1" || list(d.Labels) != "[browse, buy]" || d.Golden.Rows != 200 {
		t.Errorf("%s %s %v %d", d.Name, d.Version, d.Labels, d.Golden.Rows)
	}
}

func TestModelFile(t *testing.T) {
	for files, want := range map[string]string{
		"model.json":                        "model.json",
		"features.yaml model.txt README.md": "model.txt",
		"model.json model.ubj":              "model.ubj",
	} {
		if got, err := modelFile(strings.Fields(files)); err != nil || got != want {
			t.Errorf("%s: %s %v, want %s", files, got, err, want)
		}
	}
	for files, want := range map[string]string{
		"":                               "no model in the folder",
		"features.yaml weights.pkl":      "there is [features.yaml, weights.pkl]",
		"model.txt model.ubj":            "more than one model in the folder: [model.ubj, model.txt]",
		"model.json model.lgb model.ubj": "more than one model",
	} {
		if _, err := modelFile(strings.Fields(files)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", files, err, want)
		}
	}
}

// TestLoadFile: a file alone is its own bundle, whatever lies beside it.
func TestLoadFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "shop")
	model, err := os.ReadFile(filepath.Join(testenv.Shared(t), "models", "xgb-gamma", "model.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"model.json": model, "late.json": model, "features.yaml": []byte("nonsense")} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for file, name := range map[string]string{"model.json": "shop", "late.json": "late"} {
		d, err := Load(filepath.Join(dir, file), Config{})
		if err != nil {
			t.Fatal(err)
		}
		if d.Name != name || d.Golden.Rows != 0 || !d.Features[0].Required || d.Features[0].Path != d.Features[0].Name {
			t.Errorf("%s: %q %+v %+v", file, d.Name, d.Golden, d.Features[0])
		}
	}
	if _, err := Load(dir, Config{}); err == nil || !strings.Contains(err.Error(), "features.yaml: ") {
		t.Errorf("the folder: %v", err)
	}
	if _, err := Load(filepath.Join(dir, "none"), Config{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("nothing there: %v", err)
	}
}

// TestLoadFaults: what the bundle and the pipeline say must fit each other.
func TestLoadFaults(t *testing.T) {
	model, err := os.ReadFile(filepath.Join(testenv.Shared(t), "models", "xgb-gamma", "model.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		features string
		config   Config
		want     string
	}{
		{"features: [{name: odd}]", Config{}, "unknown to the model: [odd]"},
		{"features: [{nme: odd}]", Config{}, "features.yaml: line 1: features[0].nme: no such key"},
		{"labels: [a, b, c]\n", Config{}, "labels: [a, b, c] for a model of 1 outputs; name 2 classes"},
		{"", Config{Paths: map[string]string{"odd": "x"}}, "model.paths names [odd]"},
		{"", Config{Entity: "a..b"}, `entity: path "a..b": character 3`},
		{"", Config{EventTime: "t", TimeUnit: "h"}, `unit "h"`},
	} {
		bundle := fstest.MapFS{"model.json": {Data: model}}
		if c.features != "" {
			text := c.features
			if strings.HasPrefix(text, "labels") {
				d, err := LoadFS(bundle, "x", Config{})
				if err != nil {
					t.Fatal(err)
				}
				text += "features: [{name: " + strings.Join(namesOf(d.Features), "}, {name: ") + "}]"
			}
			bundle["features.yaml"] = &fstest.MapFile{Data: []byte(text)}
		}
		if _, err := LoadFS(bundle, "x", c.config); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %+v: %v, want %q", c.features, c.config, err, c.want)
		}
	}
}

// TestDigest changes with every file that is used, and with nothing else.
func TestDigest(t *testing.T) {
	bundle := func() fstest.MapFS {
		m := fstest.MapFS{}
		dir := filepath.Join(testenv.Shared(t), "models", "osi-xgb")
		for _, name := range []string{"model.ubj", "features.yaml"} {
			data, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			m[name] = &fstest.MapFile{Data: data}
		}
		return m
	}
	of := func(change func(fstest.MapFS)) string {
		t.Helper()
		m := bundle()
		change(m)
		d, err := LoadFS(m, "x", Config{})
		if err != nil {
			t.Fatal(err)
		}
		return d.Digest
	}
	same := of(func(fstest.MapFS) {})
	if of(func(m fstest.MapFS) { m["README.md"] = &fstest.MapFile{Data: []byte("x")} }) != same {
		t.Error("a file that is not used changes the digest")
	}
	if of(func(m fstest.MapFS) { m["features.yaml"].Data = append(m["features.yaml"].Data, '\n') }) == same {
		t.Error("features.yaml does not count")
	}
	if digest(map[string][]byte{"a": {1}, "b": {2}}) == digest(map[string][]byte{"a": {1}, "c": {2}}) {
		t.Error("names do not count")
	}
}

func TestReadFile(t *testing.T) {
	fsys := fstest.MapFS{"f": {Data: []byte("12345")}}
	if data, err := readFile(fsys, "f", 5); err != nil || string(data) != "12345" {
		t.Errorf("%q %v", data, err)
	}
	if _, err := readFile(fsys, "f", 4); err == nil || !strings.Contains(err.Error(), "f is larger than") {
		t.Errorf("one byte too many: %v", err)
	}
	if _, err := readFile(os.DirFS(t.TempDir()), ".", 4); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a folder: %v", err)
	}
}

func read(t *testing.T, path string, v any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatal(err)
	}
}
