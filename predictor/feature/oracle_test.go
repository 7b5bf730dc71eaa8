package feature

import (
	"bytes"
	"errors"
	"io"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// The oracle extracts the slow, safe way: jsontext reads the whole event into a
// tree, in which the last of several members with one key stays, and each path is
// then looked up on its own.

type tree struct {
	kind     jsontext.Kind // '{' '[' '"' '0' 't' 'f' 'n'
	text     string        // of a scalar: a string's meaning, else as written
	members  map[string]tree
	elements []tree
}

type outcome struct {
	row              []uint64 // bits
	fields           Fields
	missing, unknown []uint64
	err              error // the sentinel
}

func parseTree(event []byte) (tree, bool) {
	d := jsontext.NewDecoder(bytes.NewReader(event), jsontext.AllowDuplicateNames(true))
	if d.PeekKind() != '{' {
		return tree{}, false
	}
	t, ok := nextTree(d)
	if !ok {
		return tree{}, false
	}
	_, err := d.ReadToken()
	return t, errors.Is(err, io.EOF)
}

func nextTree(d *jsontext.Decoder) (tree, bool) {
	token, err := d.ReadToken()
	if err != nil || d.StackDepth() > 64 {
		return tree{}, false
	}
	t := tree{kind: token.Kind()}
	switch t.kind {
	case '{':
		t.members = map[string]tree{}
		for d.PeekKind() != '}' {
			key, err := d.ReadToken()
			if err != nil {
				return t, false
			}
			name := key.String()
			value, ok := nextTree(d)
			if !ok {
				return t, false
			}
			t.members[name] = value
		}
		_, err = d.ReadToken()
	case '[':
		for d.PeekKind() != ']' {
			value, ok := nextTree(d)
			if !ok {
				return t, false
			}
			t.elements = append(t.elements, value)
		}
		_, err = d.ReadToken()
	default:
		t.text = token.String()
	}
	return t, err == nil
}

// lookup returns what is at a path; absent and null are both kind 'n'.
func (t tree) lookup(path []step) tree {
	for _, s := range path {
		next := tree{kind: 'n'}
		if s.index < 0 {
			if m, ok := t.members[s.key]; ok {
				next = m
			}
		} else if s.index < len(t.elements) {
			next = t.elements[s.index]
		}
		t = next
	}
	return t
}

func oracle(event []byte, features []Feature, c JSONConfig) outcome {
	malformed := outcome{err: ErrMalformed}
	t, ok := parseTree(event)
	if !ok {
		return malformed
	}
	steps := func(path string) []step {
		s, err := parsePath(path)
		if err != nil {
			panic(err)
		}
		return s
	}
	paths := [][]step{}
	for _, f := range features {
		paths = append(paths, steps(f.Path))
	}
	o := outcome{missing: make([]uint64, len(features)), unknown: make([]uint64, len(features))}
	if c.Entity != "" {
		paths = append(paths, steps(c.Entity))
	}
	if c.EventTime != "" {
		paths = append(paths, steps(c.EventTime))
	}
	// wrongShape says an object or an array stands where only a scalar was mapped.
	wrongShape := func(path []step, v tree) bool {
		if v.kind != '{' && v.kind != '[' {
			return false
		}
		for _, other := range paths {
			if len(other) > len(path) && slices.Equal(other[:len(path)], path) && (other[len(path)].index < 0) == (v.kind == '{') {
				return false
			}
		}
		return true
	}
	if c.Entity != "" {
		path := steps(c.Entity)
		switch v := t.lookup(path); {
		case wrongShape(path, v):
			return malformed
		case v.text != "" && v.kind != 'n':
			o.fields.Entity = []byte(v.text)
		}
	}
	if c.EventTime != "" {
		path := steps(c.EventTime)
		v := t.lookup(path)
		if wrongShape(path, v) {
			return malformed
		}
		switch v.kind {
		case 'n', '{', '[':
		default:
			if o.fields.EventTime, o.fields.HasTime = oracleTime(v, c.TimeUnit); !o.fields.HasTime {
				return malformed
			}
		}
	}
	for i, f := range features {
		path := steps(f.Path)
		v := t.lookup(path)
		if wrongShape(path, v) {
			return malformed
		}
		x, state := oracleValue(v, f)
		switch {
		case state == "wrong":
			return malformed
		case state == "absent" && f.Required:
			return outcome{err: ErrMissing}
		case state == "absent":
			o.missing[i]++
			x = f.Missing
		case state == "unknown":
			o.unknown[i]++
			x = f.Missing
			if f.Required {
				x = math.NaN()
			}
		}
		o.row = append(o.row, math.Float64bits(x))
	}
	return o
}

func oracleValue(v tree, f Feature) (x float64, state string) {
	switch v.kind {
	case 'n', '{', '[':
		return 0, "absent"
	}
	if len(f.Categories) > 0 {
		if i := slices.Index(f.Categories, v.text); i >= 0 {
			return float64(i), ""
		}
		return 0, "unknown"
	}
	switch v.kind {
	case 't':
		return 1, ""
	case 'f':
		return 0, ""
	case '"':
		switch {
		case !f.Parse:
			return 0, "wrong"
		case v.text == "" || v.text == "nan" || v.text == "NaN":
			return 0, "absent"
		case !isNumber(v.text):
			return 0, "wrong"
		}
	}
	x, err := strconv.ParseFloat(v.text, 64)
	if err != nil {
		return 0, "wrong"
	}
	return x, ""
}

func isNumber(s string) bool {
	v := jsontext.Value(s)
	return v.IsValid() && v.Kind() == '0' && strings.TrimSpace(s) == s
}

func oracleTime(v tree, unit TimeUnit) (int64, bool) {
	if unit == RFC3339 || unit == "" {
		t, err := time.Parse(time.RFC3339, v.text)
		if err != nil || v.kind != '"' {
			return 0, false
		}
		utc := t.UTC()
		return t.UnixMilli(), utc.Year() >= 0 && utc.Year() <= 9999
	}
	if v.kind != '0' && v.kind != '"' || !isNumber(v.text) {
		return 0, false
	}
	if mantissa, exponent, ok := strings.Cut(strings.ToLower(v.text), "e"); ok {
		e, err := strconv.Atoi(exponent)
		if err != nil || e < -9999 || e > 9999 { // big.Rat would try
			if strings.Trim(mantissa, "-0.") == "" {
				return 0, true
			}
			if strings.HasPrefix(exponent, "-") {
				return map[bool]int64{true: -1, false: 0}[strings.HasPrefix(mantissa, "-")], true
			}
			return 0, false
		}
	}
	r, ok := new(big.Rat).SetString(v.text)
	if !ok {
		return 0, false
	}
	switch unit {
	case Seconds:
		r.Mul(r, big.NewRat(1000, 1))
	case Microseconds:
		r.Mul(r, big.NewRat(1, 1000))
	}
	ms := new(big.Int).Div(r.Num(), r.Denom()) // rounds down: the denominator is positive
	if !ms.IsInt64() {
		return 0, false
	}
	year := time.UnixMilli(ms.Int64()).UTC().Year()
	return ms.Int64(), year >= 0 && year <= 9999 && ms.Int64() > -1e15 && ms.Int64() < 1e15
}
