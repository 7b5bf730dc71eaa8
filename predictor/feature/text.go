package feature

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// special sets the high bit of every byte of x that ends or complicates a string:
// a quote, a backslash, a control character or anything beyond ASCII. Bits above
// the lowest one set may be wrong: a borrow runs upwards.
func special(x uint64) uint64 {
	quote := x ^ ones*'"'
	slash := x ^ ones*'\\'
	return ((quote-ones)&^quote | (slash-ones)&^slash | (x-ones*' ')&^x | x) & highs
}

// word returns the eight bytes at p, little-endian, with zeros past the end. A zero
// is never valid where one is looked at, so the end needs no check of its own.
func (r *reader) word(p int) uint64 {
	if p+8 <= len(r.data) {
		return binary.LittleEndian.Uint64(r.data[p:])
	}
	return r.lastWord(p)
}

//go:noinline
func (r *reader) lastWord(p int) uint64 {
	if n := len(r.data); n >= 8 && p < n {
		return binary.LittleEndian.Uint64(r.data[n-8:]) >> (8 * (p + 8 - n))
	}
	var b [8]byte
	copy(b[:], r.data[min(p, len(r.data)):])
	return binary.LittleEndian.Uint64(b[:])
}

// text reads a string from behind its opening quote to behind its closing one, and
// says whether there is anything to unescape.
func (r *reader) text(p int) (next int, escaped bool) {
	for p >= 0 {
		x := r.word(p)
		m := special(x)
		if m == 0 {
			p += 8
			continue
		}
		skip := bits.TrailingZeros64(m) &^ 7
		p += skip >> 3
		switch c := byte(x >> (skip & 63)); {
		case c == '"':
			return p + 1, escaped
		case c == '\\':
			escaped = true
			p = r.escape(p)
		case c >= utf8.RuneSelf:
			p = r.multibyte(p)
		default:
			return r.fail(p, "a control character in a string"), false
		}
	}
	return p, false
}

// multibyte passes over the characters beyond ASCII that begin at p. The masks
// test a whole sequence at once: its first byte is the lowest.
func (r *reader) multibyte(p int) int {
	for {
		w := uint32(r.word(p))
		switch {
		case w&0x80 == 0:
			return p
		case w&0xc0e0 == 0x80c0 && w&0x1e != 0:
			p += 2
		case w&0xc0c0f0 == 0x8080e0 && w&0x200f != 0 && w&0x200f != 0x200d: // neither overlong nor a surrogate
			p += 3
		case w&0xc0c0c0f8 == 0x808080f0 && w&0x3007 != 0 && (w&4 == 0 || w&0x3003 == 0): // nor past U+10FFFF
			p += 4
		default:
			return r.fail(p, "invalid UTF-8")
		}
	}
}

// escape passes over the escape whose backslash is at p. A surrogate counts only
// in a pair.
func (r *reader) escape(p int) int {
	switch r.at(p + 1) {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return p + 2
	case 'u':
		u, ok := hex4(r.word(p + 2))
		if ok && utf16.IsSurrogate(u) {
			low, paired := hex4(r.word(p + 8))
			ok = paired && r.at(p+6) == '\\' && r.at(p+7) == 'u' && utf16.DecodeRune(u, low) != utf8.RuneError
			p += 6
		}
		if ok {
			return p + 6
		}
	}
	return r.fail(p, "an escape that is none")
}

// hex4 reads the four lowest bytes of x as hexadecimal digits.
func hex4(x uint64) (rune, bool) {
	var u rune
	for range 4 {
		c := byte(x)
		x >>= 8
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		u = u<<4 | rune(c)
	}
	return u, true
}

// unescape appends the meaning of a string that text has accepted.
func unescape(dst, raw []byte) []byte {
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			dst = append(dst, raw[i])
			continue
		}
		i++
		switch c := raw[i]; c {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			u, _ := hex4(uint64(binary.LittleEndian.Uint32(raw[i+1:])))
			i += 4
			if utf16.IsSurrogate(u) {
				low, _ := hex4(uint64(binary.LittleEndian.Uint32(raw[i+3:])))
				u = utf16.DecodeRune(u, low)
				i += 6
			}
			dst = utf8.AppendRune(dst, u)
		default:
			dst = append(dst, c)
		}
	}
	return dst
}
