package main

import (
	"context"
	"encoding/json"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"scry/internal/testenv"
)

// TestFlushUnderLoadIsHealed empties Redis while 5,000 events a second come in, and
// rebuilds it beside the running consumer: each key holds the prediction with the
// greatest version in the output topic.
func TestFlushUnderLoadIsHealed(t *testing.T) {
	r := newOwnRedis(t)
	w := newWorldAt(t, testenv.Kafka(t), r.server.Addr, 4)
	events, _ := sharedEvents(t)
	config := w.config(filepath.Join(testenv.Shared(t), "models", "osi-xgb"))
	w.scry("run", "-c", config)

	early := w.flood(events, 5000, 1) // some of these have no event after the flush
	var load sync.WaitGroup
	total := early
	load.Go(func() { total += w.flood(events[:len(events)/2], 5000, 4) })
	w.eventually("Redis holds something", func() bool { return r.client.DBSize(context.Background()).Val() > 100 })
	if err := r.client.FlushAll(context.Background()).Err(); err != nil {
		t.Fatal(err)
	}
	code, out, log := scryNow(t, "cache", "rebuild", "-c", config, "--rate", "20000")
	if code != 0 || !strings.Contains(out, " written") {
		t.Fatalf("rebuild: %d %s%s", code, out, log)
	}
	load.Wait()

	seen := map[string]bool{}
	newest := map[string]prediction{}
	w.read(w.out, 2*time.Minute, func(r *kgo.Record) bool {
		var p prediction
		if err := json.Unmarshal(r.Value, &p); err != nil {
			t.Fatal(err)
		}
		seen[p.ID] = true
		if p.newer(newest[p.Entity]) {
			newest[p.Entity] = p
		}
		return len(seen) == total
	})
	w.eventually("each key holds its newest prediction", func() bool {
		for entity, want := range newest {
			v, _ := r.client.Get(context.Background(), "pred:osi-xgb:"+entity).Result()
			if !strings.Contains(v, `"id":"`+want.ID+`"`) {
				return false
			}
		}
		return true
	})
	t.Logf("%d predictions of %d entities; %s", total, len(newest), out)
}
