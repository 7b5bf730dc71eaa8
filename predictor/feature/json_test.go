package feature

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
)

var nan = math.NaN()

// TestValues states what each kind of value is worth to each kind of feature.
func TestValues(t *testing.T) {
	plain := Feature{Name: "f", Path: "f", Missing: -9}
	parse := Feature{Name: "f", Path: "f", Missing: -9, Parse: true}
	category := Feature{Name: "f", Path: "f", Missing: -9, Categories: []string{"DE", "1", "true", "ö\n"}}
	required := func(f Feature) Feature { f.Required = true; return f }
	for _, c := range []struct {
		name    string
		feature Feature
		event   string
		want    float64
		missing uint64
		unknown uint64
		err     error
	}{
		{name: "integer", feature: plain, event: `{"f":42}`, want: 42},
		{name: "negative zero", feature: plain, event: `{"f":-0}`, want: math.Copysign(0, -1)},
		{name: "fraction and exponent", feature: plain, event: `{"f":-1.25E+2}`, want: -125},
		{name: "too small for a float64", feature: plain, event: `{"f":1e-400}`, want: 0},
		{name: "too large for a float64", feature: plain, event: `{"f":1e999}`, err: ErrMalformed},
		{name: "true", feature: plain, event: `{"f":true}`, want: 1},
		{name: "false", feature: plain, event: `{"f":false}`, want: 0},
		{name: "null", feature: plain, event: `{"f":null}`, want: -9, missing: 1},
		{name: "absent", feature: plain, event: `{}`, want: -9, missing: 1},
		{name: "null, required", feature: required(plain), event: `{"f":null}`, err: ErrMissing},
		{name: "absent, required", feature: required(plain), event: `{}`, err: ErrMissing},
		{name: "string", feature: plain, event: `{"f":"1"}`, err: ErrMalformed},
		{name: "object", feature: plain, event: `{"f":{}}`, err: ErrMalformed},
		{name: "array", feature: category, event: `{"f":[]}`, err: ErrMalformed},
		{name: "last of two", feature: plain, event: `{"f":1,"f":2}`, want: 2},
		{name: "last of two, the first wrong", feature: plain, event: `{"f":"x","f":2}`, want: 2},
		{name: "last of two, null", feature: plain, event: `{"f":1,"f":null}`, want: -9, missing: 1},

		{name: "number in a string", feature: parse, event: `{"f":"-1.5e1"}`, want: -15},
		{name: "escaped number in a string", feature: parse, event: `{"f":"\u0031"}`, want: 1},
		{name: "bare number, parse", feature: parse, event: `{"f":3}`, want: 3},
		{name: "empty string", feature: parse, event: `{"f":""}`, want: -9, missing: 1},
		{name: "empty string, required", feature: required(parse), event: `{"f":""}`, err: ErrMissing},
		{name: "nan", feature: parse, event: `{"f":"nan"}`, want: -9, missing: 1},
		{name: "NaN", feature: parse, event: `{"f":"NaN"}`, want: -9, missing: 1},
		{name: "spaces", feature: parse, event: `{"f":" 1"}`, err: ErrMalformed},
		{name: "not JSON's grammar", feature: parse, event: `{"f":"0x1p3"}`, err: ErrMalformed},
		{name: "too large in a string", feature: parse, event: `{"f":"1e999"}`, err: ErrMalformed},

		{name: "category", feature: category, event: `{"f":"DE"}`, want: 0},
		{name: "escaped category", feature: category, event: `{"f":"\u00f6\n"}`, want: 3},
		{name: "number as a category", feature: category, event: `{"f":1}`, want: 1},
		{name: "another spelling of it", feature: category, event: `{"f":1.0}`, want: -9, unknown: 1},
		{name: "boolean as a category", feature: category, event: `{"f":true}`, want: 2},
		{name: "unknown category", feature: category, event: `{"f":"FR"}`, want: -9, unknown: 1},
		{name: "unknown category, required", feature: required(category), event: `{"f":"FR"}`, want: nan, unknown: 1},
		{name: "absent category", feature: category, event: `{}`, want: -9, missing: 1},
		{name: "number for a category, out of range", feature: category, event: `{"f":1e999}`, want: -9, unknown: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			j, err := NewJSON([]Feature{c.feature}, JSONConfig{})
			if err != nil {
				t.Fatal(err)
			}
			s, row := NewScratch(1), make([]float64, 1)
			_, err = j.Extract([]byte(c.event), row, s)
			if !errors.Is(err, c.err) {
				t.Fatalf("error %v, want %v", err, c.err)
			}
			if c.err != nil {
				if !strings.Contains(err.Error(), "f (f)") {
					t.Errorf("%q does not name feature and path", err)
				}
				c.missing, c.unknown = 0, 0
			} else if math.Float64bits(row[0]) != math.Float64bits(c.want) {
				t.Errorf("value %v, want %v", row[0], c.want)
			}
			if s.Missing[0] != c.missing || s.Unknown[0] != c.unknown {
				t.Errorf("missing %d unknown %d, want %d %d", s.Missing[0], s.Unknown[0], c.missing, c.unknown)
			}
		})
	}
}

