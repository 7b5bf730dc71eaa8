package feature

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"scry/internal/testenv"
)

// fieldOf reads one field of a line by way of a category or a number.
func fieldOf(t *testing.T, line, field string) (text string, x float64) {
	t.Helper()
	a, err := NewAccessLog([]Feature{{Name: "f", Path: field, Missing: math.NaN(), Parse: true}}, AccessLogConfig{Entity: field})
	if err != nil {
		t.Fatal(err)
	}
	row := []float64{0}
	fields, err := a.Extract([]byte(line), row, NewScratch(1))
	if fields.Entity == nil && errors.Is(err, ErrMalformed) && strings.Contains(err.Error(), notNumber.String()) { // the text is wanted
		a, _ = NewAccessLog(nil, AccessLogConfig{Entity: field})
		fields, err = a.Extract([]byte(line), row[:0], NewScratch(0))
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, line)
	}
	if fields.Entity == nil {
		return "absent", row[0]
	}
	return string(fields.Entity), row[0]
}

const combined = `127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /apache_pb.gif HTTP/1.0" 200 2326 "http://www.example.com/start.html" "Mozilla/4.08 [en] (Win98; I ;Nav)"`

// with puts a request, a referrer and a user agent into a line.
func with(request, referrer, agent string) string {
	return `::1 - - [29/Feb/2024:23:59:59 +0530] "` + request + `" 404 - "` + referrer + `" "` + agent + `"`
}

func TestAccessLogFields(t *testing.T) {
	common, _, _ := strings.Cut(combined, ` "http://`)
	for _, c := range []struct{ line, field, want string }{
		// The examples of Apache's documentation.
		{common, "remote_host", "127.0.0.1"}, {common, "ident", "absent"}, {common, "remote_user", "frank"},
		{common, "time", "971211336"}, {common, "hour", "13"}, {common, "weekday", "2"},
		{common, "method", "GET"}, {common, "path", "/apache_pb.gif"}, {common, "protocol", "HTTP/1.0"},
		{common, "query", "absent"}, {common, "query_length", "0"}, {common, "status", "200"}, {common, "bytes", "2326"},
		{common, "referrer", "absent"}, {common, "user_agent", "absent"}, {common, "user_agent_length", "absent"},
		{common, "is_https_referrer", "absent"}, {common, "vhost", "absent"},
		{common, "extension", "gif"}, {common, "path_depth", "1"}, {common, "path_length", "14"},
		{combined, "referrer", "http://www.example.com/start.html"}, {combined, "referrer_host", "www.example.com"},
		{combined, "user_agent", "Mozilla/4.08 [en] (Win98; I ;Nav)"}, {combined, "user_agent_length", "33"},
		{combined + "\r\n", "user_agent", "Mozilla/4.08 [en] (Win98; I ;Nav)"}, {combined, "is_https_referrer", "0"},
		// A virtual host, IPv6, users with spaces and brackets.
		{"www.example.com:443 " + combined, "vhost", "www.example.com:443"}, {"www.example.com:443 " + combined, "remote_host", "127.0.0.1"},
		{"[2001:db8::1]:80 " + combined, "vhost", "[2001:db8::1]:80"}, {"v " + common, "remote_user", "frank"},
		{strings.Replace(combined, "frank", "John  Doe", 1), "remote_user", "John  Doe"},
		{strings.Replace(combined, "frank", "John Doe", 1), "vhost", "absent"},
		{strings.Replace("v "+combined, "frank", "John Doe", 1), "remote_user", "John Doe"},
		{strings.Replace(combined, "127.0.0.1", "2001:db8:85a3::8a2e:370:7334", 1), "remote_host", "2001:db8:85a3::8a2e:370:7334"},
		// Derived.
		{with("GET /a//b/C.tar.GZ?q=1&r=? HTTP/2.0", "-", "-"), "path", "/a//b/C.tar.GZ"},
		{with("GET /a//b/C.tar.GZ?q=1&r=? HTTP/2.0", "-", "-"), "extension", "gz"},
		{with("GET /a//b/C.tar.GZ?q=1&r=? HTTP/2.0", "-", "-"), "path_depth", "3"},
		{with("GET /a//b/C.tar.GZ?q=1&r=? HTTP/2.0", "-", "-"), "query", "q=1&r=?"},
		{with("GET / HTTP/1.1", "-", "-"), "path_depth", "0"}, {with("GET /.htaccess HTTP/1.1", "-", "-"), "extension", "absent"},
		{with("GET /x. HTTP/1.1", "-", "-"), "extension", "absent"}, {with("GET /v1.2/x HTTP/1.1", "-", "-"), "extension", "absent"},
		{with("OPTIONS * HTTP/1.1", "-", "-"), "path", "*"}, {with("GET /a b HTTP/1.1", "-", "-"), "path", "/a b"},
		{with("GET /old", "-", "-"), "path", "/old"}, {with("GET /old", "-", "-"), "protocol", "absent"},
		{with(`\x16\x03\x01\x02`, "-", "-"), "method", "absent"}, {with(`\x16 /a HTTP/1.0`, "-", "-"), "path", "absent"},
		{with("-", "-", "-"), "path_depth", "absent"}, {with("", "-", "-"), "query_length", "absent"},
		{with("GET / HTTP/1.1", "HTTPS://u:p@Example.ORG:8443?x=@", "-"), "referrer_host", "example.org"},
		{with("GET / HTTP/1.1", "HTTPS://u:p@Example.ORG:8443?x=@", "-"), "is_https_referrer", "1"},
		{with("GET / HTTP/1.1", "http://[2001:DB8::1]/", "-"), "referrer_host", "[2001:db8::1]"},
		{with("GET / HTTP/1.1", "android-app", "-"), "referrer_host", "absent"}, {with("-", "-", "-"), "bytes", "absent"},
		{with("-", "-", "-"), "hour", "23"}, {with("-", "-", "-"), "weekday", "4"}, {with("-", "-", "-"), "time", "1709231399"},
		// Escapes.
		{with("GET / HTTP/1.1", "-", `a\"b\\c\td\xe4\x2f\q\x4`), "user_agent", "a\"b\\c\td\xe4/\\q\\x4"},
		{with(`GET /\x41 HTTP/1.1`, "-", `\\`), "path", "/A"}, {with("GET / HTTP/1.1", `\\\"`, `\\`), "referrer", `\"`},
		{with("GET / HTTP/1.1", "-", `\xe4\"`), "user_agent_length", "2"},
		// What nginx adds to it.
		{combined + ` "10.0.0.1, 10.0.0.2" 0.004 "-"`, "user_agent", "Mozilla/4.08 [en] (Win98; I ;Nav)"},
	} {
		if got, _ := fieldOf(t, c.line, c.field); got != c.want {
			t.Errorf("%s is %q, want %q in\n%s", c.field, got, c.want, c.line)
		}
	}
	if _, x := fieldOf(t, combined, "bytes"); x != 2326 {
		t.Errorf("bytes is %v", x)
	}
	if _, x := fieldOf(t, with("-", "-", "-"), "bytes"); !math.IsNaN(x) {
		t.Errorf("bytes without any is %v", x)
	}
}

