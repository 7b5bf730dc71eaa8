package feature

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"scry/internal/testenv"
)

// TestRealEvents: rows of real sessions are what encoding/json and the mapping give.
func TestRealEvents(t *testing.T) {
	dir := filepath.Join(testenv.Shared(t), "models", "osi-xgb")
	mapping, err := os.ReadFile(filepath.Join(dir, "features.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var bundle struct {
		Features []struct {
			Name, Path string
			Categories []string
		}
	}
	if err := yaml.Unmarshal(mapping, &bundle); err != nil {
		t.Fatal(err)
	}
	var fs []Feature
	for _, f := range bundle.Features {
		fs = append(fs, Feature{Name: f.Name, Path: f.Path, Categories: f.Categories, Missing: math.NaN()})
	}
	j, err := NewJSON(fs, JSONConfig{Entity: "user_id", EventTime: "ts"})
	if err != nil {
		t.Fatal(err)
	}
	events, err := os.ReadFile(filepath.Join(dir, "events.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	s, row, n := NewScratch(len(fs)), make([]float64, len(fs)), 0
	for event := range bytes.Lines(events) {
		n++
		fields, err := j.Extract(event, row, s)
		if err != nil {
			t.Fatalf("%v\n%s", err, event)
		}
		var tree map[string]any
		if err := json.Unmarshal(event, &tree); err != nil {
			t.Fatal(err)
		}
		if string(fields.Entity) != tree["user_id"] || !fields.HasTime {
			t.Fatalf("fields %+v of %s", fields, event)
		}
		for i, f := range fs {
			if want := plainLookup(tree, f); math.Float64bits(row[i]) != math.Float64bits(want) {
				t.Fatalf("%s is %v, want %v in %s", f.Name, row[i], want, event)
			}
		}
	}
	if n < 1000 {
		t.Errorf("only %d events", n)
	}
}

func plainLookup(tree map[string]any, f Feature) float64 {
	var v any = tree
	for _, key := range strings.Split(f.Path, ".") {
		v = v.(map[string]any)[key]
		if v == nil {
			return math.NaN()
		}
	}
	switch v := v.(type) {
	case bool:
		return map[bool]float64{true: 1}[v]
	case string:
		if i := slices.Index(f.Categories, v); i >= 0 {
			return float64(i)
		}
		return math.NaN()
	}
	return v.(float64)
}
