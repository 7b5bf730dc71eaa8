package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"scry/predictor"
	"scry/predictor/feature"
	"scry/stream"
)

// A fake is a consumer whose state the test sets.
type fake struct {
	mu     sync.Mutex
	live   error
	checks []stream.Check
	totals stream.Totals
	cached stream.Cached
	err    error
}

func newFake() *fake {
	return &fake{checks: []stream.Check{{Name: "running"}, {Name: "delivery"}, {Name: "kafka"}, {Name: "redis"}, {Name: "partitions"}}}
}

func (f *fake) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// fail makes one check fail, or with nil all succeed.
func (f *fake) fail(name string, err error) {
	f.set(func() {
		for i := range f.checks {
			f.checks[i].Err = nil
			if f.checks[i].Name == name {
				f.checks[i].Err = err
			}
		}
	})
}

func (f *fake) Live() error { f.mu.Lock(); defer f.mu.Unlock(); return f.live }
func (f *fake) Ready() error {
	for _, c := range f.Checks() {
		if c.Err != nil {
			return fmt.Errorf("%s: %w", c.Name, c.Err)
		}
	}
	return nil
}
func (f *fake) Checks() []stream.Check {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]stream.Check(nil), f.checks...)
}
func (f *fake) Totals() stream.Totals { f.mu.Lock(); defer f.mu.Unlock(); return f.totals }
func (f *fake) Latencies() []float64  { return []float64{.004, .001, .002, .003} }
func (f *fake) Sample() []byte        { return []byte(`{"id":"in-0-1","score":0.1}`) }
func (f *fake) Lag() []stream.Lag {
	return []stream.Lag{{Topic: "in", Partition: 3, Records: 7, Age: 2 * time.Second}}
}
func (f *fake) Lookup(_ context.Context, entity string) (stream.Cached, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.cached
	c.Entity = entity
	return c, f.err
}

func testConfig() (Config, *prometheus.Registry) {
	reg := prometheus.NewRegistry()
	return Config{
		Health: "127.0.0.1:0", Admin: "127.0.0.1:0", Name: "shop", Gatherer: reg, Log: slog.New(slog.DiscardHandler),
		Deployment: &predictor.Deployment{Name: "buyer-intent", Version: "7", Digest: "abc",
			Features: []feature.Feature{{Name: "pages", Path: "page.count", Required: true}, {Name: "device", Path: "device"}}},
	}, reg
}

// serve runs a server until the test ends.
func serve(t *testing.T, c Config, f source) *Server {
	t.Helper()
	s, err := listen(c, f)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return s
}

// ask sends a request; host stands in for the address when it is not empty.
func ask(t *testing.T, method, addr, path, host string) (code int, body string, head http.Header) {
	t.Helper()
	r, err := http.NewRequest(method, "http://"+addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = host
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b), resp.Header
}

func get(t *testing.T, addr, path string) (int, string) {
	t.Helper()
	code, body, _ := ask(t, "GET", addr, path, "")
	return code, body
}

func TestProbesFollowTheConsumer(t *testing.T) {
	f := newFake()
	c, _ := testConfig()
	s := serve(t, c, f)
	expect := func(path string, code int, body string) {
		t.Helper()
		if gotCode, got := get(t, s.HealthAddr(), path); gotCode != code || got != body {
			t.Errorf("%s: %d %q, want %d %q", path, gotCode, got, code, body)
		}
	}
	expect("/livez", 200, "ok\n")
	expect("/readyz", 200, "ok\n")
	f.fail("delivery", errors.New("a field was renamed"))
	expect("/livez", 200, "ok\n")
	expect("/readyz", 503, "delivery: a field was renamed\n")
	expect("/readyz?verbose", 503, "[+]running ok\n[-]delivery failed: a field was renamed\n[+]kafka ok\n[+]redis ok\n[+]partitions ok\nreadyz check failed\n")
	f.fail("", nil)
	expect("/readyz", 200, "ok\n")
	expect("/readyz?verbose", 200, "[+]running ok\n[+]delivery ok\n[+]kafka ok\n[+]redis ok\n[+]partitions ok\nreadyz check passed\n")
	f.set(func() { f.live = errors.New("stuck") })
	expect("/livez", 503, "stuck\n")
	expect("/livez?verbose", 503, "[-]progress failed: stuck\nlivez check failed\n")
	expect("/api/status", 404, "404 page not found\n")
	expect("/debug/pprof/", 404, "404 page not found\n")
}

