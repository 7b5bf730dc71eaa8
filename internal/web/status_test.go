package web

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"scry/stream"
)

func TestStatusTellsWhatTheMetricsTell(t *testing.T) {
	f := newFake()
	c, reg := testConfig()
	counter := func(name string, v float64) {
		m := prometheus.NewCounter(prometheus.CounterOpts{Name: name})
		reg.MustRegister(m)
		m.Add(v)
	}
	labelled := func(name, label string, values map[string]float64) {
		m := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name}, []string{label})
		reg.MustRegister(m)
		for value, v := range values {
			m.WithLabelValues(value).Add(v)
		}
	}
	counter("scry_records_consumed_total", 100)
	labelled("scry_rejected_total", "reason", map[string]float64{"malformed": 2, "too_large": 0})
	labelled("scry_dependency_up", "dependency", map[string]float64{"kafka": 1, "redis": 1})
	labelled("scry_cache_writes_total", "result", map[string]float64{"written": 90, "stale": 4, "expired": 3, "skipped": 1})
	labelled("scry_feature_missing_total", "feature", map[string]float64{"pages": 0, "device": 25})
	labelled("scry_feature_unknown_category_total", "feature", map[string]float64{"device": 5})
	labelled("scry_retries_total", "dependency", map[string]float64{"redis": 6})
	inFlight := prometheus.NewGauge(prometheus.GaugeOpts{Name: "scry_in_flight_bytes"})
	reg.MustRegister(inFlight)
	inFlight.Set(4096)
	f.totals = stream.Totals{Predicted: 97, Tombstones: 1, DeadLetters: 2}

	s := serve(t, c, f)
	code, body := get(t, s.AdminAddr(), "/api/status")
	got := decode[Report](t, body)
	want := Report{
		Name: "shop", State: "ready", Started: got.Started, Uptime: got.Uptime,
		Model:    Model{"buyer-intent", "7", "abc"},
		Features: []Feature{{"pages", "page.count", true, 0, 0}, {"device", "device", false, 25, 5}},
		Consumed: 100, Totals: Totals{97, 1, 2}, Rate: got.Rate, Rates: got.Rates,
		Latency:  &Latency{P50: .002, P99: .004},
		Lag:      []Lag{{"in", 3, 7, 2}},
		InFlight: InFlight{Bytes: 4096},
		Rejected: map[string]uint64{"malformed": 2, "too_large": 0},
		Cache:    &Cache{90, 4, 3, 1},
		Retries:  map[string]uint64{"redis": 6},
		Sample:   json.RawMessage(`{"id":"in-0-1","score":0.1}`),
	}
	if code != 200 || !reflect.DeepEqual(got, want) {
		t.Errorf("%d\n got %+v\nwant %+v", code, got, want)
	}
}

func TestStatusOfAConsumerThatHasJustBegun(t *testing.T) {
	c, _ := testConfig()
	c.Deployment.Features = nil
	body, err := json.Marshal(newStatus(c, &empty{fake: newFake()}).report())
	if err != nil || strings.Contains(string(body), "null") {
		t.Errorf("%s, %v: lists must be lists for the page", body, err)
	}
}

type empty struct{ *fake }

func (*empty) Latencies() []float64 { return nil }
func (*empty) Sample() []byte       { return nil }
func (*empty) Lag() []stream.Lag    { return nil }

