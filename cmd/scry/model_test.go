package main

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"scry/internal/testenv"
	"scry/predictor"
)

// runModel is scry model with its arguments.
func runModel(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs strings.Builder
	code = run(append([]string{"model"}, args...), &out, &errs)
	return code, out.String(), errs.String()
}

// sharedModels are the folders of both libraries' shared models.
func sharedModels(t *testing.T) []string {
	t.Helper()
	models := filepath.Join(testenv.Shared(t), "models")
	var dirs []string
	for _, pattern := range []string{"xgb-*", "lgb-*", "osi-xgb"} {
		found, err := filepath.Glob(filepath.Join(models, pattern))
		if err != nil {
			t.Fatal(err)
		}
		dirs = append(dirs, found...)
	}
	if len(dirs) < 35 {
		t.Fatalf("only %d models", len(dirs))
	}
	return dirs
}

func parse[T any](t *testing.T, text string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
	return v
}

func contains(t *testing.T, text string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in:\n%s", want, text)
		}
	}
}

func TestModelUsage(t *testing.T) {
	if code, out, _ := runModel(t); code != 0 || !strings.Contains(out, "inspect") {
		t.Errorf("no arguments: %d\n%s", code, out)
	}
	for _, args := range [][]string{{"inspct", "x"}, {"inspect"}, {"verify", "a", "b"}, {"init", "--nope"}, {"verify", "x", "--max", "0"}, {"bench", "x", "--batch", "0"}} {
		if code, _, errs := runModel(t, args...); code != exitUsage {
			t.Errorf("%v: exit %d, want %d: %s", args, code, exitUsage, errs)
		}
	}
	for _, command := range []string{"inspect", "verify", "init", "bench"} {
		if code, _, errs := runModel(t, command, filepath.Join(t.TempDir(), "none")); code != exitFailed || !strings.Contains(errs, "none") {
			t.Errorf("%s: exit %d: %s", command, code, errs)
		}
	}
}

func TestModelInspect(t *testing.T) {
	models := filepath.Join(testenv.Shared(t), "models")
	code, out, errs := runModel(t, "inspect", "--json", filepath.Join(models, "osi-xgb"))
	if code != 0 {
		t.Fatal(errs)
	}
	s := parse[modelSummary](t, out)
	if s.Library != "xgboost" || s.LibraryVersion != "3.2.0" || s.Objective != "binary:logistic" || s.Trees != 100 || s.Depth != 6 || s.Link != "sigmoid" {
		t.Errorf("%+v", s)
	}
	if len(s.Features) != 17 || s.Features[10].Name != "Month" || s.Features[10].Path != "session.month" || s.Features[10].Missing != "nan" || len(s.Features[10].Categories) != 10 {
		t.Errorf("%+v", s.Features)
	}
	splits := 0
	for _, f := range s.Features {
		splits += f.Splits
	}
	if s.Leaves != splits+s.Trees { // of a binary tree
		t.Errorf("%d leaves, %d splits", s.Leaves, splits)
	}
	if s.Golden == nil || s.Golden.Rows != 1000 || s.Golden.Failed != 0 || s.Cost.NsPerRow <= 0 || s.MemoryBytes <= s.LayoutBytes || s.LayoutBytes <= 0 {
		t.Errorf("%+v", s)
	}

	_, out, _ = runModel(t, "inspect", filepath.Join(models, "lgb-cat"))
	contains(t, out, "library      lightgbm", "objective    binary sigmoid:1, link sigmoid", "golden rows  200, reproduced",
		"\n  1  Landing      categorical  ", "3: New_Visitor, Other, Returning_Visitor")
	_, out, _ = runModel(t, "inspect", filepath.Join(models, "xgb-cat-codes"))
	contains(t, out, "  3  f3    ", "The model names no features", "golden rows  none")
	_, out, _ = runModel(t, "inspect", filepath.Join(models, "bad", "golden-disagrees"))
	contains(t, out, "200, of which 1 differ")
	_, out, _ = runModel(t, "inspect", filepath.Join(models, "xgb-gblinear"))
	contains(t, out, "trees        none")
}

// TestModelInspectKinds: every kind of model has words for its link.
func TestModelInspectKinds(t *testing.T) {
	models := filepath.Join(testenv.Shared(t), "models")
	for name, link := range map[string]string{
		"lgb-sqrt": "sign(x) x^2", "lgb-multiclass": "softmax", "lgb-stump": "sigmoid", "lgb-linear": "none",
		"xgb-multi-output": "softmax", "xgb-softmax": "index of the greatest", "xgb-aft": "exp",
	} {
		code, out, errs := runModel(t, "inspect", filepath.Join(models, name))
		if code != 0 || !strings.Contains(out, ", link "+link+"\n") || strings.Contains(out, "%!") {
			t.Errorf("%s: %d %s\n%s", name, code, errs, out)
		}
	}
}

// TestRandomRows: they are the same each time, every column has numbers and holes, and
// they fall into many leaves.
func TestRandomRows(t *testing.T) {
	b, err := predictor.Open(filepath.Join(testenv.Shared(t), "models", "xgb-cat"))
	if err != nil {
		t.Fatal(err)
	}
	const n = 200
	rows, again := randomRows(b.Ensemble, n), randomRows(b.Ensemble, n)
	width := len(b.Ensemble.Inputs)
	missing := make([]int, width)
	for i, x := range rows {
		if math.IsNaN(x) {
			missing[i%width]++
		} else if x != again[i] {
			t.Fatalf("value %d is %v, then %v", i, x, again[i])
		}
	}
	for f, m := range missing {
		if m == 0 || m > n/4 {
			t.Errorf("feature %d: %d of %d missing", f, m, n)
		}
	}
	scores, distinct := make([]float64, n), map[float64]bool{}
	if err := b.Compiled.Predict(rows, scores); err != nil {
		t.Fatal(err)
	}
	for _, s := range scores {
		distinct[s] = true
	}
	if len(distinct) < n/2 {
		t.Errorf("%d distinct scores of %d rows", len(distinct), n)
	}
}