func TestMetricsInEveryForm(t *testing.T) {
	c, reg := testConfig()
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "scry_test_seconds", NativeHistogramBucketFactor: 1.1})
	reg.MustRegister(h)
	h.Observe(1)
	s := serve(t, c, newFake())
	for accept, want := range map[string]string{
		"": "text/plain",
		"application/openmetrics-text;version=1.0.0":                                                       "application/openmetrics-text",
		"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7": "application/vnd.google.protobuf",
	} {
		r, _ := http.NewRequest("GET", "http://"+s.HealthAddr()+"/metrics", nil)
		r.Header.Set("Accept", accept)
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if got := resp.Header.Get("Content-Type"); !strings.HasPrefix(got, want) || !strings.Contains(string(body), "scry_test_seconds") {
			t.Errorf("Accept %q: %q, %d bytes", accept, got, len(body))
		}
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}

func TestOnlyReadingMethods(t *testing.T) {
	c, _ := testConfig()
	s := serve(t, c, newFake())
	for _, url := range [][2]string{{s.HealthAddr(), "/readyz"}, {s.HealthAddr(), "/metrics"}, {s.AdminAddr(), "/"}, {s.AdminAddr(), "/api/status"}} {
		for method, want := range map[string]int{"GET": 200, "HEAD": 200, "POST": 405, "PUT": 405, "DELETE": 405, "OPTIONS": 405} {
			if code, _, head := ask(t, method, url[0], url[1], ""); code != want || code == 405 && head.Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: %d, want %d", method, url[1], code, want)
			}
		}
	}
}

func TestLoopbackAnswersOnlyLocalHosts(t *testing.T) {
	c, _ := testConfig()
	s := serve(t, c, newFake())
	_, port, _ := net.SplitHostPort(s.AdminAddr())
	for host, want := range map[string]int{
		"localhost": 200, "localhost:" + port: 200, "LocalHost:9999": 200, "127.0.0.1": 200, "127.0.0.1:80": 200, "[::1]": 200, "[::1]:8080": 200,
		"evil.example": 421, "evil.example:" + port: 421, "localhost.evil.example": 421, "127.0.0.1.evil.example": 421,
		"192.168.0.7": 421, "localhost:1:2": 421,
	} {
		for _, path := range []string{"/", "/api/status", "/api/lookup?entity=u"} {
			if code, body, _ := ask(t, "GET", s.AdminAddr(), path, host); code != want || code != 200 && strings.Contains(body, "buyer") {
				t.Errorf("Host %s, %s: %d, want %d", host, path, code, want)
			}
		}
	}
	// Probes come by address, and are not private.
	if code, _, _ := ask(t, "GET", s.HealthAddr(), "/livez", "10.1.2.3:9090"); code != 200 {
		t.Errorf("livez: %d", code)
	}
}

func TestAdminOpenToTheNetworkIsLogged(t *testing.T) {
	var log strings.Builder
	c, _ := testConfig()
	c.Admin, c.Log = "0.0.0.0:0", slog.New(slog.NewTextHandler(&log, nil))
	s := serve(t, c, newFake())
	if !strings.Contains(log.String(), "http.admin") {
		t.Errorf("log: %q", log.String())
	}
	_, port, _ := net.SplitHostPort(s.AdminAddr())
	if code, _, _ := ask(t, "GET", "127.0.0.1:"+port, "/api/status", "scry.example"); code != 200 {
		t.Errorf("status by name: %d", code)
	}
}

func TestSecurityHeaders(t *testing.T) {
	c, _ := testConfig()
	s := serve(t, c, newFake())
	for _, path := range []string{"/", "/page.js", "/style.css", "/icon.svg", "/api/status", "/api/lookup"} {
		_, _, head := ask(t, "GET", s.AdminAddr(), path, "")
		if !strings.Contains(head.Get("Content-Security-Policy"), "default-src 'self'") ||
			head.Get("X-Content-Type-Options") != "nosniff" || head.Get("Cache-Control") != "no-store" || head.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %v", path, head)
		}
	}
}