func TestStateIsTheGravestFailure(t *testing.T) {
	f := newFake()
	c, _ := testConfig()
	s := serve(t, c, f)
	for check, want := range map[string][2]string{
		"":           {"ready", ""},
		"running":    {"draining", "why"},
		"delivery":   {"held", "why"},
		"kafka":      {"unreachable", "kafka: why"},
		"redis":      {"unreachable", "redis: why"},
		"partitions": {"starting", "why"},
	} {
		f.fail(check, errors.New("why"))
		_, body := get(t, s.AdminAddr(), "/api/status")
		if r := decode[Report](t, body); r.State != want[0] || r.Reason != want[1] {
			t.Errorf("%s: %s, %s", check, r.State, r.Reason)
		}
	}
	f.fail("", nil)
	f.set(func() {
		f.checks[1].Err, f.checks[3].Err = errors.New("first"), errors.New("second")
	})
	_, body := get(t, s.AdminAddr(), "/api/status")
	if r := decode[Report](t, body); r.State != "held" || r.Reason != "first" {
		t.Errorf("two failures: %s, %s", r.State, r.Reason)
	}
}

func TestRatesAreEventsASecondOfTheLastTwoMinutes(t *testing.T) {
	f := newFake()
	c, _ := testConfig()
	st := newStatus(c, f)
	now := st.at
	for i := range 130 {
		now = now.Add(2 * time.Second) // a late tick must not count double
		f.set(func() { f.totals.Predicted += uint64(10 * i); f.totals.DeadLetters += 4; f.totals.Tombstones += 2 })
		st.tick(now)
	}
	r := st.report()
	if len(r.Rates) != 120 || r.Rates[0] != 53 || r.Rates[119] != 648 {
		t.Errorf("%d rates, %v to %v", len(r.Rates), r.Rates[0], r.Rates[len(r.Rates)-1])
	}
	if r.Rate != 638 {
		t.Errorf("rate %v, want the mean of the last five, 638", r.Rate)
	}
}

func TestLookupAnswers(t *testing.T) {
	f := newFake()
	c, _ := testConfig()
	s := serve(t, c, f)
	expect := func(path string, code int, body string) {
		t.Helper()
		if gotCode, got := get(t, s.AdminAddr(), path); gotCode != code || got != body+"\n" {
			t.Errorf("%s: %d %s, want %d %s", path, gotCode, got, code, body)
		}
	}
	f.cached = stream.Cached{State: stream.Fresh, Value: json.RawMessage(`{"v":"00","score":0.83}`)}
	expect("/api/lookup?entity=u%2042%26", 200, `{"entity":"u 42\u0026","state":"fresh","value":{"v":"00","score":0.83}}`)
	f.set(func() { f.cached = stream.Cached{State: stream.Missing} })
	expect("/api/lookup?entity=u42", 200, `{"entity":"u42","state":"missing"}`)
	expect("/api/lookup", 400, `{"error":"which entity? ask for /api/lookup?entity=u42"}`)
	f.set(func() { f.err = stream.ErrNoCache })
	expect("/api/lookup?entity=u42", 404, `{"error":"there is no cache to look into: cache.url is empty"}`)
	f.set(func() { f.err = errors.New("cache: dial refused") })
	expect("/api/lookup?entity=u42", 502, `{"error":"cache: dial refused"}`)
}

// What an event's producer chose may hold HTML. The API escapes it, and the page has no
// way to put a text in as HTML.
func TestNothingFromAnEventBecomesHTML(t *testing.T) {
	const evil = `<img src=x onerror=alert(1)>`
	f := newFake()
	f.cached = stream.Cached{State: stream.Stale, Why: evil, Value: json.RawMessage(`{"label":"` + evil + `"}`)}
	c, _ := testConfig()
	s := serve(t, c, f)
	_, body, head := ask(t, "GET", s.AdminAddr(), "/api/lookup?entity=%3Cscript%3E", "")
	if strings.ContainsAny(body, "<>") || head.Get("Content-Type") != "application/json" {
		t.Errorf("%s: %s", head.Get("Content-Type"), body)
	}
	for _, name := range []string{"page/page.js", "page/index.html"} {
		text, err := files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, sink := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(",
			"srcdoc", "setHTML", "DOMParser", "createContextualFragment", " onclick=", "//cdn", "https://"} {
			if strings.Contains(string(text), sink) {
				t.Errorf("%s uses %s", name, sink)
			}
		}
	}
}
