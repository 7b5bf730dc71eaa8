package forest

import (
	"math"
	"math/big"
)

// exp32 is the C library's expf, to the bit, because XGBoost calls it: correctly
// rounded but for about one value in a thousand, where it lies one ulp off and
// math.Exp, rounded to float32, does not. The method and its coefficients are those
// of Arm's optimized routines (math/expf.c, 2017), which glibc has used since 2.27:
// exp(x) = 2^(k/32) * 2^(r/32), r between -1/2 and 1/2, by a table and a cubic. Every
// product is fused with its sum, as glibc's build for processors that can.
func exp32(x float32) float32 {
	switch {
	case x != x:
		return x
	case x > 0x1.62e42ep6: // log(2^128)
		return float32(math.Inf(1))
	case x < -0x1.9fe368p6: // log(2^-150)
		return 0
	}
	const (
		steps    = 32
		stepsLn2 = 0x1.71547652b82fep+0 * steps // 32/log(2)
		round    = 0x1.8p+52                    // added and taken off again: rounds to an integer
		c0       = 0x1.c6af84b912394p-5 / steps / steps / steps
		c1       = 0x1.ebfce50fac4f3p-3 / steps / steps
		c2       = 0x1.62e42ff0c52d6p-1 / steps
	)
	k := math.FMA(stepsLn2, float64(x), round)
	bits := math.Float64bits(k)
	r := math.FMA(stepsLn2, float64(x), -(k - round))
	scale := math.Float64frombits(exp2Steps[bits%steps] + bits<<(52-5))
	y := math.FMA(math.FMA(c0, r, c1), r*r, math.FMA(c2, r, 1))
	return float32(y * scale)
}

// exp2Steps holds the bits of 2^(i/32), correctly rounded (math.Exp2 is not always),
// less what i itself adds to the exponent's bits when k is shifted onto them.
var exp2Steps = func() (t [32]uint64) {
	const prec = 128
	step := new(big.Float).SetPrec(prec).SetInt64(2)
	for range 5 {
		step.Sqrt(step)
	}
	root := new(big.Float).SetPrec(prec).SetInt64(1)
	for i := range t {
		f, _ := root.Float64()
		t[i] = math.Float64bits(f) - uint64(i)<<(52-5)
		root.Mul(root, step)
	}
	return t
}()