// TestPlaces states what is found where.
func TestPlaces(t *testing.T) {
	for _, c := range []struct {
		event string
		paths []string
		want  []float64
	}{
		{`{"a":{"b":[1,{"c":2},[3,4]]}}`, []string{"a.b[0]", "a.b[1].c", "a.b[2][1]", "a.b[9]"}, []float64{1, 2, 4, nan}},
		{`{"a.b":1,"a":{"b":2},"":3,"x y":4,"ö":5}`, []string{`["a.b"]`, "a.b", `[""]`, "x y", "ö"}, []float64{1, 2, 3, 4, 5}},
		{`{"\u0061\/":1}`, []string{"a/"}, []float64{1}},
		{`{"a":5}`, []string{"a", "a", "a.b", "a[0]"}, []float64{5, 5, nan, nan}},
		{`{"a":{"b":5}}`, []string{"a", "a.b"}, []float64{nan, 5}},
		{`{"a":{"b":1,"c":2},"a":{"c":3}}`, []string{"a.b", "a.c"}, []float64{nan, 3}},
		{`{"a":{"b":1},"a":7}`, []string{"a.b"}, []float64{nan}},
		{`{"a":[1,2],"a":[3]}`, []string{"a[0]", "a[1]"}, []float64{3, nan}},
		{`{"a":1,"a":{"b":2}}`, []string{"a", "a.b"}, []float64{nan, 2}},
		{`{"a":"no object"}`, []string{"a.b"}, []float64{nan}},
	} {
		var fs []Feature
		for i, p := range c.paths {
			fs = append(fs, Feature{Name: string(rune('A' + i)), Path: p, Missing: nan})
		}
		j, err := NewJSON(fs, JSONConfig{})
		if err != nil {
			t.Fatal(err)
		}
		row := make([]float64, len(fs))
		if _, err := j.Extract([]byte(c.event), row, NewScratch(len(fs))); err != nil {
			t.Errorf("%s: %v", c.event, err)
		}
		if !slices.EqualFunc(row, c.want, func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) }) {
			t.Errorf("%s: %v is %v, want %v", c.event, c.paths, row, c.want)
		}
	}
}