func TestPprofOnlyWhenSwitchedOn(t *testing.T) {
	c, _ := testConfig()
	off := serve(t, c, newFake())
	c.Pprof = true
	on := serve(t, c, newFake())
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/symbol"} {
		if code, _ := get(t, off.AdminAddr(), path); code != 404 {
			t.Errorf("off: %s: %d", path, code)
		}
		if code, _ := get(t, on.AdminAddr(), path); code != 200 {
			t.Errorf("on: %s: %d", path, code)
		}
		if code, _ := get(t, on.HealthAddr(), path); code != 404 {
			t.Errorf("health: %s: %d", path, code)
		}
	}
	if code, _ := get(t, on.AdminAddr(), "/debug/pprof/cmdline"); code != 404 {
		t.Errorf("the command line, with what --set was given: %d", code)
	}
	if code, _, _ := ask(t, "GET", on.AdminAddr(), "/debug/pprof/heap", "evil.example"); code != 421 {
		t.Errorf("foreign host: %d", code)
	}
}

func TestAnAddressInUseIsAnErrorWithTheMend(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	addr := taken.Addr().String()

	c, _ := testConfig()
	c.Health = addr
	expectError(t, c, "http.health", addr, "in use", "give another port")

	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free.Close()
	c.Health, c.Admin = free.Addr().String(), addr
	expectError(t, c, "http.admin", addr, "in use", "give another port")
	again, err := net.Listen("tcp", c.Health)
	if err != nil {
		t.Errorf("the health address is not given back: %v", err)
	} else {
		again.Close()
	}

	c.Admin = "192.0.2.1:0"
	expectError(t, c, "http.admin", "192.0.2.1:0", "address of this host")
}

func expectError(t *testing.T, c Config, parts ...string) {
	t.Helper()
	_, err := listen(c, newFake())
	for _, part := range parts {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("error %v, want %q in it", err, part)
		}
	}
}

func TestSlowClientsAreBounded(t *testing.T) {
	c, _ := testConfig()
	s, err := listen(c, newFake())
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []listener{s.health, s.admin} {
		if h := l.http; h.ReadHeaderTimeout <= 0 || h.ReadTimeout <= 0 || h.WriteTimeout <= 0 || h.IdleTimeout <= 0 || h.MaxHeaderBytes <= 0 {
			t.Errorf("%s has an unbounded client: %+v", l.Addr(), h)
		}
		l.http.ReadHeaderTimeout = 50 * time.Millisecond
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	conn, err := net.Dial("tcp", s.HealthAddr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: ")
	conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.Copy(io.Discard, conn); err != nil {
		t.Errorf("half a request was not given up: %v", err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestShutdownLeavesNothingBehind(t *testing.T) {
	c, _ := testConfig()
	s, err := listen(c, newFake())
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []listener{s.health, s.admin} { // nothing but the shutdown ends the client below
		l.http.ReadHeaderTimeout, l.http.ReadTimeout = time.Hour, time.Hour
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	get(t, s.HealthAddr(), "/livez")
	get(t, s.AdminAddr(), "/api/status")
	idle, err := net.Dial("tcp", s.AdminAddr()) // a client that sends nothing
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
	for _, addr := range []string{s.HealthAddr(), s.AdminAddr()} {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Errorf("%s is still taken: %v", addr, err)
			continue
		}
		l.Close()
	}
	ours := func() string {
		buf := make([]byte, 1<<20)
		for _, g := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			if strings.Contains(g, "scry/internal/web.(*") || strings.Contains(g, "net/http.(*conn).serve") {
				return g
			}
		}
		return ""
	}
	for deadline := time.Now().Add(20 * time.Second); ours() != ""; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still running:\n%s", ours())
		}
	}
}

func TestRunEndsWhenAnAddressFails(t *testing.T) {
	c, _ := testConfig()
	s, err := listen(c, newFake())
	if err != nil {
		t.Fatal(err)
	}
	s.health.Listener.Close()
	if err := s.Run(t.Context()); err == nil {
		t.Error("no error although the health address is gone")
	}
}

func decode[T any](t *testing.T, body string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return v
}
