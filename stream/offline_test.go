package stream

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"scry/checkpoint"
	"scry/predictor"
	"scry/predictor/feature"
)

// TestOfflineIsTheStream: events of a file become byte for byte the predictions, cache
// rows and rejects that the stream makes of the same records, in order.
func TestOfflineIsTheStream(t *testing.T) {
	d := treesDeployment(t)
	var err error
	if d.Extractor, err = feature.NewJSON(d.Features, feature.JSONConfig{Entity: "user_id", EventTime: "ts"}); err != nil {
		t.Fatal(err)
	}
	c := DefaultConfig()
	c.Cache.URL, c.Cache.TTL, c.Input.Entity = "redis://localhost", time.Hour, "user_id"
	at := time.Date(2026, 11, 24, 9, 3, 0, 0, time.UTC) // some event times are more than an hour later

	const n = 3*chunkRows + 7
	live := &batch{runs: []run{{to: n, source: newSource(checkpoint.Partition{Topic: "in"})}}}
	var offline Events
	offline.Reset("other") // as if it had served another file before
	offline.Add([]byte("{}"), 1)
	s := NewScorer(c, d, at)
	if err := s.Score(&offline); err != nil {
		t.Fatal(err)
	}
	offline.Reset("in")
	for i := range n {
		event := []byte(benchEvent(i))
		switch i % 50 {
		case 20:
			event = event[:i]
		case 30:
			event = bytes.Replace(event, []byte(`"f3"`), []byte(`"g3"`), 1)
		}
		live.records = append(live.records, &kgo.Record{Value: event, Offset: int64(i), Timestamp: at})
		offline.Add(event, int64(i))
	}
	live.reset(n, d, true)
	if err := newScorer(c).score(live); err != nil {
		t.Fatal(err)
	}
	if err := s.Score(&offline); err != nil {
		t.Fatal(err)
	}
	rejected := 0
	zero := bytes.Repeat([]byte("0"), 24)
	scoredAt := func(b []byte, is time.Time) []byte { return bytes.ReplaceAll(b, formatTime(is), zero) }
	for i := range n {
		got := offline.Scored(i)
		if j := live.rows[i].reject; j != nil {
			rejected++
			if got.Err == nil || got.Err.Error() != j.err.Error() || got.Reason != j.reason || got.Prediction != nil {
				t.Fatalf("event %d: %+v, want %+v", i, got, j)
			}
			continue
		}
		if want := scoredAt(live.out[i].Value, live.scored); !bytes.Equal(scoredAt(got.Prediction, offline.batch.scored), want) {
			t.Fatalf("event %d: %s, want %s", i, got.Prediction, want)
		}
		if got.Position != int64(i) || !bytes.Equal(got.Entity, live.out[i].Key) || got.EventTime.UnixMilli() != live.rows[i].eventTime ||
			!bytes.Contains(got.Prediction, appendScore([]byte(`"score":`), got.Score)) || got.Score != got.Scores[0] {
			t.Fatalf("event %d: %+v", i, got)
		}
		a, b := offline.batch.cached[i], live.cached[i]
		if a.version != b.version || a.expireAt != b.expireAt || !bytes.Equal(a.entity, b.entity) ||
			!bytes.Equal(scoredAt(a.value, offline.batch.scored), scoredAt(b.value, live.scored)) {
			t.Fatalf("event %d: cached %s, want %s", i, a.value, b.value)
		}
	}
	if rejected != 16 {
		t.Errorf("%d rejected, want 16", rejected)
	}

	d.Model = brokenModel{d.Model}
	if err := NewScorer(c, d, at).Score(&offline); !errors.Is(err, errModel) {
		t.Errorf("a model that always fails: %v", err)
	}
}

type brokenModel struct{ predictor.Model }

func (brokenModel) Predict(_, _ []float64) error { return errors.New("broken") }
