package feature

import (
	"bytes"
	"encoding/binary"
)

// A logLine is one line of an access log, taken apart. What is absent is nil.
type logLine struct {
	reader
	escaped bool // a backslash is somewhere in it

	texts [firstDerived][]byte // unescaped
	clock int                  // hour of the day in the line's zone
	day   int                  // since 1970 in the line's zone
}

// read takes the line apart, or notes a fault.
func (l *logLine) read() {
	if len(l.data) > maxLine {
		l.refuse(maxLine, "the line is longer than 64 KiB")
		return
	}
	l.data = bytes.TrimSuffix(bytes.TrimSuffix(l.data, []byte("\n")), []byte("\r"))
	if !l.printable() {
		return
	}
	l.escaped = bytes.IndexByte(l.data, '\\') >= 0
	p := l.who()
	if p >= 0 {
		p = l.when(p)
	}
	if p >= 0 {
		p = l.what(p)
	}
	if p >= 0 && p < len(l.data) {
		l.browser(p)
	}
}

// printable looks for control characters, eight bytes at a time.
func (l *logLine) printable() bool {
	d := l.data
	for len(d) >= 8 {
		x := binary.LittleEndian.Uint64(d)
		if (x-ones*' ')&^x&highs != 0 {
			break
		}
		d = d[8:]
	}
	for i, c := range d {
		if c < ' ' {
			l.refuse(len(l.data)-len(d)+i, "a control character; servers write it as an escape")
			return false
		}
	}
	return true
}

// set keeps a field's text, unescaped; a dash is none.
func (l *logLine) set(f logField, raw []byte) {
	if len(raw) == 1 && raw[0] == '-' {
		return
	}
	if l.escaped && bytes.IndexByte(raw, '\\') >= 0 {
		// Never given back before Reset: the entity may lie in it.
		start := len(l.scratch.buf)
		l.scratch.buf = unescapeLog(l.scratch.buf, raw)
		raw = l.scratch.buf[start:len(l.scratch.buf):len(l.scratch.buf)]
	}
	l.texts[f] = raw
}

// refuse notes the fault that ends the reading and returns a position below zero.
func (l *logLine) refuse(p int, what string) int {
	l.fault, l.faultAt = what, min(p, len(l.data))
	return -1
}

const tooFewWords = "too few fields before the time: host, ident and user are expected"

// who reads what stands before the time's bracket and returns the place behind it.
func (l *logLine) who() int {
	var words [3][]byte
	p := 0
	for i := range words {
		n := bytes.IndexByte(l.data[p:], ' ')
		switch {
		case n < 0:
			return l.refuse(p, tooFewWords)
		case n == 0:
			return l.refuse(p, "an empty field before the time")
		case i > 0 && l.data[p] == '[':
			return l.refuse(p, tooFewWords)
		}
		words[i] = l.data[p : p+n]
		p += n + 1
	}
	user := p - 1 - len(words[2])
	end := bytes.Index(l.data[p-1:], []byte(" ["))
	if end < 0 {
		return l.refuse(p, "no time: [ expected behind the user")
	}
	end += p - 1
	host := 0
	if end >= p && string(words[1]) != "-" {
		l.set(vhost, words[0])
		host, user = 1, p
		if user == end {
			return l.refuse(p, "an empty field before the time")
		}
	}
	l.set(remoteHost, words[host])
	l.set(ident, words[host+1])
	l.set(remoteUser, l.data[user:end])
	return end + 2
}

// when reads the time from behind its bracket.
func (l *logLine) when(p int) int {
	const form = "02/Jan/2006:15:04:05 -0700"
	if len(l.data)-p < len(form)+1 {
		return l.refuse(p, notLogTime)
	}
	b := l.data[p : p+len(form)]
	if b[2] != '/' || b[6] != '/' || b[11] != ':' || b[14] != ':' || b[17] != ':' || b[20] != ' ' || b[21] != '+' && b[21] != '-' || l.data[p+len(form)] != ']' {
		return l.refuse(p, notLogTime)
	}
	day, month, year := two(b[0], b[1]), monthOf(b[3:6]), two(b[7], b[8])*100+two(b[9], b[10])
	hour, minute, second := two(b[12], b[13]), two(b[15], b[16]), two(b[18], b[19])
	zoneHour, zoneMinute := two(b[22], b[23]), two(b[24], b[25])
	if year < 0 || month == 0 || day < 1 || day > daysIn(year, month) || hour < 0 || hour > 23 || minute < 0 || minute > 59 ||
		second < 0 || second > 59 || zoneHour < 0 || zoneHour > 23 || zoneMinute < 0 || zoneMinute > 59 {
		return l.refuse(p, notLogTime)
	}
	zone := zoneHour*60 + zoneMinute
	if b[21] == '-' {
		zone = -zone
	}
	l.clock, l.day = hour, daysFromEpoch(year, month, day)
	l.millis = 1000 * int64(l.day*86400+hour*3600+(minute-zone)*60+second)
	l.hasTime = firstMilli <= l.millis && l.millis < endMilli
	if !l.hasTime {
		return l.refuse(p, notLogTime)
	}
	return p + len(form) + 1
}

