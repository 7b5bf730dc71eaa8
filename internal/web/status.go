package web

import (
	"context"
	"encoding/json"
	"math"
	"slices"
	"sync"
	"time"

	"scry/stream"
)

// Report is the body of /api/status.
type Report struct {
	Name    string    `json:"name"`
	Started time.Time `json:"started"`
	Uptime  float64   `json:"uptime_seconds"`
	// State is ready, starting, unreachable, held or draining; Reason says why it is not ready.
	State  string `json:"state"`
	Reason string `json:"reason,omitempty"`

	Model    Model     `json:"model"`
	Features []Feature `json:"features"`

	Consumed uint64  `json:"consumed"` // records read
	Totals   Totals  `json:"totals"`   // of what is durable
	Rate     float64 `json:"events_per_second"`
	// Rates are the events a second of the last two minutes, a value a second, oldest first.
	Rates    []float64         `json:"rates"`
	Latency  *Latency          `json:"latency,omitempty"` // absent before the first event
	Lag      []Lag             `json:"lag"`
	InFlight InFlight          `json:"in_flight"`
	Rejected map[string]uint64 `json:"rejected"` // by reason
	Cache    *Cache            `json:"cache,omitempty"`
	Retries  map[string]uint64 `json:"retries"` // by dependency
	Sample   json.RawMessage   `json:"sample,omitempty"`
}

// Model is the identity of the live model.
type Model struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Digest  string `json:"digest"` // sha256 of the bundle, hex
}

// Feature is one column of the model and how often events lacked it.
type Feature struct {
	Name     string `json:"name"`
	Path     string `json:"path"`
	Required bool   `json:"required"`
	Missing  uint64 `json:"missing"`
	Unknown  uint64 `json:"unknown_category"`
}

// Totals count events by what became of them.
type Totals struct {
	Predicted   uint64 `json:"predicted"`
	Tombstones  uint64 `json:"tombstones"`
	DeadLetters uint64 `json:"dead_letters"`
}

// Latency is from a record's timestamp to its prediction being durable, over the last
// batches, in seconds.
type Latency struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
}

// Lag is how far behind a partition is.
type Lag struct {
	Topic     string  `json:"topic"`
	Partition int32   `json:"partition"`
	Records   int64   `json:"records"`
	Age       float64 `json:"age_seconds"`
}

// InFlight is what was read and is not yet durable.
type InFlight struct {
	Bytes   uint64  `json:"bytes"`
	Batches uint64  `json:"batches"`
	Oldest  float64 `json:"oldest_seconds"`
}

// Cache counts the keys offered to the cache.
type Cache struct {
	Written uint64 `json:"written"`
	Stale   uint64 `json:"stale"`   // a newer one was there
	Expired uint64 `json:"expired"` // past their time to live before they were written
	Skipped uint64 `json:"skipped"` // given up, with cache.on_failure: skip
}

// A status makes Reports, and keeps the rates of the last seconds for them.
type status struct {
	config  Config
	source  source
	started time.Time

	mu    sync.Mutex
	rates []float64 // a value a tick, oldest first
	last  uint64
	at    time.Time
}

const (
	ratesKept = 120
	rateOver  = 5 // ticks that the rate shown as a number is the mean of
)

func newStatus(c Config, s source) *status {
	return &status{config: c, source: s, started: time.Now(), at: time.Now()}
}

// watch notes the rate each second until ctx ends.
func (s *status) watch(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			s.tick(now)
		}
	}
}

func (s *status) tick(now time.Time) {
	t := s.source.Totals()
	done := t.Predicted + t.Tombstones + t.DeadLetters
	s.mu.Lock()
	defer s.mu.Unlock()
	rate := float64(done-s.last) / max(now.Sub(s.at).Seconds(), 0.001)
	s.last, s.at = done, now
	if len(s.rates) == ratesKept {
		s.rates = slices.Delete(s.rates, 0, 1)
	}
	s.rates = append(s.rates, math.Round(rate*10)/10)
}

func (s *status) report() Report {
	c, d := s.config, s.config.Deployment
	g := gather(c.Gatherer)
	t := s.source.Totals()
	r := Report{
		Name: c.Name, Started: s.started.UTC().Truncate(time.Second), Uptime: math.Floor(time.Since(s.started).Seconds()),
		Model:    Model{d.Name, d.Version, d.Digest},
		Consumed: g.count("scry_records_consumed_total"),
		Totals:   Totals(t),
		Latency:  latency(s.source.Latencies()),
		InFlight: InFlight{g.count("scry_in_flight_bytes"), g.count("scry_in_flight_batches"), g.value("scry_oldest_batch_age_seconds")},
		Rejected: g.counts("scry_rejected_total"),
		Retries:  g.counts("scry_retries_total"),
		Sample:   s.source.Sample(),
		Features: []Feature{},
		Lag:      []Lag{},
	}
	r.state(s.source.Checks(), g)
	s.mu.Lock()
	r.Rates = append([]float64{}, s.rates...)
	s.mu.Unlock()
	if recent := r.Rates[max(len(r.Rates)-rateOver, 0):]; len(recent) > 0 {
		for _, rate := range recent {
			r.Rate += rate / float64(len(recent))
		}
	}
	missing, unknown := g.counts("scry_feature_missing_total"), g.counts("scry_feature_unknown_category_total")
	for _, f := range d.Features {
		r.Features = append(r.Features, Feature{f.Name, f.Path, f.Required, missing[f.Name], unknown[f.Name]})
	}
	for _, l := range s.source.Lag() {
		r.Lag = append(r.Lag, Lag{l.Topic, l.Partition, l.Records, l.Age.Seconds()})
	}
	return r
}

const unreachable = "unreachable"

// states are what the consumer is when a check, by name, is the first that fails.
var states = map[string]string{"running": "draining", "delivery": "held", "kafka": unreachable, "redis": unreachable, "partitions": "starting"}

// state fills in what the checks say: how the consumer is, and whether it has a cache.
func (r *Report) state(checks []stream.Check, g gathered) {
	r.State = "ready"
	// The dependency is there with cache.from: output too, where it is no condition of being ready.
	if _, cached := g.counts("scry_dependency_up")["redis"]; cached {
		w := g.counts("scry_cache_writes_total")
		r.Cache = &Cache{w["written"], w["stale"], w["expired"], w["skipped"]}
	}
	for _, c := range checks {
		if c.Err != nil && r.State == "ready" {
			r.State, r.Reason = states[c.Name], c.Err.Error()
			if r.State == unreachable {
				r.Reason = c.Name + ": " + r.Reason
			}
		}
	}
}

// latency returns the percentiles of some latencies, by nearest rank; nil of none.
func latency(of []float64) *Latency {
	if len(of) == 0 {
		return nil
	}
	slices.Sort(of)
	at := func(share float64) float64 { return of[int(math.Ceil(share*float64(len(of))))-1] }
	return &Latency{P50: at(.50), P99: at(.99)}
}
