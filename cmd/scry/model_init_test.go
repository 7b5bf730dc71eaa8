package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"scry/internal/testenv"
	"scry/predictor"
)

// TestModelInitAll: what init writes is at once a features.yaml that loads, for every
// model, and reproduces the golden rows of those that have names.
func TestModelInitAll(t *testing.T) {
	for _, dir := range sharedModels(t) {
		bundle := copyBundle(t, dir)
		os.Remove(filepath.Join(bundle, "features.yaml"))
		code, out, errs := runModel(t, "init", "--write", bundle)
		if code != 0 || !strings.Contains(out, "features; edit") {
			t.Fatalf("%s: %d %s", dir, code, errs)
		}
		unnamed := strings.HasSuffix(dir, "-cat-codes")
		if unnamed || strings.HasSuffix(dir, "osi-xgb") { // the golden rows have other names, or words
			os.Remove(filepath.Join(bundle, "golden.json"))
		}
		d, err := predictor.Load(bundle, predictor.Config{})
		if err != nil {
			t.Errorf("%s: %v", dir, err)
			continue
		}
		if unnamed != (d.Features[0].Name == "f0") || !d.Features[0].Required {
			t.Errorf("%s: %+v", dir, d.Features[0])
		}
	}
}

func copyBundle(t *testing.T, dir string) string {
	t.Helper()
	bundle := t.TempDir()
	for _, name := range []string{"model.ubj", "model.txt", "golden.json", "features.yaml"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			continue
		}
		if err := os.WriteFile(filepath.Join(bundle, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return bundle
}

func TestModelInit(t *testing.T) {
	models := filepath.Join(testenv.Shared(t), "models")
	code, out, errs := runModel(t, "init", filepath.Join(models, "xgb-cat"))
	if code != 0 {
		t.Fatal(errs)
	}
	contains(t, out, "# The features of model.ubj (xgboost 3.2.0)", "\nfeatures:\n  - {name: PageValues, path: PageValues, missing: required}\n",
		"{name: VisitorType, path: VisitorType, missing: required}  # the model holds its categories: New_Visitor, Other, Returning_Visitor\n")
	_, out, _ = runModel(t, "init", filepath.Join(models, "xgb-cat-codes"))
	contains(t, out, "this one has none", "{name: f2, path: f2, missing: required}  # a category's code")
	_, out, _ = runModel(t, "init", filepath.Join(models, "xgb-softprob"))
	contains(t, out, "the names of the 3 classes")
}

// TestModelInitKeeps: a features.yaml that somebody edited is not lost.
func TestModelInitKeeps(t *testing.T) {
	bundle := copyBundle(t, filepath.Join(testenv.Shared(t), "models", "xgb-gamma"))
	file := filepath.Join(bundle, "features.yaml")
	if err := os.WriteFile(file, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	code, _, errs := runModel(t, "init", "--write", filepath.Join(bundle, "model.ubj"))
	if text, _ := os.ReadFile(file); code != exitFailed || string(text) != "mine" || !strings.Contains(errs, "--force replaces it") {
		t.Errorf("%d %s: %s", code, errs, text)
	}
	code, _, errs = runModel(t, "init", "--write", "--force", bundle)
	if text, _ := os.ReadFile(file); code != 0 || !strings.HasPrefix(string(text), "# The features of") {
		t.Errorf("%d %s: %s", code, errs, text)
	}
}

// TestScalar: YAML reads back every name as it was.
func TestScalar(t *testing.T) {
	for _, name := range []string{"a", "Page.Values", "null", "~", "Yes", "n", "1", "1e3", "0x1f", ".5", "-", "a: b", "a #b", "[x", "{x}",
		"", " ", "a b", "'", `"`, `\`, "a\nb", "\t", "<&>", "é", "\u2028", "2026-11-24", "a,b", "!x", "&x", "*x", "%x", "@x"} {
		var back struct{ Name yaml.Node }
		if err := yaml.Unmarshal([]byte("{name: "+scalar(name)+", path: x}"), &back); err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		if back.Name.Value != name || back.Name.Tag != "!!str" {
			t.Errorf("%q: read as %q, %s", name, back.Name.Value, back.Name.Tag)
		}
	}
}
