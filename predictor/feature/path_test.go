package feature

import (
	"slices"
	"strings"
	"testing"
)

func TestParsePath(t *testing.T) {
	key := func(k string) step { return step{key: k, index: -1} }
	for path, want := range map[string][]step{
		"a":                    {key("a")},
		"a.b[0].c":             {key("a"), key("b"), {index: 0}, key("c")},
		`["a.b"]`:              {key("a.b")},
		`a["b\"]"][12]`:        {key("a"), key(`b"]`), {index: 12}},
		`["\u00f6\\"].x[1][2]`: {key(`ö\`), key("x"), {index: 1}, {index: 2}},
		`[""]`:                 {key("")},
		"user name.$x":         {key("user name"), key("$x")},
	} {
		if got, err := parsePath(path); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v %v, want %v", path, got, err, want)
		}
	}
	for path, want := range map[string]string{
		"":                             "empty",
		".a":                           "character 1",
		"a.":                           "character 3: a key is missing",
		"a..b":                         "character 3: a key is missing",
		"[0].a":                        "begins with a key",
		"a[x]":                         "character 3",
		"a[01]":                        "character 3",
		"a[-1]":                        "character 3",
		"a[9999999999]":                "character 3",
		"a[0":                          "character 3",
		"a[0]b":                        "character 5: a dot or a bracket",
		`a\.b`:                         `character 2: '\\' inside a key; quote the key`,
		`a]`:                           `character 2: ']'`,
		`["a`:                          "character 1: a quoted key must end",
		`["a"`:                         "character 1: a quoted key must end",
		`["\x"]`:                       "character 2: a quoted key is written as a JSON string",
		strings.Repeat("a.", 64) + "a": "65 steps",
	} {
		if _, err := parsePath(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}

func TestPathFor(t *testing.T) {
	for _, name := range []string{"a", "a.b", "a[0]", "ö x", "<&>"} {
		if got := PathFor(name); got != name {
			t.Errorf("%q became %s", name, got)
		}
	}
	for _, name := range []string{`a"b\c`, "", ".a", "a..b", "x[y]", "[0]", "a]\u2028"} {
		steps, err := parsePath(PathFor(name))
		if err != nil || len(steps) != 1 || steps[0] != (step{key: name, index: -1}) {
			t.Errorf("%q: %s is %v, %v", name, PathFor(name), steps, err)
		}
	}
}