// TestBroken: a fault is one wherever it stands, also where nobody looks.
func TestBroken(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	deepObject := func(n int) string { return strings.Repeat(`{"":`, n-1) + "{}" + strings.Repeat("}", n-1) }
	values := []string{`01`, `1.`, `.5`, `+1`, `1e`, `-`, `nul`, `True`, `NaN`, `'a'`, `"a`, "\"\x1f\"", `"\x"`, `"\u12g4"`, `"\ud800"`, `"\udc00"`,
		`"\ud800\u0041"`, "\"\xff\"", "\"\xc0\x80\"", "\"\xed\xa0\x80\"", "\"\xf4\x90\x80\x80\"", "\"\xe2\x82\"", "\"long enough to be past a word \xff\"",
		`[1,]`, `[1 2]`, `[,]`, `[`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{a:1}`, `{"a" 1}`, `{"a":1 "b":2}`, `{"\ud800":1}`, deep(64), deepObject(64), `1 2`, `1}{`, ``}
	var events []string
	for _, v := range values {
		for _, key := range []string{"f", "g", "skipped"} {
			events = append(events, `{"`+key+`":`+v+`}`, `{"first":1,"`+key+`":`+v+`,"later":[1,2,3,"some more text that follows"]}`)
		}
	}
	events = append(events, ``, ` `, `1`, `"f"`, `null`, `[1]`, `{}{}`, `{} x`, "\ufeff{}", `{"f":1}}`, "{}\x00", `{`)
	j, err := NewJSON([]Feature{{Name: "f", Path: "f", Missing: nan}, {Name: "g", Path: "g.h", Missing: nan}}, JSONConfig{})
	if err != nil {
		t.Fatal(err)
	}
	s, row := NewScratch(2), make([]float64, 2)
	for _, e := range events {
		if _, err := j.Extract([]byte(e), row, s); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %v", e, err)
		}
	}
	for _, ok := range []string{deep(63), deepObject(63)} {
		if _, err := j.Extract([]byte(`{"skipped":`+ok+`}`), row, s); err != nil {
			t.Errorf("64 levels: %v", err)
		}
	}
}

func TestEntity(t *testing.T) {
	j, err := NewJSON(nil, JSONConfig{Entity: "user.id"})
	if err != nil {
		t.Fatal(err)
	}
	s := NewScratch(0)
	for value, want := range map[string]string{
		`"u42"`: "u42", `"a\"b\u00f6"`: `a"bö`, `17`: "17", `1.50`: "1.50", `true`: "true", `null`: "", `""`: "",
	} {
		f, err := j.Extract([]byte(`{"user":{"id":`+value+`}}`), nil, s)
		if err != nil || string(f.Entity) != want || (f.Entity == nil) != (want == "") {
			t.Errorf("%s: %q %v, want %q", value, f.Entity, err, want)
		}
	}
	if _, err := j.Extract([]byte(`{"user":{"id":{}}}`), nil, s); !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), "entity (user.id)") {
		t.Errorf("an object as entity: %v", err)
	}
	for _, none := range []string{`{"user":17}`, `{"user":{"id":"a"},"user":{}}`, `{"user":{"id":{},"id":null}}`} {
		if f, err := j.Extract([]byte(none), nil, s); err != nil || f.Entity != nil {
			t.Errorf("%s: %q %v", none, f.Entity, err)
		}
	}
}

// TestEntityOutlives: an unescaped entity stays as it is while the batch goes on.
func TestEntityOutlives(t *testing.T) {
	j, err := NewJSON([]Feature{{Name: "c", Path: "c", Categories: []string{"a\n"}}}, JSONConfig{Entity: "id"})
	if err != nil {
		t.Fatal(err)
	}
	s, row := NewScratch(1), make([]float64, 1)
	var got []string
	var fields []Fields
	for _, id := range []string{`x\t1`, `x\t2`, `x\t3`} {
		f, err := j.Extract([]byte(`{"c":"a\n","id":"`+id+`","c":"a\n","other":"z\n"}`), row, s)
		if err != nil {
			t.Fatal(err)
		}
		fields = append(fields, f)
	}
	for _, f := range fields {
		got = append(got, string(f.Entity))
	}
	if !slices.Equal(got, []string{"x\t1", "x\t2", "x\t3"}) {
		t.Errorf("%q", got)
	}
}

