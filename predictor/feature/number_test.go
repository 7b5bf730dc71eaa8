package feature

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
)

// TestNumbers holds every way a number is converted against strconv.
func TestNumbers(t *testing.T) {
	j, err := NewJSON([]Feature{{Name: "f", Path: "f"}}, JSONConfig{})
	if err != nil {
		t.Fatal(err)
	}
	s, row := NewScratch(1), make([]float64, 1)
	check := func(text string) {
		t.Helper()
		want, rangeErr := strconv.ParseFloat(text, 64)
		for _, event := range []string{`{"f":` + text + `}`, `{"f":` + text + ` ,"then":"enough to be far from the end"}`} {
			_, err := j.Extract([]byte(event), row, s)
			if (err != nil) != (rangeErr != nil) {
				t.Fatalf("%s: %v, strconv says %v", text, err, rangeErr)
			}
			if err == nil && math.Float64bits(row[0]) != math.Float64bits(want) {
				t.Fatalf("%s: %b, want %b", text, row[0], want)
			}
		}
	}
	for _, text := range []string{"0", "-0.0", "9007199254740993", "9007199254740992.5", "18446744073709551615", "9999999999999999999", "0.000001",
		"1e22", "1e23", "-1e-22", "9007199254740993e-27", "9007199254740993e27", "1e27", "1e-27", "1e28", "1e-28", "5e-324", "2e-324", "1.7976931348623158e308",
		"1.7976931348623159e308", "0e999999999999", "0.000000000000000000000000000000", "12345678", "1234567.1234567", "12345678.12345678", "0.00000000", "1e-2147483649"} {
		check(text)
	}
	r := rand.New(rand.NewPCG(5, 6))
	for range 50000 {
		switch r.IntN(6) {
		case 0: // as libraries print floats
			check(strconv.FormatFloat(math.Ldexp(r.NormFloat64(), r.IntN(80)-40), 'g', -1, 64))
		case 1: // any float there is
			if f := math.Float64frombits(r.Uint64()); f-f == 0 {
				check(strconv.FormatFloat(f, 'e', r.IntN(25), 64))
			}
		case 2: // halfway between two
			f := float64(1<<53 + r.Uint64N(1<<53))
			check(fmt.Sprintf("%d.5", uint64(f)))
			check(strconv.FormatUint(uint64(f)+1, 10))
		case 3: // any digits
			check(fmt.Sprintf("%d.%0*d", r.Uint64()>>r.IntN(64), 1+r.IntN(20), r.Uint64()>>r.IntN(64)))
		case 4:
			check(fmt.Sprintf("-%de%d", r.Uint64()>>r.IntN(64), r.IntN(70)-35))
		case 5:
			check(fmt.Sprintf("%.*f", r.IntN(20), r.NormFloat64()*100))
		}
	}
}

// TestLongNumbers is for the roundings that the integer conversions decide by their
// last bit: about one number in four thousand.
func TestLongNumbers(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	for range 100000 {
		d := decimal{mantissa: 1e16 + r.Uint64N(9e18), exp10: r.IntN(55) - 27, digits: 19}
		want, err := strconv.ParseFloat(fmt.Sprintf("%de%d", d.mantissa, d.exp10), 64)
		got, ok := d.float(nil)
		if err != nil || !ok || got != want {
			t.Fatalf("%+v: %b, want %b", d, got, want)
		}
	}
}
