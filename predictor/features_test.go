package predictor

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"scry/internal/config"
	"scry/predictor/feature"
	"scry/predictor/forest"
)

func TestParseSpec(t *testing.T) {
	s, err := parseSpec([]byte(`
name: buyer
version: 1.10
labels: [no, yes]
features:
  - {name: a}
  - {name: b, path: x.b, missing: nan}
  - {name: c, missing: -1.5}
  - {name: d, missing: required, required: true}
  - {name: e, required: false, parse: true}
  - {name: g, missing: required}
  - name: f
    categories: [1, 2.0, NO, "null", 2026-11-24]
    missing: .nan
  - {name: "odd[name]"}
`))
	if err != nil {
		t.Fatal(err)
	}
	if s.name != "buyer" || s.version != "1.10" || !reflect.DeepEqual(s.labels, []string{"no", "yes"}) {
		t.Errorf("%+v", s)
	}
	nan := math.NaN()
	want := []feature.Feature{
		{Name: "a", Path: "a", Required: true, Missing: nan},
		{Name: "b", Path: "x.b", Missing: nan},
		{Name: "c", Path: "c", Missing: -1.5},
		{Name: "d", Path: "d", Required: true, Missing: nan},
		{Name: "e", Path: "e", Missing: nan, Parse: true},
		{Name: "g", Path: "g", Required: true, Missing: nan},
		{Name: "f", Path: "f", Missing: nan, Categories: []string{"1", "2.0", "NO", "null", "2026-11-24"}},
		{Name: "odd[name]", Path: `["odd[name]"]`, Required: true, Missing: nan},
	}
	for i := range want {
		if math.IsNaN(want[i].Missing) && math.IsNaN(s.features[i].Missing) {
			want[i].Missing, s.features[i].Missing = 0, 0
		}
		if !reflect.DeepEqual(s.features[i], want[i]) {
			t.Errorf("got  %+v\nwant %+v", s.features[i], want[i])
		}
	}
}

func TestParseSpecFaults(t *testing.T) {
	_, err := parseSpec([]byte(`name: [a]
labels: yes
colour: red
features:
  - {name: a, pth: x}
  - {path: x}
  - {name: c, missing: never}
  - {name: d, missing: nan, required: true}
  - {name: e, parse: perhaps}
  - {name: f, parse: true, categories: [x]}
  - {name: g, categories: [x, null]}
  - {name: h, name: i}
  - just text
  - {name: j, missing: inf}
  - {name: k, categories: &k [x]}
  - {name: l, categories: *k}
`))
	var faults config.Faults
	if !errors.As(err, &faults) {
		t.Fatal(err)
	}
	for _, want := range []string{
		"line 1: name: one value", `line 2: labels: "yes": a list`, "line 3: colour: no such key", "line 5: features[0].pth: no such key",
		"line 6: features[1]: a feature without a name", `line 7: features[2].missing: "never": is no policy`, "line 8: features[3].required: \"d\": required and missing contradict",
		`line 9: features[4].parse: "perhaps": true or false`, `line 10: features[5]: "f": has categories and parse`, `line 11: features[6].categories[1]: "null": one value`,
		"line 12: features[7].name: is given twice", `line 13: features[8]: "just text": keys and values`, `line 14: features[9].missing: "inf"`,
		"line 16: features[11].categories: is an alias",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in:\n%v", want, err)
		}
	}
	if len(faults) != 14 {
		t.Errorf("%d faults, want 14:\n%v", len(faults), err)
	}
	for text, want := range map[string]string{
		"":                             "says nothing",
		"name: x":                      "features: no feature is listed",
		"features: []":                 "features: no feature is listed",
		"features: [{name: a}]\n---\n": "more than one YAML document",
		"features: [{name: a}":         "not YAML: line ",
		"[a]":                          "keys and values",
	} {
		if _, err := parseSpec([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestColumns(t *testing.T) {
	named := []forest.Input{{Name: "a"}, {Name: "b", Kind: forest.Categorical, Categories: []string{"x", "y"}}}
	unnamed := []forest.Input{{}, {}}
	fs := func(names ...string) (fs []feature.Feature) {
		for _, n := range names {
			fs = append(fs, feature.Feature{Name: n, Path: "at." + n})
		}
		return fs
	}
	got, err := columns(named, fs("b", "a"), map[string]string{"a": "elsewhere"})
	if err != nil || list(namesOf(got)) != "[a, b]" || got[0].Path != "elsewhere" || got[1].Path != "at.b" || list(got[1].Categories) != "[x, y]" {
		t.Errorf("%+v %v", got, err)
	}
	got, err = columns(unnamed, fs("p", "q"), nil)
	if err != nil || list(namesOf(got)) != "[p, q]" {
		t.Errorf("%+v %v", got, err)
	}
	placeholders := []forest.Input{{Name: "Column_0"}, {Name: "Column_1"}}
	got, err = columns(placeholders, fs("p", "q"), nil)
	if err != nil || list(namesOf(got)) != "[p, q]" {
		t.Errorf("%+v %v", got, err)
	}
	got, err = columns(placeholders, fs("Column_1", "Column_0"), nil)
	if err != nil || list(namesOf(got)) != "[Column_0, Column_1]" || got[0].Path != "at.Column_0" {
		t.Errorf("%+v %v", got, err)
	}
	got, err = columns(named, nil, nil)
	if err != nil || list(namesOf(got)) != "[a, b]" || !got[1].Required || list(got[1].Categories) != "[x, y]" {
		t.Errorf("%+v %v", got, err)
	}
	equal, different := fs("a", "b"), fs("a", "b")
	equal[1].Categories, different[1].Categories = []string{"x", "y"}, []string{"y", "x"}
	if _, err := columns(named, equal, nil); err != nil {
		t.Error(err)
	}
	for _, c := range []struct {
		inputs    []forest.Input
		features  []feature.Feature
		overrides map[string]string
		want      string
	}{
		{named, fs("a", "c", "d"), nil, "nothing maps, [b]; mapped, and unknown to the model: [c, d]"},
		{named, fs("a"), nil, "nothing maps, [b]; mapped, and unknown to the model: none"},
		{named, fs("a", "b", "c"), nil, "nothing maps, none; mapped, and unknown to the model: [c]"},
		{named, fs("a", "b", "a"), nil, "twice"},
		{named, different, nil, `feature "b": its categories in features.yaml, [y, x], are not the model's, [x, y]`},
		{named, fs("a", "b"), map[string]string{"z": "p", "a": "q"}, "model.paths names [z], which the model does not have; its features are [a, b]"},
		{unnamed, fs("a"), nil, "features.yaml lists 1 features and the model, which names none, takes 2"},
		{unnamed, nil, nil, "write a features.yaml"},
		{placeholders, nil, nil, "write a features.yaml"},
	} {
		if _, err := columns(c.inputs, c.features, c.overrides); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}