// TestWideObject: a repeated key is noticed past the 64th that is wanted, too.
func TestWideObject(t *testing.T) {
	var fs []Feature
	for i := range 200 {
		fs = append(fs, Feature{Name: fmt.Sprint(i), Path: fmt.Sprintf("k%d.x", i), Missing: nan})
	}
	j, err := NewJSON(fs, JSONConfig{})
	if err != nil {
		t.Fatal(err)
	}
	s, row := NewScratch(200), make([]float64, 200)
	for range 2 {
		for i := range fs {
			if _, err := j.Extract(fmt.Appendf(nil, `{"k7":{"x":7},"k%d":{"x":1},"k70":{"x":70},"k%d":{"y":1}}`, i, i), row, s); err != nil {
				t.Fatal(err)
			}
			if row[i] == row[i] {
				t.Fatalf("member %d is still %v", i, row[i])
			}
		}
	}
}

// TestGuesses: what is expected of the next event settles on every member there was,
// and is bounded however many keys come and go.
func TestGuesses(t *testing.T) {
	j, err := NewJSON([]Feature{{Name: "a", Path: "a", Missing: nan}}, JSONConfig{})
	if err != nil {
		t.Fatal(err)
	}
	s, row := NewScratch(1), make([]float64, 1)
	extract := func(keys ...string) []guess {
		t.Helper()
		var b []byte
		for _, k := range keys {
			b = fmt.Appendf(b, `,"%s":1`, k)
		}
		if _, err := j.Extract(fmt.Appendf(nil, `{%s,"end":"far enough away"}`, b[1:]), row, s); err != nil || row[0] != 1 {
			t.Fatalf("%v: %v %v", keys, row, err)
		}
		return s.guesses[j.root.id]
	}
	for range 3 {
		extract("a", "b", "c")
		extract("a", "c")
		extract("x", "a", "b")
		if g := extract("a", "b", "c"); len(g) != 5 {
			t.Fatalf("%d keys expected, want x, a, b, c, end", len(g))
		}
	}
	for i := range 5000 {
		if g := extract("a", fmt.Sprint(i), fmt.Sprint("y", i)); len(g) > maxGuesses {
			t.Fatalf("%d keys expected", len(g))
		}
	}
}

func TestNewJSONFaults(t *testing.T) {
	_, err := NewJSON([]Feature{
		{Name: "a", Path: "a"}, {Name: "a", Path: "b"}, {Name: "", Path: "c"}, {Name: "d", Path: "d..e"},
		{Name: "e", Path: "e", Categories: []string{"x", "y", "x"}},
	}, JSONConfig{Entity: "[0]", EventTime: "t", TimeUnit: "minutes"})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{`feature "a" is both number 1 and number 2`, "feature number 3 has no name", `feature "d": path "d..e": character 3`,
		`category "x" is both number 0 and number 2`, `entity: path "[0]": character 1`, `unit "minutes"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in:\n%v", want, err)
		}
	}
}

func TestNoAllocation(t *testing.T) {
	event := []byte(`{"id":"a\tb","t":"2026-11-24T10:00:00.123Z","n":0.12345678901234567,"m":"\u0031","s":"-3.5","c":"K\u00f6ln",` +
		`"o":{"p":1e-300,"q":[0,{"r":1234567890123456789012345}]},"a_key_of_which_the_first_1_of_equal_bytes":1,"l":["Köln",null,"nan"]}`)
	event = []byte(strings.Replace(string(event), `["Köln"`, `[7`, 1))
	plan := fuzzPlans[0]
	j, err := NewJSON(slices.DeleteFunc(slices.Clone(plan.features), func(f Feature) bool { return f.Path == "m" }), plan.config)
	if err != nil {
		t.Fatal(err)
	}
	s, row := NewScratch(len(plan.features)), make([]float64, len(plan.features))
	extract := func() {
		s.Reset()
		if _, err := j.Extract(event, row[:len(j.features)], s); err != nil {
			t.Fatal(err)
		}
	}
	if n := testing.AllocsPerRun(100, extract); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