func refused(t *testing.T, line string) error {
	t.Helper()
	a, err := NewAccessLog(nil, AccessLogConfig{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = a.Extract([]byte(line), nil, NewScratch(0))
	if err != nil && !errors.Is(err, ErrMalformed) {
		t.Errorf("%v is not ErrMalformed", err)
	}
	return err
}

func TestAccessLogMalformed(t *testing.T) {
	replace := func(old, new string) string {
		if !strings.Contains(combined, old) {
			t.Fatal(old)
		}
		return strings.Replace(combined, old, new, 1)
	}
	for _, c := range []struct{ line, want string }{
		{"", "byte 0: too few fields"},
		{"\n", "byte 0: too few fields"},
		{`{"user_id":"u1"}`, "byte 0: too few fields"},
		{replace("- frank ", ""), "byte 10: too few fields"},
		{replace("- ", ""), "byte 16: too few fields"},
		{replace("frank", ""), "byte 12: an empty field"},
		{replace("frank", "frank b [x"), "byte 21: not a time"},
		{replace("10/Oct", "32/Oct"), "byte 19: not a time"},
		{replace("10/Oct", "10/OCT"), "byte 19: not a time"},
		{replace("10/Oct/2000", "29/Feb/2100"), "byte 19: not a time"},
		{replace("13:55", "24:00"), "byte 19: not a time"},
		{replace(" -0700", ""), "byte 19: not a time"},
		{replace("10/Oct/2000:13:55:36 -0700", "01/Jan/0000:00:00:00 +0001"), "byte 19: not a time"},
		{replace("[10/Oct", "10/Oct"), "time"},
		{combined[:30], "byte 19: not a time"},
		{combined[:46], "byte 46: a space and the request in quotes expected"},
		{combined[:60], "byte 47: the quote that opens the request is not closed"},
		{replace(" 200", " 20"), "status expected"},
		{replace(" 200", " 2000"), "status expected"},
		{replace(" 200", " 2x0"), "status expected"},
		{replace(" 2326", " -1"), "a space expected behind bytes"},
		{replace(" 2326", ""), "bytes expected"},
		{replace(" 2326", " 1234567890123456789"), "bytes expected"},
		{combined[:len(combined)-1], "the quote that opens user_agent is not closed"},
		{combined[:len(combined)-1] + `\"`, "the quote that opens user_agent is not closed"},
		{replace(` "Mozilla/4.08 [en] (Win98; I ;Nav)"`, ""), "user_agent in quotes expected"},
		{replace("[en]", `"en"`), "is a quote not escaped?"},
		{combined + "x", "is a quote not escaped?"},
		{combined + " ", "is a quote not escaped?"},
		{replace("GET", "G\x00T"), "byte 49: a control character"},
		{combined + "\n" + combined, "a control character"},
		{replace("Nav", strings.Repeat("x", maxLine)), "byte 65536: the line is longer than 64 KiB"},
	} {
		err := refused(t, c.line)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %s in\n%.300s", err, c.want, c.line)
		}
	}
}

func TestNewAccessLogNamesEveryFault(t *testing.T) {
	_, err := NewAccessLog([]Feature{
		{Name: "a", Path: "page.url"},
		{Name: "b", Path: "method"},
		{Name: "c", Path: "status"},
		{Name: "d", Path: "remote_user", Parse: true},
	}, AccessLogConfig{Entity: "user_id", EventTime: "ts"})
	for _, want := range []string{
		`feature "a": an access log has no field "page.url"; it has vhost, remote_host`, `feature "b": method is a text`,
		`entity: an access log has no field "user_id"`, `event time: path "ts"`, strings.Join(AccessLogFields(), ", "),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nlacks %s", err, want)
		}
	}
	if err != nil && (strings.Contains(err.Error(), `"c"`) || strings.Contains(err.Error(), `"d"`)) {
		t.Error(err)
	}
	if _, err := NewAccessLog([]Feature{{Name: "a", Path: "status"}, {Name: "a", Path: "hour"}}, AccessLogConfig{}); err == nil {
		t.Error("a name is taken twice")
	}
}

