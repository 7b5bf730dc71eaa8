package stream

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// appendFraction appends, for f from 1e-6 to below 1, what
// strconv.AppendFloat(b, f, 'f', -1, 64) does for every float: the shortest decimal
// that reads back as exactly f, and of the shortest the nearest to f, of two as near
// the even one. Probabilities are in that range, where it takes no tables and no
// search: everything fits 128 bits exactly.
//
// With f = m / 2^s, 17 digits tell any two floats apart, and f in units of the 17th,
// of 10^-k, is 2m*5^k / 2^t. What reads back as f lies within 5^k / 2^t of it, which is
// half the way to its neighbours; as the ends are odd numbers over 2^t, none is an
// integer. (Below a power of two the neighbour is nearer. Those of the range are short
// decimals themselves, and found as that.)
func appendFraction(b []byte, f float64) []byte {
	k := 17
	for f < decades[k-17] {
		k++
	}
	u := math.Float64bits(f)
	m, t := u&(1<<52-1)|1<<52, 1076-uint(u>>52)-uint(k)
	five := fives[k-17]

	high, low := bits.Mul64(2*m, five)
	upLow, carry := bits.Add64(low, five, 0)
	downLow, borrow := bits.Sub64(low, five, 0)
	units := high<<(64-t) | low>>t
	rest, half := low&(1<<t-1), uint64(1)<<(t-1)
	most := (high+carry)<<(64-t) | upLow>>t
	least := (high-borrow)<<(64-t) | downLow>>t + 1

	d := most / 100 * 100 // at most one is within reach, and then no other decimal is shorter
	if d < least {
		d = units / 10 * 10
		if digit := units - d; digit > 5 || digit == 5 && (rest > 0 || d/10%2 == 1) {
			d += 10
		}
		if d < least || d > most {
			d = units
			if rest > half || rest == half && d%2 == 1 {
				d++
			}
		}
	}
	return appendDigits(append(b, "0.00000"[:k-15]...), d)
}

// decades are the ends of those ranges in which the first digit is one place further down.
var decades = [...]float64{1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 0}

// fives are 5^17 to 5^22.
var fives = [...]uint64{762939453125, 3814697265625, 19073486328125, 95367431640625, 476837158203125, 2384185791015625}

// appendDigits appends 17 digits without the zeros at their end.
func appendDigits(b []byte, d uint64) []byte {
	top := d / 1e8
	first := top / 1e8
	middle, last := eightDigits(top-first*1e8), eightDigits(d-top*1e8)
	b = append(b, byte('0'+first))
	b = binary.LittleEndian.AppendUint64(b, middle|asciiZeros)
	b = binary.LittleEndian.AppendUint64(b, last|asciiZeros)
	zeros := bits.LeadingZeros64(last) / 8
	if last == 0 {
		zeros += bits.LeadingZeros64(middle) / 8
	}
	return b[:len(b)-zeros]
}

// appendOffset appends an integer of at least 0.
func appendOffset(b []byte, v int64) []byte {
	if v >= 1e8 {
		b = appendOffset(b, v/1e8)
		return binary.LittleEndian.AppendUint64(b, eightDigits(uint64(v%1e8))|asciiZeros)
	}
	digits := eightDigits(uint64(v))
	skip := min(bits.TrailingZeros64(digits)/8, 7)
	b = binary.LittleEndian.AppendUint64(b, (digits|asciiZeros)>>(8*skip))
	return b[:len(b)-skip]
}

const asciiZeros = 0x3030303030303030

// eightDigits returns the eight digits of v, a byte each, the first in the lowest. They
// are made side by side: four lanes of two digits, then eight of one.
func eightDigits(v uint64) uint64 {
	fours := v/1e4 | v%1e4<<32
	pairs := fours * 10486 >> 20 & 0x7f0000007f // by 100
	pairs |= (fours - 100*pairs) << 16
	digits := pairs * 103 >> 10 & 0x000f000f000f000f // by 10
	return digits | (pairs-10*digits)<<8
}
