package predictor

import (
	"testing"

	"scry/predictor/feature"
)

// FuzzSpec: whatever features.yaml holds, it is refused or gives features that a
// model can be joined with.
func FuzzSpec(f *testing.F) {
	for _, text := range []string{
		"name: a\nversion: 1\nlabels: [no, yes]\nfeatures:\n  - {name: a, path: b.c, missing: nan}\n  - {name: b, categories: [x, 1], required: false}\n",
		"features: [{name: a, parse: true, missing: 1e3}]", "features: &f [*f]", "features: [{? [a] : b}]", "{", "- a", "a: !!binary x", "<<: {a: b}",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := parseSpec(data)
		if err != nil {
			return
		}
		if len(s.features) == 0 {
			t.Fatal("no features and no error")
		}
		for _, x := range s.features {
			if x.Name == "" || x.Path == "" {
				t.Fatalf("%+v", x)
			}
		}
		_, _ = feature.NewJSON(s.features, feature.JSONConfig{})
	})
}

// FuzzGolden: whatever golden.json holds, it is refused or verified.
func FuzzGolden(f *testing.F) {
	for _, text := range []string{
		golden(`["c","x"]`, `["a",1],[null,true]`, `[1],[1]`), golden(`["x","c"]`, `[1e999,2]`, `[1]`), golden(`["x","c"]`, `[[],{}]`, `[1]`),
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		g, err := ParseGolden(data)
		if err != nil {
			return
		}
		var rows [][]float64
		r, err := Verify(echoDeployment(&rows), g)
		if err == nil && (r.Rows != len(rows) || r.Failed > r.Rows || (r.Failed > 0) != (len(r.Worst) > 0)) {
			t.Fatalf("%+v of %d rows", r, len(rows))
		}
	})
}