func TestModelVerify(t *testing.T) {
	models := filepath.Join(testenv.Shared(t), "models")
	code, out, errs := runModel(t, "verify", filepath.Join(models, "osi-xgb"))
	if code != 0 || !strings.Contains(out, "1,000 golden rows, all reproduced") {
		t.Errorf("%d %s%s", code, out, errs)
	}
	bad := filepath.Join(models, "bad", "golden-disagrees")
	code, out, errs = runModel(t, "verify", bad)
	if code != exitFailed {
		t.Errorf("exit %d: %s", code, errs)
	}
	contains(t, out, "1 of 200 golden rows differ", "  42   score  0.594207438826561  0.600209534168", "100698\n")
	code, out, _ = runModel(t, "verify", "--json", bad)
	v := parse[verdict](t, out)
	if code != exitFailed || v.Verified || v.Failed != 1 || len(v.Worst) != 1 || v.Worst[0].Row != 42 || v.Worst[0].ULP != v.MaxULP {
		t.Errorf("%d %+v", code, v)
	}

	code, out, errs = runModel(t, "verify", filepath.Join(bad, "model.json"))
	if code != exitFailed || out != "" || !strings.Contains(errs, "no golden rows, so nothing was verified") {
		t.Errorf("without golden rows: %d %s%s", code, out, errs)
	}
	golden := filepath.Join(bad, "golden.json")
	if code, _, errs = runModel(t, "verify", filepath.Join(bad, "model.json"), "--golden", golden); code != exitFailed || !strings.Contains(errs, "1 of 200") {
		t.Errorf("--golden: %d %s", code, errs)
	}
	if code, _, errs = runModel(t, "verify", bad, "--golden", filepath.Join(models, "osi-xgb", "golden.json")); code != exitFailed || !strings.Contains(errs, "are not the model's") {
		t.Errorf("another's golden rows: %d %s", code, errs)
	}
}

// TestModelVerifyMax: what is shown is bounded, what is counted is not.
func TestModelVerifyMax(t *testing.T) {
	dir := filepath.Join(testenv.Shared(t), "models", "xgb-softprob")
	data, err := os.ReadFile(filepath.Join(dir, "golden.json"))
	if err != nil {
		t.Fatal(err)
	}
	golden := parse[map[string]any](t, string(data))
	for i, scores := range golden["scores"].([]any) {
		if i%2 == 0 {
			scores.([]any)[1] = float64(i)
		}
	}
	data, err = json.Marshal(golden)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "golden.json")
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
	_, out, _ := runModel(t, "verify", dir, "--golden", file, "--json", "--max", "12")
	if v := parse[verdict](t, out); v.Failed != 100 || len(v.Worst) != 12 || v.Worst[0].Output != "1" {
		t.Errorf("%+v", v)
	}
}

// TestModelBadFiles: each broken file is refused soon and in little memory.
func TestModelBadFiles(t *testing.T) {
	bad := filepath.Join(testenv.Shared(t), "models", "bad")
	data, err := os.ReadFile(filepath.Join(bad, "cases.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range parse[[]struct{ Case, File, Expect string }](t, string(data)) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		code, _, errs := runModel(t, "verify", filepath.Join(bad, c.Case))
		took := time.Since(start)
		runtime.ReadMemStats(&after)
		allocated := (after.TotalAlloc - before.TotalAlloc) >> 20
		if code != exitFailed || took > time.Second || allocated > 100 {
			t.Errorf("%s: exit %d after %v and %d MiB", c.Case, code, took, allocated)
		}
		if c.Expect == "refuse" && !strings.Contains(errs, c.File+": ") {
			t.Errorf("%s: does not name the file: %s", c.Case, errs)
		}
	}
}

func TestModelBench(t *testing.T) {
	models := filepath.Join(testenv.Shared(t), "models")
	code, out, errs := runModel(t, "bench", "--time", "1ms", "--json", filepath.Join(models, "osi-xgb"))
	if code != 0 {
		t.Fatal(errs)
	}
	s := parse[speeds](t, out)
	if s.Source != "golden" || s.Rows != 1000 || len(s.Timings) != 4 || s.Timings[3].Batch != 1024 || s.Timings[0].NsPerRow <= 0 {
		t.Errorf("%+v", s)
	}
	code, out, errs = runModel(t, "bench", "--time", "1ms", "--batch", "3", filepath.Join(models, "xgb-cat-codes", "model.json"))
	if code != 0 || errs != "" {
		t.Fatal(errs)
	}
	contains(t, out, "1,024 random rows", "\n      3  ")
}

func TestUnits(t *testing.T) {
	for n, want := range map[int]string{0: "0 B", 999: "999 B", 1200: "1.2 kB", 9949: "9.9 kB", 34_400: "34 kB", 999_600: "1.0 MB", 5_000_000_000: "5.0 GB"} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %q, want %q", n, got, want)
		}
	}
	for ns, want := range map[float64]string{304.6: "305 ns", 9994: "9994 ns", 10_040: "10.0 us"} {
		if got := nanoseconds(ns); got != want {
			t.Errorf("nanoseconds(%v) = %q, want %q", ns, got, want)
		}
	}
}
