package feature

import (
	"encoding/binary"
	"math"
	"math/bits"
	"strconv"
	"unsafe"
)

// A decimal is a JSON number as it is written: mantissa * 10^exp10, when it has at
// most nineteen digits; the mantissa of a longer one is meaningless.
type decimal struct {
	mantissa uint64
	exp10    int
	digits   int
	negative bool
}

// decimal reads the number at p and returns where it ends. What follows it is the
// caller's to check.
func (r *reader) decimal(p int) (decimal, int) {
	var d decimal
	if r.at(p) == '-' {
		d.negative = true
		p++
	}
	start := p
	d.mantissa, p = r.digits(0, p)
	if p == start || p > start+1 && r.data[start] == '0' {
		return d, r.fail(start, "a value expected")
	}
	d.digits = p - start
	c := r.at(p)
	if c == '.' {
		start = p + 1
		d.mantissa, p = r.digits(d.mantissa, start)
		if p == start {
			return d, r.fail(p, "digits expected after the decimal point")
		}
		d.digits += p - start
		d.exp10 = start - p
		c = r.at(p)
	}
	if c|0x20 == 'e' {
		return r.exponent(d, p+1)
	}
	return d, p
}

// exponent reads what follows the e of a number.
func (r *reader) exponent(d decimal, p int) (decimal, int) {
	sign := r.at(p)
	if sign == '-' || sign == '+' {
		p++
	}
	e := 0
	start := p
	for ; r.at(p)-'0' <= 9; p++ {
		e = min(e*10+int(r.data[p]-'0'), 1<<30) // far out of range either way
	}
	if p == start {
		return d, r.fail(p, "digits expected in the exponent")
	}
	if sign == '-' {
		e = -e
	}
	d.exp10 += e
	return d, p
}

// digits appends the digits at p to m, eight at a time: no branch depends on how
// many there are at the end, which in a stream of measurements nobody can predict.
func (r *reader) digits(m uint64, p int) (uint64, int) {
	for {
		x := r.word(p)
		n := digitBits(x)
		if n == 64 {
			m = m*1e8 + eightDigits(x)
			p += 8
			continue
		}
		return m*powersOf10[n>>3&7] + eightDigits(x<<(64-n)), p + int(n>>3)
	}
}

// short reads a number with at most seven digits before the point and no exponent,
// as most are, for a column. It returns a position below zero for any other, for
// what is no number, close to the end of the event, and without a column: then
// decimal decides.
func (r *reader) short(p, column int) (float64, int) {
	if column < 0 || p+24 > len(r.data) {
		return 0, -1
	}
	start := p
	if r.data[p] == '-' {
		p++
	}
	x := binary.LittleEndian.Uint64(r.data[p:])
	next := binary.LittleEndian.Uint64(r.data[p+8:])
	n := digitBits(x)
	if n == 0 || n == 64 || n > 8 && byte(x) == '0' {
		return 0, -1
	}
	whole := eightDigits(x << ((64 - n) & 63))
	f := float64(int64(whole))
	p += int(n >> 3)
	after := byte(x >> (n & 63))
	if after == '.' {
		p++
		x = x>>(n&63)>>8 | next<<((56-n)&63) // the eight bytes behind the point
		n = digitBits(x)
		if n == 0 {
			return 0, -1
		}
		if n == 64 {
			return r.longFraction(start, p, whole)
		}
		power := exactPowers[n>>3]
		f = (f*power + float64(int64(eightDigits(x<<((64-n)&63))))) / power // exact but for the division
		p += int(n >> 3)
		after = byte(x >> (n & 63))
	}
	if after|0x20 == 'e' {
		return 0, -1
	}
	if r.data[start] == '-' {
		f = -f
	}
	return f, p
}

// longFraction is short's answer for the number at start when eight digits or more
// follow the point, which is just before p.
func (r *reader) longFraction(start, p int, whole uint64) (float64, int) {
	m, end := r.digits(whole, p)
	if r.at(end)|0x20 == 'e' {
		return 0, -1
	}
	d := decimal{mantissa: m, exp10: p - end, digits: end - start - 1, negative: r.data[start] == '-'}
	if d.negative {
		d.digits--
	}
	f, _ := d.float(r.data[start:end]) // without an exponent never infinite
	return f, end
}

// digitBits returns eight times the number of digits x begins with.
func digitBits(x uint64) uint {
	x ^= ones * '0' // digits become 0 to 9
	return uint(bits.TrailingZeros64((x+ones*(0x80-10)|x)&highs)) &^ 7
}

// eightDigits reads eight digits or zero bytes, the first in the lowest byte, by
// adding up neighbours: bytes to pairs, pairs to fours, fours to the number.
func eightDigits(x uint64) uint64 {
	x &= ones * 0x0f
	x = x*10 + x>>8
	const pairs = 0x000000ff000000ff
	return (x&pairs*(100+1000000<<32) + x>>16&pairs*(1+10000<<32)) >> 32
}

var powersOf10 = [...]uint64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7}

// exactPowers are the powers of ten a float64 holds exactly.
var exactPowers = [...]float64{
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
}

// powersOf5 are those that fit 64 bits.
var powersOf5 = func() (p [28]uint64) {
	p[0] = 1
	for i := 1; i < len(p); i++ {
		p[i] = p[i-1] * 5
	}
	return p
}()

// float returns the float64 nearest to d, which was written as text, ties to even;
// false when that is infinite.
func (d decimal) float(text []byte) (float64, bool) {
	var f float64
	switch {
	case d.digits > 19:
		return parseFloat(text)
	case d.mantissa < 1<<53 && -22 <= d.exp10 && d.exp10 <= 0:
		f = float64(d.mantissa) / exactPowers[-d.exp10]
	case d.mantissa < 1<<53 && 0 < d.exp10 && d.exp10 <= 22:
		f = float64(d.mantissa) * exactPowers[d.exp10]
	case -27 <= d.exp10 && d.exp10 < 0:
		f = quotient(d.mantissa, -d.exp10)
	case 0 <= d.exp10 && d.exp10 <= 27:
		f = product(d.mantissa, d.exp10)
	default:
		return parseFloat(text)
	}
	if d.negative {
		f = -f
	}
	return f, true
}

// quotient is m / 10^k rounded once, for m >= 2^53: the integer quotient of m and
// 5^k, both shifted to the top of a word, has at least 63 bits; the remainder only
// says whether there was more, which the lowest bit, far below the 53 that stay, can carry.
func quotient(m uint64, k int) float64 {
	five := powersOf5[k]
	shiftM, shift5 := bits.LeadingZeros64(m), bits.LeadingZeros64(five)
	m <<= shiftM
	q, rest := bits.Div64(m>>1, m<<63, five<<shift5)
	if rest != 0 {
		q |= 1
	}
	return float64(q) * powerOf2(shift5-shiftM-k-63)
}

// product is m * 10^k rounded once.
func product(m uint64, k int) float64 {
	high, low := bits.Mul64(m, powersOf5[k])
	shift := bits.LeadingZeros64(high)
	q := high<<shift | low>>(64-shift)
	if low<<shift != 0 {
		q |= 1
	}
	return float64(q) * powerOf2(64-shift+k)
}

// powerOf2 is 2^e for the exponents of normal numbers.
func powerOf2(e int) float64 { return math.Float64frombits(uint64(e+1023) << 52) }

func parseFloat(text []byte) (float64, bool) {
	f, err := strconv.ParseFloat(unsafe.String(unsafe.SliceData(text), len(text)), 64) // text outlives the call, which copies what it keeps
	return f, err == nil
}
