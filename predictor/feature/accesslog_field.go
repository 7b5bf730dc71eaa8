package feature

import (
	"bytes"
	"strconv"
	"strings"
)

// A logField is a field of a line. First come the texts, then the numbers.
type logField int

const (
	vhost logField = iota
	remoteHost
	ident
	remoteUser
	method
	pathOfRequest
	query
	protocol
	referrer
	userAgent
	extension
	referrerHost
	status // numbers from here on
	bytesSent
	timeOfLine // derived from here on
	hourOfDay
	weekday
	pathLength
	pathDepth
	queryLength
	isHTTPSReferrer
	userAgentLength
	logFields

	firstNumber  = status
	firstDerived = timeOfLine
)

var logFieldNames = [logFields]string{
	vhost: "vhost", remoteHost: "remote_host", ident: "ident", remoteUser: "remote_user", method: "method",
	pathOfRequest: "path", query: "query", protocol: "protocol", referrer: "referrer", userAgent: "user_agent",
	extension: "extension", referrerHost: "referrer_host", status: "status", bytesSent: "bytes", timeOfLine: "time",
	hourOfDay: "hour", weekday: "weekday", pathLength: "path_length", pathDepth: "path_depth",
	queryLength: "query_length", isHTTPSReferrer: "is_https_referrer", userAgentLength: "user_agent_length",
}

// request splits method, target and protocol.
func (l *logLine) request(raw []byte) {
	l.set(method, raw) // unescaped there
	text := l.texts[method]
	l.texts[method] = nil
	end := bytes.IndexByte(text, ' ')
	if end < 1 || !isToken(text[:end]) {
		return
	}
	target := text[end+1:]
	if last := bytes.LastIndexByte(target, ' '); last >= 0 && bytes.HasPrefix(target[last+1:], []byte("HTTP/")) {
		l.texts[protocol] = target[last+1:]
		target = target[:last]
	}
	l.texts[method] = text[:end]
	path, after, found := bytes.Cut(target, []byte("?"))
	l.texts[pathOfRequest] = path
	if found {
		l.texts[query] = after
	}
}

// isToken says whether b is made of the characters of an HTTP method (RFC 9110, 5.6.2).
func isToken(b []byte) bool {
	for _, c := range b {
		if c-'0' > 9 && c|0x20-'a' > 25 && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return true
}

// take gives a field to those who want it.
func (l *logLine) take(w wantedField) {
	switch {
	case w.field < firstNumber:
		text := l.text(w.field)
		if text != nil {
			l.takeText(w.node.targets, text, false)
		}
	case w.field < firstDerived:
		if text := l.texts[w.field]; text != nil {
			l.takeCount(w.node.targets, atoi(text), text)
		}
	default:
		if n, ok := l.derived(w.field); ok {
			l.takeCount(w.node.targets, n, nil)
		}
	}
}

// text returns a field that is one, nil when it is absent.
func (l *logLine) text(f logField) []byte {
	switch f {
	case extension:
		return l.lower(extensionOf(l.texts[pathOfRequest]))
	case referrerHost:
		return l.lower(hostOf(l.texts[referrer]))
	}
	return l.texts[f]
}

// derived returns a number computed from other fields; false when it is absent.
func (l *logLine) derived(f logField) (int64, bool) {
	path, from, agent := l.texts[pathOfRequest], l.texts[referrer], l.texts[userAgent]
	switch f {
	case timeOfLine:
		return l.millis / 1000, true // whole seconds
	case hourOfDay:
		return int64(l.clock), true
	case weekday:
		return int64((l.day%7 + 11) % 7), true // 1 January 1970 was a Thursday
	case pathLength:
		return int64(len(path)), path != nil
	case pathDepth:
		return depthOf(path), path != nil
	case queryLength:
		return int64(len(l.texts[query])), path != nil
	case isHTTPSReferrer:
		if hasPrefixFold(from, "https:") {
			return 1, true
		}
		return 0, from != nil
	}
	return int64(len(agent)), agent != nil // user_agent_length
}

// takeCount gives a whole number to its targets; text is nil where it was derived.
func (l *logLine) takeCount(targets []target, n int64, text []byte) {
	for _, t := range targets {
		if t.kind == number || t.kind == numberText {
			l.row[t.column] = float64(n)
			continue
		}
		if text == nil {
			start := len(l.scratch.buf)
			l.scratch.buf = strconv.AppendInt(l.scratch.buf, n, 10)
			text = l.scratch.buf[start:len(l.scratch.buf):len(l.scratch.buf)]
		}
		if t.kind == category {
			l.takeCategory(t, text)
		} else {
			l.entity = text
		}
	}
}

// atoi reads up to 18 digits.
func atoi(digits []byte) (n int64) {
	for _, c := range digits {
		n = n*10 + int64(c-'0')
	}
	return n
}

// depthOf counts the parts of a path that are not empty.
func depthOf(path []byte) (n int64) {
	before := byte('/')
	for _, c := range path {
		if c != '/' && before == '/' {
			n++
		}
		before = c
	}
	return n
}

// extensionOf returns what follows the last dot of a path's last part, nil when it
// has none or nothing stands on one side of it.
func extensionOf(path []byte) []byte {
	last := path[bytes.LastIndexByte(path, '/')+1:]
	dot := bytes.LastIndexByte(last, '.')
	if dot < 1 || dot == len(last)-1 {
		return nil
	}
	return last[dot+1:]
}

// hostOf returns the host of an absolute URL, an IPv6 address in its brackets; nil when
// there is none.
func hostOf(url []byte) []byte {
	_, rest, found := bytes.Cut(url, []byte("://"))
	if !found {
		return nil
	}
	if end := bytes.IndexAny(rest, "/?#"); end >= 0 {
		rest = rest[:end]
	}
	rest = rest[bytes.LastIndexByte(rest, '@')+1:]
	if colon := bytes.LastIndexByte(rest, ':'); colon > bytes.LastIndexByte(rest, ']') {
		rest = rest[:colon]
	}
	if len(rest) == 0 {
		return nil
	}
	return rest
}

// lower returns text with the letters A to Z in lower case.
func (l *logLine) lower(text []byte) []byte {
	for i, c := range text {
		if c-'A' > 25 {
			continue
		}
		start := len(l.scratch.buf)
		l.scratch.buf = append(l.scratch.buf, text...)
		text = l.scratch.buf[start:len(l.scratch.buf):len(l.scratch.buf)]
		for j := i; j < len(text); j++ {
			if text[j]-'A' <= 25 {
				text[j] |= 0x20
			}
		}
		break
	}
	return text
}

// hasPrefixFold says whether text begins with prefix, which is in lower case, in any.
func hasPrefixFold(text []byte, prefix string) bool {
	return len(text) >= len(prefix) && strings.EqualFold(string(text[:len(prefix)]), prefix)
}
