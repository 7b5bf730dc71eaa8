package main

import (
	"context"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kgo"

	"scry/internal/testenv"
)

// TestRedisShowsOnlyWhatIsCommitted fills Redis from the output topic while processes
// are killed and a transaction of another program is open in it: nothing behind its
// begin is in Redis before its end, nothing in it ever is, and at rest each key holds
// the newest committed prediction.
func TestRedisShowsOnlyWhatIsCommitted(t *testing.T) {
	r := newOwnRedis(t)
	w := newWorldAt(t, testenv.Kafka(t), r.server.Addr, 2)
	events, _ := sharedEvents(t)
	args := []string{"run", "-c", w.config(filepath.Join(testenv.Shared(t), "models", "osi-xgb")),
		"--set", "cache.from=output", "--set", "delivery.guarantee=exactly_once", "--set", "kafka.session_timeout=6s"}
	first := w.scry(args...)
	total := w.flood(events, 2000, 1)
	ctx := context.Background()
	w.eventually("Redis holds something", func() bool { return len(r.client.Keys(ctx, "pred:osi-xgb:*").Val()) > 0 })

	ghosts, err := kgo.NewClient(kgo.SeedBrokers(w.broker), kgo.TransactionalID(w.out), kgo.TransactionTimeout(time.Minute), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer ghosts.Close()
	if err := ghosts.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	for p := range int32(2) {
		if err := ghosts.ProduceSync(ctx, &kgo.Record{Topic: w.out, Partition: p, Key: []byte("ghost"), Value: []byte(
			`{"id":"x-0-1","entity":"ghost","score":0.5,"model_name":"osi-xgb","model_version":"1","arm":"champion","event_time":"2026-11-24T10:00:00Z","scored_at":"2026-11-24T10:00:00Z"}`)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	second := w.scry(args...)
	late := []byte(strings.Replace(string(events[0]), user(events[0]), "late", 1))
	total += w.flood(append([][]byte{late}, events...), 2000, 1)
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	total += w.flood(events, 2000, 1)
	w.eventuallyWritten("late")
	if held := w.cached(r.client, "late", "ghost"); len(held) > 0 {
		t.Errorf("Redis holds %v, which no reader can see", held)
	}
	if err := second.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := ghosts.EndTransaction(ctx, kgo.TryAbort); err != nil {
		t.Fatal(err)
	}
	w.scry(args...)

	seen := map[string]int{}
	newest := map[string]prediction{}
	w.read(w.out, 2*time.Minute, func(r *kgo.Record) bool {
		var p prediction
		if err := json.Unmarshal(r.Value, &p); err != nil {
			t.Fatal(err)
		}
		seen[p.ID]++
		if p.newer(newest[p.Entity]) {
			newest[p.Entity] = p
		}
		return len(seen) == total
	})
	for id, n := range seen {
		if n > 1 {
			t.Errorf("%s is %d times in the topic", id, n)
		}
	}
	w.eventually("each key holds the newest committed prediction", func() bool {
		for entity, want := range newest {
			v, _ := r.client.Get(ctx, "pred:osi-xgb:"+entity).Result()
			if !strings.Contains(v, `"id":"`+want.ID+`"`) {
				return false
			}
		}
		return true
	})
	if keys := r.client.Keys(ctx, "pred:osi-xgb:*").Val(); len(keys) != len(newest) {
		t.Errorf("%d keys for %d entities: %v", len(keys), len(newest), w.cached(r.client, "ghost"))
	}
	t.Logf("%d predictions of %d entities", total, len(newest))
}

// cached returns which of the entities have a key.
func (w *world) cached(client *redis.Client, entities ...string) (held []string) {
	w.t.Helper()
	for _, entity := range entities {
		n, err := client.Exists(context.Background(), "pred:osi-xgb:"+entity).Result()
		if err != nil {
			w.t.Fatal(err)
		}
		if n > 0 {
			held = append(held, entity)
		}
	}
	return held
}

// eventuallyWritten waits until the output topic holds a prediction of an entity, though
// no committed reader can see it.
func (w *world) eventuallyWritten(entity string) {
	w.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(w.broker), kgo.ConsumeTopics(w.out), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		w.t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for found := false; !found; {
		cl.PollFetches(ctx).EachRecord(func(r *kgo.Record) { found = found || string(r.Key) == entity })
		if ctx.Err() != nil {
			w.t.Fatalf("no prediction of %s in %s", entity, w.out)
		}
	}
}
