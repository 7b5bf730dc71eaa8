package stream

import (
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
)

// FuzzAppendFraction: the text is strconv's.
func FuzzAppendFraction(f *testing.F) {
	for _, v := range []float64{1e-6, 1e-1, 0.5, 0.3, math.Nextafter(1, 0)} {
		f.Add(math.Float64bits(v))
	}
	f.Fuzz(func(t *testing.T, u uint64) { checkFraction(t, inRange(u)) })
}

// inRange makes of any bits those of a float from 1e-6 to below 1.
func inRange(u uint64) float64 {
	from, to := math.Float64bits(1e-6), math.Float64bits(1)
	return math.Float64frombits(from + u%(to-from))
}

func checkFraction(t *testing.T, v float64) {
	t.Helper()
	want := strconv.AppendFloat([]byte("x"), v, 'f', -1, 64)
	if got := appendFraction([]byte("x"), v); string(got) != string(want) {
		t.Fatalf("%b: %s, want %s", v, got, want)
	}
}

// TestAppendFraction tries what random bits rarely are: scores of a float32, fractions
// that end in a 5 (ties), and decimals with their neighbours.
func TestAppendFraction(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 1_000_000 {
		checkFraction(t, inRange(r.Uint64()))
		if v := float64(r.Float32()); v >= 1e-6 {
			checkFraction(t, v)
		}
		places := 1 + r.IntN(60)
		if v := math.Ldexp(float64(1+r.Uint64N(1<<min(places, 53)-1)), -places); v >= 1e-6 && v < 1 {
			checkFraction(t, v)
		}
		v, err := strconv.ParseFloat("0."+strconv.FormatUint(r.Uint64N(uint64(math.Pow10(1+r.IntN(18)))), 10), 64)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range []float64{math.Nextafter(v, 0), v, math.Nextafter(v, 1)} {
			if v >= 1e-6 && v < 1 {
				checkFraction(t, v)
			}
		}
	}
	for e := -6; e < 0; e++ {
		v := math.Pow10(e)
		for range 1000 {
			checkFraction(t, v)
			v = math.Nextafter(v, 1)
		}
	}
	for e := -19; e < 0; e++ {
		for _, v := range []float64{math.Ldexp(1, e), math.Nextafter(math.Ldexp(1, e), 1), math.Nextafter(math.Ldexp(1, e), 0)} {
			checkFraction(t, v)
		}
	}
	for v := range 3000 {
		if x := math.Nextafter(1e-6, 1) * float64(1+v); x < 1 {
			checkFraction(t, x)
		}
	}
}

func BenchmarkAppendFraction(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	var scores [1024]float64
	for i := range scores {
		scores[i] = float64(1e-6 + r.Float32()*0.999)
	}
	var text []byte
	for name, appendTo := range map[string]func(float64){
		"appendFraction": func(f float64) { text = appendFraction(text[:0], f) },
		"strconv":        func(f float64) { text = strconv.AppendFloat(text[:0], f, 'f', -1, 64) },
	} {
		b.Run(name, func(b *testing.B) {
			i := 0
			for b.Loop() {
				appendTo(scores[i%len(scores)])
				i++
			}
		})
	}
}

func TestAppendOffset(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	check := func(v int64) {
		if got, want := string(appendOffset([]byte("x"), v)), "x"+strconv.FormatInt(v, 10); got != want {
			t.Fatalf("%s, want %s", got, want)
		}
	}
	for v := range int64(100_000) {
		check(v)
	}
	for range 100_000 {
		check(r.Int64() >> r.IntN(63))
	}
	for v := int64(1); v < 1e18; v *= 10 {
		check(v - 1)
		check(v)
	}
	check(math.MaxInt64)
}
