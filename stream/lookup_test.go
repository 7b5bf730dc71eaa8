package stream

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"scry/internal/config"
	"scry/predictor"
)

func TestLookupTellsTheStateOfAKey(t *testing.T) {
	now := time.Now().UTC()
	v := `{"v":"` + strings.Repeat("0", 32) + `"`
	value := func(model string, age time.Duration, more string) string {
		return v + more + `,"model":"` + model + `","event_time":"` + now.Add(-age).Format(time.RFC3339Nano) + `"}`
	}
	stored := map[string]string{
		"fresh":    value("half/1", time.Minute, `,"score":0.25`),
		"old":      value("half/1", 2*time.Hour, `,"score":0.25`),
		"upgraded": value("half/0", time.Minute, `,"score":0.25`),
		"deleted":  value("half/0", time.Minute, `,"deleted":true`),
		"foreign":  `hello`,
		"broken":   v + `,"score":`,
	}
	want := map[string]string{"fresh": Fresh, "old": Stale, "upgraded": Stale, "deleted": Deleted,
		"foreign": Missing, "broken": Missing, "nobody": Missing}

	server := miniredis.RunT(t)
	for entity, s := range stored {
		server.Set("pred:half:"+entity, s)
	}
	r, err := OpenCache(CacheConfig{URL: config.Secret("redis://" + server.Addr()), TTL: time.Hour}, &predictor.Deployment{Name: "half", Version: "1"})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for entity, state := range want {
		got, err := r.Lookup(t.Context(), entity)
		if err != nil || got.State != state || got.Entity != entity {
			t.Errorf("%s: %+v, %v, want %s", entity, got, err, state)
		}
		if wantValue := stored[entity]; (state != Missing) != (string(got.Value) == wantValue && wantValue != "") {
			t.Errorf("%s: value %q", entity, got.Value)
		}
		if why := state == Stale || entity == "foreign" || entity == "broken"; (got.Why != "") != why {
			t.Errorf("%s: why %q", entity, got.Why)
		}
	}

	server.SetError("LOADING")
	if _, err := r.Lookup(t.Context(), "fresh"); err == nil {
		t.Error("no error of a Redis that answers with one")
	}
}

func TestLookupWithoutACache(t *testing.T) {
	cfg := DefaultConfig()
	c, err := New(cfg, doubler(), Env{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Lookup(context.Background(), "u"); !errors.Is(err, ErrNoCache) {
		t.Errorf("%v, want ErrNoCache", err)
	}
	if _, err := OpenCache(cfg.Cache, doubler()); !errors.Is(err, ErrNoCache) {
		t.Errorf("%v, want ErrNoCache", err)
	}
}

// Checks and Ready are two views of the same thing.
func TestChecksAgreeWithReady(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Cache.URL = "redis://localhost:1"
	c, err := New(cfg, doubler(), Env{})
	if err != nil {
		t.Fatal(err)
	}
	agree := func(failing ...string) {
		t.Helper()
		var got []string
		for _, check := range c.Health().Checks() {
			if check.Err != nil {
				got = append(got, check.Name)
			}
		}
		if strings.Join(got, " ") != strings.Join(failing, " ") {
			t.Errorf("failing checks %q, want %q", got, failing)
		}
		if err := c.Health().Ready(); (err == nil) != (len(failing) == 0) {
			t.Errorf("Ready: %v while %q fail", err, failing)
		}
	}
	h, down := c.health, errors.New("down")
	agree("partitions")
	h.start()
	agree()
	h.report("redis", down)
	h.report("kafka", down)
	agree("kafka", "redis")
	h.report("kafka", nil)
	h.hold(down)
	agree("delivery", "redis")
	h.report("redis", nil)
	h.hold(nil)
	agree()
	h.stopping()
	agree("running")
}
