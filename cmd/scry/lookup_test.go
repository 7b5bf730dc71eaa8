package main

import (
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"scry/internal/config"
	"scry/predictor"
	"scry/stream"
)

func TestLookup(t *testing.T) {
	server := miniredis.RunT(t)
	at := time.Now().UTC().Format(time.RFC3339)
	fresh := `{"v":"` + strings.Repeat("0", 32) + `","score":0.830,"label":"b\u001b[2Juy","model":"shop/7","event_time":"` + at + `"}`
	server.Set("pred:shop:u42", fresh)
	cfg := stream.CacheConfig{URL: config.Secret("redis://" + server.Addr()), TTL: time.Hour}
	cache, err := stream.OpenCache(cfg, &predictor.Deployment{Name: "shop", Version: "7"})
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close()

	look := func(asJSON bool, keys ...string) (string, error) {
		var out strings.Builder
		err := lookUp(t.Context(), &out, cache, keys, asJSON)
		return out.String(), err
	}
	got, err := look(false, "u42")
	want := "ENTITY  STATE  SCORE  LABEL    MODEL   EVENT TIME\n" +
		"u42     fresh  0.830  b\uFFFD[2Juy  shop/7  " + at + "\n"
	if err != nil || got != want {
		t.Errorf("%v\n%s\nwant\n%s", err, got, want)
	}
	got, err = look(true, "u42", "u<43>")
	want = `{"entity":"u42","state":"fresh","value":` + fresh + "}\n" + `{"entity":"u<43>","state":"missing"}` + "\n"
	if err == nil || !strings.Contains(err.Error(), "1 of 2") || got != want {
		t.Errorf("%v\n%s\nwant\n%s", err, got, want)
	}
	server.Close()
	if _, err := look(false, "u42"); err == nil {
		t.Error("no error without Redis")
	}
}
