package stream

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

func TestEventsBecomePredictionsAndDeadLetters(t *testing.T) {
	h := newHarness(t, 2)
	h.cfg.Input.Entity = "user"
	h.produce(0, event(0.5, "a"), `not json`, event(1.5, "b"))
	h.produce(1, event(0.25, "a"), `{"user":"c"}`)
	c := h.run(doubler())

	scores := map[string]float64{}
	for _, r := range h.read("out", 3) {
		var p struct {
			ID, Entity, Label string
			Score             float64
		}
		if err := json.Unmarshal(r.Value, &p); err != nil {
			t.Fatalf("%v: %s", err, r.Value)
		}
		if string(r.Key) != p.Entity {
			t.Errorf("key %q, entity %q", r.Key, p.Entity)
		}
		scores[p.ID+" "+p.Entity+" "+p.Label] = p.Score
	}
	want := map[string]float64{"in-0-0 a low": 0.25, "in-0-2 b high": 0.75, "in-1-0 a low": 0.125}
	if fmt.Sprint(scores) != fmt.Sprint(want) {
		t.Errorf("predictions %v, want %v", scores, want)
	}
	reasons := map[string]string{}
	for _, r := range h.read("dlq", 2) {
		hs := map[string]string{}
		for _, x := range r.Headers {
			hs[x.Key] = string(x.Value)
		}
		reasons[hs["scry-position"]] = hs["scry-reason"] + " " + string(r.Value)
	}
	wantReasons := map[string]string{"in-0-1": "malformed not json", "in-1-1": `missing_feature {"user":"c"}`}
	if fmt.Sprint(reasons) != fmt.Sprint(wantReasons) {
		t.Errorf("dead letters %v, want %v", reasons, wantReasons)
	}
	h.eventually("all are counted", func() bool { t := c.Stats().Totals(); return t.Predicted == 3 && t.DeadLetters == 2 })
	var latency dto.Metric
	if err := c.metrics.eventLatency.(prometheus.Metric).Write(&latency); err != nil {
		t.Fatal(err)
	}
	// A dead letter's own time may be unknown; counted as 0 it would be 50 years late.
	if l := latency.GetHistogram(); l.GetSampleCount() != 3 || l.GetSampleSum() > 60 {
		t.Errorf("event latency: %d samples adding up to %.0f s, want 3 below a minute", l.GetSampleCount(), l.GetSampleSum())
	}
	if err := c.stop(); err != nil {
		t.Errorf("Run: %v", err)
	}
	if a, b := h.committed(0), h.committed(1); a != 3 || b != 2 {
		t.Errorf("committed %d and %d, want 3 and 2", a, b)
	}
	if v, err := h.redis.Get("pred:half:a"); err != nil || len(v) == 0 {
		t.Errorf("cache: %q, %v", v, err)
	}
}
