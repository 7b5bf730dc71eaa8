package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestHealth(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/livez" {
			http.Error(w, "held: x", http.StatusServiceUnavailable)
		}
	}))
	gone := httptest.NewServer(nil)
	gone.Close()
	defer server.Close()
	for _, c := range []struct {
		args   []string
		code   int
		stderr string
	}{
		{[]string{server.URL + "/livez"}, 0, ""},
		{[]string{server.URL + "/readyz"}, exitFailed, "503 Service Unavailable: held: x"},
		{[]string{gone.URL + "/livez"}, exitFailed, "refused"},
		{[]string{"%"}, exitUsage, "invalid URL"},
		{[]string{"a", "b"}, exitUsage, "at most one URL"},
	} {
		var stdout, stderr strings.Builder
		code := run(append([]string{"health"}, c.args...), &stdout, &stderr)
		if code != c.code || !strings.Contains(stderr.String(), c.stderr) || stdout.String() != "" {
			t.Errorf("health %v: %d, %q, %q; want %d and %q", c.args, code, &stdout, &stderr, c.code, c.stderr)
		}
	}
}
