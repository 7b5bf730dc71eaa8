package stream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/twmb/franz-go/pkg/kgo"

	"scry/checkpoint"
	"scry/internal/config"
	"scry/predictor"
)

// threeModel has three classes; its input 9 gives no number.
type threeModel struct{ halfModel }

func (threeModel) Outputs() []string { return []string{"a", "b", "c"} }
func (threeModel) Predict(in, out []float64) error {
	for i := range out {
		if out[i] = in[i/3] / float64(1+i%3) * 1e-7; in[i/3] == 9 {
			out[i] = math.NaN()
		}
	}
	return nil
}

// What a rebuild makes of an output record is, byte for byte, what the consumer wrote
// to the cache beside it.
func TestRebuiltValuesAreTheSame(t *testing.T) {
	three, plain := doubler(), doubler()
	three.Model, three.Labels, three.Version = threeModel{}, []string{"so \"so\"", "é", "\x01"}, "2/β"
	plain.Labels = nil
	for _, d := range []*predictor.Deployment{doubler(), three, plain} {
		cfg := DefaultConfig()
		cfg.Cache.URL, cfg.Input.Entity = "redis://x", "user"
		s := newScorer(cfg)
		at := time.UnixMilli(1795514400123)
		b := &batch{runs: []run{{source: newSource(checkpoint.Partition{Topic: "web-1.events", ID: 70000})}}}
		for i, value := range []string{event(1, "a"), event(0.3, "k\xc3\xa5re:{5}"), event(9, "n"), `{"x":1,"user":"e","at":-5}`, event(1e-9, "a"), "", event(-2, "")} {
			r := &kgo.Record{Key: []byte("key"), Offset: int64(1e12) + int64(i), Timestamp: at, Headers: []kgo.RecordHeader{{Key: "traceparent"}}}
			if value != "" {
				r.Value = []byte(value)
			}
			b.records = append(b.records, r)
		}
		b.runs[0].to = len(b.records)
		b.reset(len(b.records), d, true)
		if err := s.score(b); err != nil {
			t.Fatal(err)
		}
		cached := 0
		for i := range b.out {
			if b.rows[i].reject != nil {
				t.Fatal(b.rows[i].reject.err)
			}
			got, model, err := cachedFrom(&b.out[i], cfg.Cache.TTL)
			want := b.cached[i]
			switch {
			case err != nil || model != d.Name:
				t.Errorf("%s: %v", b.out[i].Value, err)
			case want.value == nil:
				if len(got.entity) > 0 {
					t.Errorf("%s is cached", b.out[i].Value)
				}
			case !bytes.Equal(got.value, want.value), !bytes.Equal(got.entity, want.entity), got.version != want.version, got.expireAt != want.expireAt:
				t.Errorf("rebuilt\n%s, expiry %d\nwant\n%s, expiry %d", got.value, got.expireAt, want.value, want.expireAt)
			default:
				cached++
			}
		}
		if cached != 6 {
			t.Errorf("%d values compared, want 6", cached)
		}
	}
}

func FuzzCachedFrom(f *testing.F) {
	f.Add([]byte(`{"id":"in-0-5","score":0.5,"model_name":"m","model_version":"1","arm":"champion","event_time":"2026-11-24T10:00:00.123Z","scored_at":"2026-11-24T10:00:00.125Z"}`))
	f.Add([]byte(`{"id":"--1","deleted":true}`))
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, body []byte) {
		row, _, err := cachedFrom(&kgo.Record{Key: []byte("k"), Value: body}, time.Hour)
		if err == nil && !bytes.HasPrefix(row.value, []byte(`{"v":"`+string(row.version[:])+`"`)) {
			t.Errorf("%s", row.value)
		}
	})
}

// losses is scry_cache_losses_total.
func (r *running) losses(t *testing.T) float64 {
	t.Helper()
	var m dto.Metric
	if err := r.metrics.cacheLosses.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

// A restarted or emptied Redis is noticed and counted, and what it lost is healed.
func TestRedisRestartIsNoticedAndHealed(t *testing.T) {
	r := startRedis(t)
	h := newHarness(t, 2)
	h.cfg.Cache.URL = config.Secret("redis://" + r.Addr + "/0")
	h.cfg.Input.Entity = "user"
	c := h.run(doubler())
	h.produce(0, event(1, "a"), event(0.4, "b"))
	h.produce(1, event(0.2, "c"))
	if err := h.client.ProduceSync(context.Background(), &kgo.Record{Topic: "in", Partition: 1, Key: []byte("gone")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	read := func() map[string]string {
		all := map[string]string{}
		for _, user := range []string{"a", "b", "c", "gone"} {
			v, err := c.cache.get(context.Background(), []byte(user))
			if err == nil && v != nil {
				all[user] = string(v)
			}
		}
		return all
	}
	h.eventually("all is cached", func() bool { return len(read()) == 4 })
	before := read()
	if n := c.losses(t); n != 0 {
		t.Errorf("%v losses before any", n)
	}
	r.Kill()
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	h.eventually("the restart is counted", func() bool { return len(read()) == 0 && c.losses(t) == 1 })

	sum, err := RebuildCache(context.Background(), h.cfg, doubler(), Rebuild{}, Env{})
	if err != nil || sum != (Rebuilt{Written: 4}) {
		t.Errorf("rebuild: %+v, %v", sum, err)
	}
	if after := read(); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("rebuilt %v\nwant %v", after, before)
	}
	// So is one that was emptied.
	if err := clientOf(t, c.cache).FlushAll(context.Background()).Err(); err != nil {
		t.Fatal(err)
	}
	c.cache.connected <- struct{}{} // else it looks within ten seconds
	h.eventually("the loss is counted", func() bool { return c.losses(t) == 2 })
	if sum, err = RebuildCache(context.Background(), h.cfg, doubler(), Rebuild{}, Env{}); err != nil || sum != (Rebuilt{Written: 4}) {
		t.Errorf("rebuild: %+v, %v", sum, err)
	}
	// Again, and of another model, nothing changes.
	if sum, err = RebuildCache(context.Background(), h.cfg, doubler(), Rebuild{}, Env{}); err != nil || sum != (Rebuilt{Unchanged: 4}) {
		t.Errorf("rebuild again: %+v, %v", sum, err)
	}
	if sum, err = RebuildCache(context.Background(), h.cfg, doubler(), Rebuild{Since: time.Now().Add(time.Hour)}, Env{}); err != nil || sum != (Rebuilt{}) {
		t.Errorf("since a later time: %+v, %v", sum, err)
	}
	other := doubler()
	other.Name = "other"
	if sum, err = RebuildCache(context.Background(), h.cfg, other, Rebuild{}, Env{}); err != nil || sum != (Rebuilt{Other: 4}) {
		t.Errorf("another model: %+v, %v", sum, err)
	}
}

func TestRebuildKeepsItsRate(t *testing.T) {
	h := newHarness(t, 1)
	h.cfg.Input.Entity = "user"
	h.produce(0, events(300, "a")...)
	r := h.run(doubler())
	h.read("out", 300)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if _, err := RebuildCache(context.Background(), h.cfg, doubler(), Rebuild{Rate: 500}, Env{}); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took < 500*time.Millisecond {
		t.Errorf("300 at 500 a second took %v", took)
	}
	h.cfg.Cache.URL = ""
	if _, err := RebuildCache(context.Background(), h.cfg, doubler(), Rebuild{}, Env{}); !errors.Is(err, ErrNoCache) {
		t.Errorf("without a cache: %v", err)
	}
}
