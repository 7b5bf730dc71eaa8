package feature

import (
	"bytes"
	"math/rand/v2"
	"strconv"
	"testing"
)

// TestRandomEvents holds the extractor against the oracle on events made of the keys
// the plans look for, with repeats, in any order, and then on broken ones.
func TestRandomEvents(t *testing.T) {
	n := 5000
	if testing.Short() {
		n = 1000
	}
	r := rand.New(rand.NewPCG(3, 4))
	var before, event []byte
	accepted := 0
	for range n {
		before, event = event, randomObject(r, nil, 0)
		if r.IntN(3) == 0 {
			event = broken(r, event)
		}
		plan := fuzzPlans[r.IntN(len(fuzzPlans))]
		check(t, before, event, plan.features, plan.config)
		if oracle(event, plan.features, plan.config).err == nil {
			accepted++
		}
	}
	if accepted < n/10 || accepted > n*9/10 {
		t.Errorf("%d of %d events accepted: too one-sided to show anything", accepted, n)
	}
}

var randomKeys = []string{"n", "m", "s", "c", "o", "l", "p", "q", "r", "id", "t", "a.b", `q\"\\`, "ö", "", "eightkey",
	"sixteen_byte_key", "a_key_of_which_the_first_1_of_equal_bytes", "a_key_of_which_the_first_2_of_equal_bytes", `\u006e`, `eight\u006bey`, "x", "unwanted", "日本語のキー"}

var randomScalars = []string{"0", "-0", "1", "2.50", "17", "1e3", "-1.5E+3", "123456789", "12345678.87654321", "0.1234567", "9007199254740993",
	"0.12345678901234567", "1e23", "8.5e-25", "1e999", "-1e-999", "123456789012345678901234567890", "1732442400", "1732442400.123", "253402300799.9999",
	"-62167219200.001", "true", "false", "null", `"x"`, `"DE"`, `"K\u00f6ln"`, `"Köln"`, `""`, `"a\"b"`, `"nan"`, `"NaN"`, `"3"`, `"-0.5"`, `" 1"`, `"1."`,
	`"2026-11-24T10:00:00Z"`, `"2026-02-29T10:00:00Z"`, `"2024-02-29T23:59:59.9999999999+23:59"`, `"9999-12-31T23:59:59-00:01"`, `"\ud83d\ude00 a text that goes on, longer"`}

func randomObject(r *rand.Rand, b []byte, depth int) []byte {
	b = append(b, '{')
	for i := range r.IntN(10) {
		if i > 0 {
			b = append(b, ',')
		}
		if r.IntN(20) == 0 {
			b = append(b, " \n\t\r"[:1+r.IntN(4)]...)
		}
		b = append(b, '"')
		b = append(b, randomKeys[r.IntN(len(randomKeys))]...)
		b = append(b, `": `[:2+r.IntN(2)]...)
		b = randomValue(r, b, depth)
	}
	return append(b, '}')
}

func randomValue(r *rand.Rand, b []byte, depth int) []byte {
	switch k := r.IntN(16); {
	case depth < 3 && k < 2:
		return randomObject(r, b, depth+1)
	case depth < 3 && k < 4:
		b = append(b, '[')
		for i := range r.IntN(4) {
			if i > 0 {
				b = append(b, ',')
			}
			b = randomValue(r, b, depth+1)
		}
		return append(b, ']')
	case k < 8:
		return strconv.AppendFloat(b, r.NormFloat64()*1000, 'f', r.IntN(10), 64)
	}
	return append(b, randomScalars[r.IntN(len(randomScalars))]...)
}

// broken changes, drops or doubles a byte, or cuts the event.
func broken(r *rand.Rand, event []byte) []byte {
	event = bytes.Clone(event)
	i := r.IntN(len(event))
	switch r.IntN(4) {
	case 0:
		event[i] = `{}[]":,\ 0e.-tfn`[r.IntN(16)]
	case 1:
		event[i] = byte(r.Uint32())
	case 2:
		return event[:i]
	default:
		return append(event[:i], event[min(i+1, len(event)):]...)
	}
	return event
}
