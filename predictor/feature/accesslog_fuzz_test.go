package feature

import (
	"bytes"
	"errors"
	"math"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The oracle is one regular expression, package time and the standard string
// functions.
var (
	quotedText = `"((?:[^"\\]|\\.)*)"`
	oracleLine = regexp.MustCompile(`(?s)^(?:([^ ]+) ()(-) ((?:[^ \[][^ ]*)(?: (?:[^ \[][^ ]*)?)*)` + // a dash: no virtual host
		`|([^ ]+) ([^ \[][^ ]*) ([^ \[][^ ]*)` + // three words
		`|([^ ]+) ([^ \[][^ ]*) ([^ \[][^ ]*) ((?:[^ \[][^ ]*)(?: (?:[^ \[][^ ]*)?)*| (?: ?[^ \[][^ ]*)*)` + // a virtual host
		`) \[([^\]]*)\] ` + quotedText + ` (\d{3}|-) (\d{1,18}|-)(?: ` + quotedText + ` ` + quotedText + `(?: (?:"(?:[^"\\]|\\.)*"|[^ "][^ "]*))*)?$`)
	oracleEscape = regexp.MustCompile(`(?s)\\(x[0-9a-fA-F]{2}|.)`)
	oracleMethod = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")
)

// oracleFields is a line's fields by name; those absent are not in it. Nil: malformed.
func oracleFields(line []byte) map[string]string {
	if len(line) > 64<<10 {
		return nil
	}
	s := strings.TrimSuffix(strings.TrimSuffix(string(line), "\n"), "\r")
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' }) {
		return nil
	}
	at := oracleLine.FindStringSubmatchIndex(s)
	if at == nil {
		return nil
	}
	m := oracleLine.FindStringSubmatch(s)
	out := map[string]string{}
	set := func(name, raw string) {
		if raw == "-" {
			return
		}
		out[name] = oracleEscape.ReplaceAllStringFunc(raw, func(e string) string {
			if len(e) == 4 && e[1] == 'x' {
				b, _ := strconv.ParseUint(e[2:], 16, 8)
				return string([]byte{byte(b)})
			}
			if plain, ok := map[string]string{`\"`: `"`, `\\`: `\`, `\b`: "\b", `\f`: "\f", `\n`: "\n", `\r`: "\r", `\t`: "\t", `\v`: "\v"}[e]; ok {
				return plain
			}
			return e
		})
	}
	who := m[1:5] // host, nothing, ident, user
	switch {
	case m[5] != "":
		who = []string{m[5], "", m[6], m[7]}
	case m[8] != "":
		set("vhost", m[8])
		who = []string{m[9], "", m[10], m[11]}
	}
	set("remote_host", who[0])
	set("ident", who[2])
	set("remote_user", who[3])
	m = m[12:]
	t, err := time.Parse("02/Jan/2006:15:04:05 -0700", m[0])
	if err != nil || len(m[0]) != 26 || t.UTC().Year() < 0 || t.UTC().Year() > 9999 || t.Format("02/Jan/2006:15:04:05") != m[0][:20] {
		return nil
	}
	out["time"] = strconv.FormatInt(t.Unix(), 10)
	out["hour"], out["weekday"] = strconv.Itoa(t.Hour()), strconv.Itoa(int(t.Weekday()))
	set("request", m[1])
	set("status", m[2])
	set("bytes", m[3])
	if at[2*16] >= 0 { // the line goes on to a referrer
		set("referrer", m[4])
		set("user_agent", m[5])
	}
	request, ok := out["request"]
	delete(out, "request")
	if ok {
		oracleRequest(out, request)
	}
	if agent, ok := out["user_agent"]; ok {
		out["user_agent_length"] = strconv.Itoa(len(agent))
	}
	if from, ok := out["referrer"]; ok {
		out["is_https_referrer"] = map[bool]string{true: "1", false: "0"}[strings.HasPrefix(oracleLower(from), "https:")]
		if _, rest, ok := strings.Cut(from, "://"); ok {
			host := regexp.MustCompile(`(?s)^[^/?#]*`).FindString(rest)
			host = host[strings.LastIndex(host, "@")+1:]
			if i := strings.LastIndex(host, ":"); i >= 0 && !strings.Contains(host[i:], "]") {
				host = host[:i]
			}
			if host != "" {
				out["referrer_host"] = oracleLower(host)
			}
		}
	}
	return out
}

func oracleLower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

func oracleRequest(out map[string]string, request string) {
	words := strings.Split(request, " ")
	if len(words) < 2 || !oracleMethod.MatchString(words[0]) {
		return
	}
	out["method"] = words[0]
	rest := words[1:]
	if last := rest[len(rest)-1]; len(rest) > 1 && strings.HasPrefix(last, "HTTP/") {
		out["protocol"], rest = last, rest[:len(rest)-1]
	}
	p, q, found := strings.Cut(strings.Join(rest, " "), "?")
	out["path"] = p
	out["query_length"] = strconv.Itoa(len(q))
	if found {
		out["query"] = q
	}
	out["path_length"] = strconv.Itoa(len(p))
	parts := strings.Split(p, "/")
	out["path_depth"] = strconv.Itoa(len(slices.DeleteFunc(slices.Clone(parts), func(s string) bool { return s == "" })))
	last := parts[len(parts)-1]
	if ext := path.Ext(last); len(ext) > 1 && len(ext) < len(last) {
		out["extension"] = oracleLower(ext[1:])
	}
}

// checkAccessLog holds what a line says, field by field, against the oracle. It
// returns the extractor's error.
func checkAccessLog(t *testing.T, line []byte) error {
	t.Helper()
	want := oracleFields(line)
	original := slices.Clone(line)
	var refusal error
	for _, field := range AccessLogFields() {
		expected, present := want[field]
		f := Feature{Name: field, Path: field, Categories: []string{"a category that never occurs"}, Missing: -1}
		if present {
			f.Categories = append(f.Categories, expected)
		}
		asNumber := Feature{Name: "number", Path: field, Missing: math.NaN()}
		features := []Feature{f}
		if slices.Index(logFieldNames[:], field) >= int(firstNumber) {
			features = append(features, asNumber)
		}
		a, err := NewAccessLog(features, AccessLogConfig{Entity: field})
		if err != nil {
			t.Fatal(err)
		}
		s, row := NewScratch(len(features)), make([]float64, len(features))
		fields, err := a.Extract(line, row, s)
		if !bytes.Equal(line, original) {
			t.Fatal("the line was written to")
		}
		if (err == nil) != (want != nil) || err != nil && !errors.Is(err, ErrMalformed) {
			t.Fatalf("%q\nerror %v, the oracle has %v", line, err, want)
		}
		if err != nil {
			refusal = err
			continue
		}
		if string(fields.Entity) != expected || !fields.HasTime || strconv.FormatInt(fields.EventTime/1000, 10) != want["time"] {
			t.Fatalf("%q\n%s: entity %q, time %d; want %q, %s", line, field, fields.Entity, fields.EventTime, expected, want["time"])
		}
		code := map[bool]float64{true: 1, false: -1}[present]
		if row[0] != code || (s.Missing[0] == 1) == present {
			t.Fatalf("%q\n%s is %v, missing %d, want %q present %t", line, field, row[0], s.Missing[0], expected, present)
		}
		if len(features) > 1 {
			x := math.NaN()
			if present {
				x, _ = strconv.ParseFloat(expected, 64)
			}
			if row[1] != x && (present || !math.IsNaN(row[1])) {
				t.Fatalf("%q\n%s is %v, want %v", line, field, row[1], x)
			}
		}
	}
	return refusal
}

func FuzzAccessLog(f *testing.F) {
	for _, line := range []string{
		combined, "www.example.com:443 " + combined, strings.Replace(combined, "frank", "John  Doe", 1), combined[:80],
		"[::1]:80 " + strings.Replace(combined, "- frank", "id J [x", 1), "v h -  [" + combined[19:], "h - u  [" + combined[19:],
		with("GET /a//b/C.tar.GZ?q=1&r=? HTTP/2.0", "HTTPS://u:p@Example.ORG:8443?x=@", `a\"b\\c\td\xe4\x2f\q\x4`),
		with(`\x16\x03`, "http://[::1]/", ""), with("-", "-", "-"), with("", "", ""), with("GET  HTTP/1.1", "https:", `\\`),
		with("G /.a?", "://", "x") + ` "10.0.0.1, \"" 0.004 -`, combined[:75] + "\r\n", combined + "\x7f", combined + " \xff",
		`h - - [01/Jan/0000:00:00:00 -0000] "" - -`, `h i u [31/Dec/9999:23:59:59 -0001] "" 000 999999999999999999`,
	} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) { _ = checkAccessLog(t, line) })
}

// The oracle's URLs: where net/url reads one it finds the same host.
func TestReferrerHostIsThatOfNetURL(t *testing.T) {
	for _, s := range []string{"http://a.b/c", "https://u@a:1", "http://[::1]:2/?x", "ftp://a?b@c", "http://a#b", "HTTP://A"} {
		u, err := url.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Trim(string(hostOf([]byte(s))), "[]"); got != u.Hostname() {
			t.Errorf("%s: %q, want %q", s, got, u.Hostname())
		}
	}
}