const notLogTime = "not a time in the years 0 to 9999, such as [10/Oct/2000:13:55:36 -0700]"

// monthOf returns the number of an English month, 0 for none.
func monthOf(b []byte) int {
	const months = "JanFebMarAprMayJunJulAugSepOctNovDec"
	for i := 0; i < len(months); i += 3 {
		if string(b) == months[i:i+3] {
			return i/3 + 1
		}
	}
	return 0
}

// what reads request, status and size from behind the time.
func (l *logLine) what(p int) int {
	text, p := l.quoted(p, "the request")
	if p < 0 {
		return p
	}
	l.request(text)
	if p = l.count(p, status, 3, 3); p < 0 {
		return p
	}
	return l.count(p, bytesSent, 1, 18)
}

// browser reads referrer, user agent and whatever follows them.
func (l *logLine) browser(p int) {
	for _, f := range []logField{referrer, userAgent} {
		text, next := l.quoted(p, logFieldNames[f])
		if next < 0 {
			return
		}
		l.set(f, text)
		p = next
	}
	for p >= 0 && p < len(l.data) {
		if l.data[p] == ' ' && l.at(p+1) == '"' {
			_, p = l.quoted(p, "a field behind the user agent")
			continue
		}
		n := bytes.IndexByte(l.data[p+1:], ' ')
		if n < 0 {
			n = len(l.data) - p - 1
		}
		if word := l.data[p+1 : p+1+n]; l.data[p] != ' ' || n == 0 || bytes.IndexByte(word, '"') >= 0 {
			l.refuse(p, "a space and a field expected behind the user agent; is a quote not escaped?")
			return
		}
		p += 1 + n
	}
}

// quoted reads a space and a text in quotes, which it returns as written.
func (l *logLine) quoted(p int, what string) (text []byte, next int) {
	if l.at(p) != ' ' || l.at(p+1) != '"' {
		return nil, l.refuse(p, "a space and "+what+" in quotes expected")
	}
	start := p + 2
	for p = start; ; p++ {
		n := bytes.IndexByte(l.data[p:], '"')
		if n < 0 {
			return nil, l.refuse(start-1, "the quote that opens "+what+" is not closed")
		}
		p += n
		backslashes := p
		for l.escaped && backslashes > start && l.data[backslashes-1] == '\\' {
			backslashes--
		}
		if (p-backslashes)%2 == 0 {
			return l.data[start:p], p + 1
		}
	}
}

// count reads a space and a dash or some digits.
func (l *logLine) count(p int, f logField, least, most int) int {
	start := p + 1
	if l.at(p) != ' ' {
		return l.refuse(p, "a space and "+logFieldNames[f]+" expected")
	}
	p = start
	for l.at(p)-'0' <= 9 {
		p++
	}
	if p == start && l.at(p) == '-' {
		p++
	} else if p-start < least || p-start > most {
		return l.refuse(start, logFieldNames[f]+" expected: digits or a dash")
	}
	if p < len(l.data) && l.data[p] != ' ' {
		return l.refuse(p, "a space expected behind "+logFieldNames[f])
	}
	l.set(f, l.data[start:p])
	return p
}

// unescapeLog appends what a text with backslashes says.
func unescapeLog(dst, raw []byte) []byte {
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c != '\\' || i+1 == len(raw) {
			dst = append(dst, c)
			continue
		}
		i++
		switch c := raw[i]; c {
		case '"', '\\':
			dst = append(dst, c)
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
		case 'v':
			dst = append(dst, '\v')
		case 'x':
			if i+2 < len(raw) {
				if u, ok := hex4('0' | '0'<<8 | uint64(raw[i+1])<<16 | uint64(raw[i+2])<<24); ok {
					dst = append(dst, byte(u))
					i += 2
					continue
				}
			}
			dst = append(dst, '\\', c)
		default:
			dst = append(dst, '\\', c)
		}
	}
	return dst
}
