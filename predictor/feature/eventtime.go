package feature

import (
	"math"
	"math/bits"
	"time"
)

// The years 0 to 9999 in Unix milliseconds, the last one past the end.
const (
	firstMilli = -62_167_219_200_000
	endMilli   = 253_402_300_800_000
)

func (r *reader) takeTime(text []byte, quoted bool) {
	r.timeFault = ""
	if r.plan.unit == RFC3339 {
		if quoted {
			r.millis, r.hasTime = rfc3339(text)
		} else {
			r.hasTime = false
		}
		if !r.hasTime {
			r.timeFault = "not an RFC 3339 time in the years 0 to 9999, such as 2026-11-24T10:00:00.123Z; is event_time.unit right?"
		}
		return
	}
	r.millis, r.hasTime = unixMillis(text, r.plan.unit)
	if !r.hasTime {
		r.timeFault = "not a number for a time in the years 0 to 9999; is event_time.unit right?"
	}
}

// rfc3339 reads the usual forms itself, without allocating; package time decides on
// all others. It rounds down to the millisecond.
func rfc3339(b []byte) (int64, bool) {
	ms, ok := usualTime(b)
	if !ok {
		t, err := time.Parse(time.RFC3339, string(b))
		if err != nil {
			return 0, false
		}
		ms = t.UnixMilli()
	}
	return ms, firstMilli <= ms && ms < endMilli
}

// usualTime reads 2006-01-02T15:04:05, a fraction of one to nine digits or none,
// and Z or +15:04; false for whatever else.
func usualTime(b []byte) (int64, bool) {
	if len(b) < len("2006-01-02T15:04:05Z") || b[4] != '-' || b[7] != '-' || b[10] != 'T' || b[13] != ':' || b[16] != ':' {
		return 0, false
	}
	year := two(b[0], b[1])*100 + two(b[2], b[3])
	month, day := two(b[5], b[6]), two(b[8], b[9])
	hour, minute, second := two(b[11], b[12]), two(b[14], b[15]), two(b[17], b[18])
	if year < 0 || month < 1 || month > 12 || day < 1 || hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59 {
		return 0, false
	}
	if day > 28 && day > daysIn(year, month) {
		return 0, false
	}
	b = b[19:]
	fraction := 0
	if b[0] == '.' {
		n := 1
		for scale := 100; n < len(b) && b[n]-'0' <= 9; n++ {
			fraction += int(b[n]-'0') * scale
			scale /= 10
		}
		if n == 1 || n > 10 || n == len(b) {
			return 0, false
		}
		b = b[n:]
	}
	offset := 0
	if b[0] != 'Z' || len(b) > 1 {
		if len(b) != len("+15:04") || b[0] != '+' && b[0] != '-' || b[3] != ':' {
			return 0, false
		}
		h, m := two(b[1], b[2]), two(b[4], b[5])
		if h < 0 || h > 23 || m < 0 || m > 59 {
			return 0, false
		}
		offset = h*60 + m
		if b[0] == '-' {
			offset = -offset
		}
	}
	seconds := daysFromEpoch(year, month, day)*86400 + hour*3600 + (minute-offset)*60 + second
	return int64(seconds)*1000 + int64(fraction), true
}

// two reads two digits; below zero when they are none.
func two(a, b byte) int {
	if a-'0' > 9 || b-'0' > 9 {
		return math.MinInt16
	}
	return int(a-'0')*10 + int(b-'0')
}

func daysIn(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// daysFromEpoch counts days since 1970 in the Gregorian calendar. Years are counted
// from March, so that the leap day is a year's last and 153 days are five months.
func daysFromEpoch(year, month, day int) int {
	if month < 3 {
		year, month = year-1, month+12
	}
	year += 400 // an era earlier, so that year 0's January does not divide below zero
	return 365*year + year/4 - year/100 + year/400 + (153*(month-3)+2)/5 + day - 1 - 719468 - 146097
}

// unixMillis reads a number of seconds, milli- or microseconds since 1970, exactly,
// and rounds down to the millisecond.
func unixMillis(text []byte, unit TimeUnit) (int64, bool) {
	r := reader{data: text}
	d, next := r.decimal(0)
	if next != len(text) {
		return 0, false
	}
	d, more := d.shorten(text)
	switch unit {
	case Seconds:
		d.exp10 += 3
	case Microseconds:
		d.exp10 -= 3
	}
	m := d.mantissa
	switch {
	case m == 0:
	case d.exp10 > 15:
		return 0, false
	case d.exp10 > 0:
		high, low := bits.Mul64(m, uint64(exactPowers[d.exp10]))
		if high > 0 {
			return 0, false
		}
		m = low
	case d.exp10 < -19:
		m, more = 0, true
	case d.exp10 < 0:
		power := uint64(exactPowers[-d.exp10])
		more = more || m%power != 0
		m /= power
	}
	if m > endMilli {
		return 0, false
	}
	ms := int64(m)
	if d.negative {
		ms = -ms
		if more {
			ms--
		}
	}
	return ms, firstMilli <= ms && ms < endMilli
}

// shorten keeps a number's first nineteen digits that count and says whether a
// digit other than zero was dropped.
func (d decimal) shorten(text []byte) (short decimal, more bool) {
	if d.digits <= 19 {
		return d, false
	}
	d.mantissa = 0
	for _, c := range text {
		switch {
		case c|0x20 == 'e':
			return d, more
		case c-'0' > 9:
		case d.mantissa < 1e18:
			d.mantissa = d.mantissa*10 + uint64(c-'0')
		default:
			d.exp10++
			more = more || c != '0'
		}
	}
	return d, more
}