// realLines are the 10,000 lines of a real server's log; one of them is cut off.
func realLines(t testing.TB) [][]byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(testenv.Shared(t), "data", "elastic", "apache_logs"))
	if err != nil {
		t.Fatal(err)
	}
	return slices.Collect(bytes.Lines(text))
}

// TestRealAccessLog: what each real line says is what the oracle makes of it.
func TestRealAccessLog(t *testing.T) {
	lines, malformed := realLines(t), 0
	for _, line := range lines {
		if checkAccessLog(t, line) != nil {
			malformed++
		}
	}
	if len(lines) != 10_000 || malformed != 1 {
		t.Errorf("%d lines, %d malformed", len(lines), malformed)
	}
}

func BenchmarkAccessLog(b *testing.B) {
	lines := realLines(b)
	var features []Feature
	for _, f := range AccessLogFields() {
		ft := Feature{Name: f, Path: f, Missing: math.NaN()}
		if slices.Index(logFieldNames[:], f) < int(firstNumber) {
			ft.Categories = []string{"GET", "POST", "HTTP/1.1", "png", "html", "www.semicomplete.com"}
		}
		features = append(features, ft)
	}
	a, err := NewAccessLog(features, AccessLogConfig{Entity: "remote_host"})
	if err != nil {
		b.Fatal(err)
	}
	s, row, size := NewScratch(len(features)), make([]float64, len(features)), 0
	good := lines[:0]
	for _, l := range lines {
		if _, err := a.Extract(l, row, s); err == nil {
			good = append(good, l)
			size += len(l)
		}
	}
	b.SetBytes(int64(size / len(good)))
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if _, err := a.Extract(good[i], row, s); err != nil {
			b.Fatal(err)
		}
		if i++; i == len(good) {
			i = 0
			s.Reset()
		}
	}
}
