package forest

import (
	"math"
	"math/big"
	"testing"
)

// The table must hold correctly rounded roots: 2^(i/32), 32 times itself, is 2^i.
func TestExpTableIsCorrectlyRounded(t *testing.T) {
	for i := range exp2Steps {
		got := math.Float64frombits(exp2Steps[i] + uint64(i)<<47)
		// The true root lies within half an ulp of got: so does got-half and got+half
		// bracket it when raised to the 32nd.
		half := new(big.Float).SetPrec(2000).SetMantExp(big.NewFloat(1), -53)
		want := new(big.Float).SetPrec(2000).SetMantExp(big.NewFloat(1), i)
		low := pow32(new(big.Float).SetPrec(2000).Sub(new(big.Float).SetPrec(2000).SetFloat64(got), half))
		high := pow32(new(big.Float).SetPrec(2000).Add(new(big.Float).SetPrec(2000).SetFloat64(got), half))
		if i > 0 && (low.Cmp(want) > 0 || high.Cmp(want) < 0) {
			t.Errorf("2^(%d/32) is not %v", i, got)
		}
	}
}

func pow32(x *big.Float) *big.Float {
	for range 5 {
		x = new(big.Float).SetPrec(2000).Mul(x, x)
	}
	return x
}

func TestExp32(t *testing.T) {
	for _, c := range []struct{ x, want float32 }{
		{0, 1}, {float32(math.Inf(1)), float32(math.Inf(1))}, {float32(math.Inf(-1)), 0}, {89, float32(math.Inf(1))}, {-104, 0},
	} {
		if got := exp32(c.x); got != c.want {
			t.Errorf("exp32(%v) = %v, want %v", c.x, got, c.want)
		}
	}
	if got := exp32(float32(math.NaN())); got == got {
		t.Errorf("exp32(NaN) = %v", got)
	}
	// Within an ulp everywhere, and mostly correctly rounded; denormal results too.
	off, n := 0, 0
	for x := float32(-104); x < 89; x += 0.00137 {
		got, want := exp32(x), float32(math.Exp(float64(x)))
		n++
		if got == want {
			continue
		}
		off++
		if d := int64(math.Float32bits(got)) - int64(math.Float32bits(want)); d < -1 || d > 1 {
			t.Fatalf("exp32(%v) = %v, math.Exp gives %v", x, got, want)
		}
	}
	if off == 0 || off*200 > n {
		t.Errorf("%d of %d differ from the correctly rounded: glibc's expf does in about one of a thousand", off, n)
	}
}
