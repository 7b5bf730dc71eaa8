package feature

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"testing"
)

// fuzzFeatures has every kind of feature, path and policy. Nothing is required in
// it: fuzzing would then end at the same missing key for ever.
var fuzzFeatures = []Feature{
	{Name: "plain", Path: "n", Missing: math.NaN()},
	{Name: "again", Path: "m", Missing: -1},
	{Name: "again, as a category", Path: "m", Categories: []string{"1", "2.50", "true", "x"}, Missing: 7},
	{Name: "parsed", Path: "s", Parse: true, Missing: math.NaN()},
	{Name: "category", Path: "c", Categories: []string{"DE", "Köln", "", `a"b`, "null"}, Missing: math.NaN()},
	{Name: "nested", Path: "o.p", Missing: 1},
	{Name: "deep", Path: "o.q[1].r", Missing: 2},
	{Name: "leaf and prefix", Path: "o", Missing: 3},
	{Name: "leaf and array", Path: "o.q", Missing: 4},
	{Name: "element", Path: "l[0]", Missing: math.Inf(1)},
	{Name: "element 2", Path: "l[2]", Missing: math.NaN(), Parse: true},
	{Name: "nested arrays", Path: "l[1][1]", Missing: math.NaN()},
	{Name: "dotted key", Path: `["a.b"]`, Missing: math.NaN()},
	{Name: "quoted key", Path: `["q\"\\"].ö`, Missing: math.NaN()},
	{Name: "empty key", Path: `[""]`, Missing: math.NaN()},
	{Name: "eight", Path: "eightkey", Missing: math.NaN()},
	{Name: "sixteen", Path: "sixteen_byte_key", Missing: math.NaN()},
	{Name: "long", Path: "a_key_of_which_the_first_1_of_equal_bytes", Missing: math.NaN()},
	{Name: "long too", Path: "a_key_of_which_the_first_2_of_equal_bytes", Missing: math.NaN()},
}

var fuzzPlans = []struct {
	features []Feature
	config   JSONConfig
}{
	{fuzzFeatures, JSONConfig{Entity: "id", EventTime: "t"}},
	{fuzzFeatures, JSONConfig{Entity: "o.id", EventTime: "o.t", TimeUnit: Seconds}},
	{fuzzFeatures, JSONConfig{Entity: "m", EventTime: "n", TimeUnit: Milliseconds}},
	{fuzzFeatures, JSONConfig{Entity: "c", EventTime: "s", TimeUnit: Microseconds}},
	{[]Feature{
		{Name: "n", Path: "n", Required: true},
		{Name: "c", Path: "c", Required: true, Categories: []string{"DE", "1"}},
	}, JSONConfig{}},
}

var fuzzEvents = []string{
	`{}`,
	`{"n":1,"m":2.50,"s":"3","c":"DE","o":{"p":4,"q":[0,{"r":5}],"id":"u1","t":1732442400.123},"l":[1,[2,3],"4"],"id":"u1","t":"2026-11-24T10:00:00.123Z"}`,
	`{"n":17,"m":true,"s":"nan","c":"K\u00f6ln","o":6,"l":[],"a.b":1e3,"q\"\\":{"ö":-0.5},"":0,"id":9,"t":"2024-02-29T23:59:60+01:00"}`,
	`{"eightkey":8.25,"sixteen_byte_key":16,"a_key_of_which_the_first_1_of_equal_bytes":1,"a_key_of_which_the_first_2_of_equal_bytes":2,"id":null,"t":null}`,
	`{"n":0.12345678901234567,"n":12345678901234567e-20,"m":1234567890123456789012345,"s":"1e999","o":{"q":{"r":1}},"o":{"p":null}}`,
	`{"n":1732442400123.5,"s":"1732442400123456","m":"u\ud83d\ude00","skip":{"a":[true,false,null,"\\\/\b\f\n\r\t",-1.5E+3,{}]}}`,
	` { "n" : 1 , "m" : 2 , "unwanted key" : [ [ ] , { "k" : "v" } ] } `,
	`{"n":4.9406564584124654e-324,"m":1.7976931348623157e308,"l":[9007199254740993,[0,18446744073709551615],"0.1"]}`,
	`{"t":"0000-01-01T00:00:00Z","o":{"t":-62167219200.0001}}`,
	`{"n":1}x`, `{"n":01}`, `{"n":1.}`, `{"n":"x"}`, `{"s":" 1"}`, `{"n":{}}`, `{"n":-}`, `{"id":[]}`, `{"t":1}`, "{\"x\":\"\xff\"}", `{"x":"\ud800"}`, "{\"x\":\"\x01\"}",
}

// FuzzJSON holds the extractor against the oracle. The event before may have taught
// it anything about the order of the keys; that must not show.
func FuzzJSON(f *testing.F) {
	for i, e := range fuzzEvents {
		f.Add([]byte(fuzzEvents[(i+1)%len(fuzzEvents)]), []byte(e))
		f.Add([]byte(e), []byte(e))
	}
	f.Fuzz(func(t *testing.T, before, event []byte) {
		for _, plan := range fuzzPlans {
			check(t, before, event, plan.features, plan.config)
		}
	})
}

func check(t *testing.T, before, event []byte, features []Feature, c JSONConfig) {
	t.Helper()
	j, err := NewJSON(features, c)
	if err != nil {
		t.Fatal(err)
	}
	s := NewScratch(len(features))
	row := make([]float64, len(features))
	_, _ = j.Extract(before, row, s)
	s.Reset()
	event = slices.Clip(slices.Clone(event))
	original := slices.Clone(event)
	fields, err := j.Extract(event, row, s)
	want := oracle(event, features, c)
	if !bytes.Equal(event, original) {
		t.Fatal("the event was written to")
	}
	switch {
	case want.err == nil && err != nil:
		t.Fatalf("%s\nrefused: %v", event, err)
	case want.err != nil && !errors.Is(err, want.err):
		t.Fatalf("%s\ngot %v, want %v", event, err, want.err)
	case want.err != nil:
		if slices.Max(s.Missing) > 0 || slices.Max(s.Unknown) > 0 {
			t.Fatalf("%s\na refused event was counted", event)
		}
		return
	}
	if !bytes.Equal(fields.Entity, want.fields.Entity) || (fields.Entity == nil) != (want.fields.Entity == nil) {
		t.Fatalf("%s\nentity %q, want %q", event, fields.Entity, want.fields.Entity)
	}
	if fields.HasTime != want.fields.HasTime || fields.HasTime && fields.EventTime != want.fields.EventTime {
		t.Fatalf("%s\ntime %d %t, want %d %t", event, fields.EventTime, fields.HasTime, want.fields.EventTime, want.fields.HasTime)
	}
	for i, x := range row {
		if math.Float64bits(x) != want.row[i] {
			t.Fatalf("%s\n%s: %v, want %v", event, features[i].Name, x, math.Float64frombits(want.row[i]))
		}
	}
	if !slices.Equal(s.Missing, want.missing) || !slices.Equal(s.Unknown, want.unknown) {
		t.Fatalf("%s\nmissing %v unknown %v, want %v %v", event, s.Missing, s.Unknown, want.missing, want.unknown)
	}
}
