package buyerintent

import (
	"encoding/json"
	"io/fs"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"scry/internal/shop"
)

type spec struct {
	Name     string
	Version  string
	Labels   []string
	Features []struct {
		Name       string
		Path       string
		Missing    *string
		Categories []string
	}
}

type golden struct {
	Schema     int
	Features   []string
	Categories map[string][]string
	Rows       [][]any
	Scores     [][]float64
	Raw        [][]float64
	Kinds      []string
}

func read(t *testing.T) (spec, golden) {
	t.Helper()
	var s spec
	text, err := fs.ReadFile(Bundle(), "features.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	var g golden
	text, err = fs.ReadFile(Bundle(), "golden.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &g); err != nil {
		t.Fatal(err)
	}
	return s, g
}

// Whether the model gives the golden scores is for the loader to say; this is about
// the files fitting each other.
func TestGoldenRowsFitTheFeatures(t *testing.T) {
	s, g := read(t)
	if s.Name != "buyer-intent" || s.Version == "" || !slices.Equal(s.Labels, []string{"browse", "buy"}) || g.Schema != 1 {
		t.Errorf("name %q version %q labels %q schema %d", s.Name, s.Version, s.Labels, g.Schema)
	}
	if len(g.Rows) != 200 || len(g.Scores) != 200 || len(g.Raw) != 200 || len(g.Kinds) != 200 || len(g.Features) != len(s.Features) {
		t.Fatalf("%d rows, %d scores, %d raw, %d kinds, %d features", len(g.Rows), len(g.Scores), len(g.Raw), len(g.Kinds), len(g.Features))
	}
	for i, f := range s.Features {
		if g.Features[i] != f.Name || !slices.Equal(g.Categories[f.Name], f.Categories) {
			t.Errorf("column %d is %s %v in features.yaml and %s %v in golden.json", i, f.Name, f.Categories, g.Features[i], g.Categories[g.Features[i]])
		}
		if f.Missing != nil && *f.Missing != "nan" {
			t.Errorf("%s: missing: %s", f.Name, *f.Missing)
		}
	}
	for r, row := range g.Rows {
		if len(row) != len(s.Features) {
			t.Fatalf("row %d has %d values", r, len(row))
		}
		for i, f := range s.Features {
			switch row[i].(type) {
			case nil:
				if f.Missing == nil {
					t.Errorf("row %d lacks %s, which is required", r, f.Name)
				}
			case string:
				if f.Categories == nil {
					t.Errorf("row %d: %s is a string", r, f.Name)
				}
			case float64:
				if f.Categories != nil {
					t.Errorf("row %d: %s is a number", r, f.Name)
				}
			}
		}
		if score := 1 / (1 + math.Exp(-g.Raw[r][0])); math.Abs(score-g.Scores[r][0]) > 1e-6 {
			t.Errorf("row %d: margin %v makes %v, not %v", r, g.Raw[r][0], score, g.Scores[r][0])
		}
	}
}

// Every event of the shop has what the model requires, and no category unknown to it.
func TestEventsHaveTheFeatures(t *testing.T) {
	s, _ := read(t)
	shop := shop.New(9, 200)
	absent := make([]int, len(s.Features))
	used := make([]map[string]bool, len(s.Features))
	const n = 20_000
	for i := range n {
		_, text := shop.Next(nil, time.Unix(1_795_000_000+int64(i), 0))
		var event any
		if err := json.Unmarshal(text, &event); err != nil {
			t.Fatal(err)
		}
		for c, f := range s.Features {
			v := event
			for step := range strings.SplitSeq(f.Path, ".") {
				m, _ := v.(map[string]any)
				v = m[step]
			}
			switch v := v.(type) {
			case nil:
				absent[c]++
			case string:
				if !slices.Contains(f.Categories, v) {
					t.Fatalf("%s: unknown category %q", f.Name, v)
				}
				if used[c] == nil {
					used[c] = map[string]bool{}
				}
				used[c][v] = true
			case float64:
				if f.Categories != nil {
					t.Fatalf("%s is a number: %s", f.Name, text)
				}
			default:
				t.Fatalf("%s is a %T: %s", f.Name, v, text)
			}
		}
	}
	for c, f := range s.Features {
		if absent[c] == n || absent[c] > 0 && f.Missing == nil {
			t.Errorf("%s (%s) is absent in %d of %d events", f.Name, f.Path, absent[c], n)
		}
		if len(used[c]) != len(f.Categories) {
			t.Errorf("%s: %d of %d categories occur", f.Name, len(used[c]), len(f.Categories))
		}
	}
}

func TestModelIsSmall(t *testing.T) {
	info, err := fs.Stat(Bundle(), "model.ubj")
	if err != nil || info.Size() > 400_000 {
		t.Error(info.Size(), err)
	}
}
