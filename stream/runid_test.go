package stream

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"scry/internal/config"
	"scry/internal/testenv"
)

// Redis that is emptied is noticed by each process, once, and a neighbour's FLUSHDB is not.
func TestEmptiedRedisIsSeenOnce(t *testing.T) {
	fake := miniredis.RunT(t).Addr()
	for name, addr := range map[string]func() string{"fake": func() string { return fake }, "real": func() string { return startRedis(t).Addr }} {
		t.Run(name, func(t *testing.T) {
			addr, ctx := addr(), context.Background()
			dial := func(db, model string) *redisWatch {
				c, err := newCache(CacheConfig{URL: config.Secret("redis://" + addr + "/" + db)}, model, nil)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { c.close() })
				return &redisWatch{cache: c}
			}
			a, b, other, elsewhere := dial("0", "m"), dial("0", "m"), dial("0", "n"), dial("1", "m")
			all := []*redisWatch{a, b, other, elsewhere}
			looks := func(what string, want ...*redisWatch) {
				t.Helper()
				for range 2 {
					var seen []*redisWatch
					for _, w := range all {
						if loss := w.look(ctx); loss != "" {
							seen = append(seen, w)
						}
					}
					if len(seen) != len(want) {
						t.Fatalf("%s: %d saw a loss, want %d", what, len(seen), len(want))
					}
					for i := range want {
						if seen[i] != want[i] {
							t.Errorf("%s: another saw a loss than should", what)
						}
					}
					want = nil // the second look finds nothing
				}
			}
			looks("at first")
			if a.mark == "" || a.mark != b.mark || a.mark == other.mark {
				t.Fatalf("marks %q %q %q", a.mark, b.mark, other.mark)
			}
			clientOf(t, elsewhere.cache).FlushDB(ctx)
			looks("FLUSHDB of database 1", elsewhere)
			clientOf(t, a.cache).FlushDB(ctx)
			looks("FLUSHDB of database 0", a, b, other)
			clientOf(t, a.cache).FlushAll(ctx)
			looks("FLUSHALL", all...)
			clientOf(t, a.cache).Del(ctx, "pred:m") // as if evicted
			looks("evicted", a, b)
			if ttl := clientOf(t, a.cache).TTL(ctx, "pred:m").Val(); ttl != -1 {
				t.Errorf("the mark expires in %v", ttl)
			}
		})
	}
}

// In a cluster one of the masters holds the mark.
func TestEmptiedClusterIsSeenOnce(t *testing.T) {
	cluster := testenv.StartRedisCluster(t)
	w := redisWatch{cache: dialCache(t, "redis://"+cluster.Masters[0].Addr, nil)}
	for range 2 {
		if loss := w.look(t.Context()); loss != "" || w.mark == "" {
			t.Fatalf("%q, %+v", loss, w)
		}
	}
	for _, m := range cluster.Masters {
		m.Do(t, "flushall")
	}
	if w.look(t.Context()) == "" {
		t.Error("not seen")
	}
	if loss := w.look(t.Context()); loss != "" {
		t.Errorf("again: %s", loss)
	}
}

// A Redis that does not answer has lost nothing yet; one that was restarted has lost once.
func TestRestartIsOneLoss(t *testing.T) {
	r := startRedis(t)
	w := redisWatch{cache: r.cache(t)}
	ctx := context.Background()
	if loss := w.look(ctx); loss != "" || w.runs == nil || w.mark == "" {
		t.Fatalf("%q, %+v", loss, w)
	}
	r.Kill()
	if loss := w.look(ctx); loss != "" {
		t.Errorf("while it is away: %s", loss)
	}
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	if w.look(ctx) == "" {
		t.Error("a restart is not seen")
	}
	if loss := w.look(ctx); loss != "" {
		t.Errorf("again: %s", loss)
	}
}

// The rights that the mend names are enough for all of it, and what is not allowed is
// not watched and no cause for alarm.
func TestRights(t *testing.T) {
	r := startRedis(t)
	ctx := context.Background()
	admin := redis.NewClient(&redis.Options{Addr: r.Addr})
	defer admin.Close()
	named, _, _ := strings.Cut(cacheRights, " (")
	user := []any{"acl", "setuser", "scry", "reset", "on", "nopass"}
	for _, word := range strings.Fields(named) {
		if strings.ContainsAny(word[:1], "+~") {
			user = append(user, word)
		}
	}
	for _, c := range []struct {
		taken []any
		seen  bool // that it was emptied
	}{{nil, true}, {[]any{"-info"}, true}, {[]any{"-set"}, false}} {
		if err := admin.Do(ctx, append(user[:len(user):len(user)], c.taken...)...).Err(); err != nil {
			t.Fatal(err)
		}
		cache := dialCache(t, "redis://scry:x@"+r.Addr+"/0", nil)
		w := redisWatch{cache: cache}
		for range 2 {
			if loss := w.look(ctx); loss != "" {
				t.Errorf("without %v: %s", c.taken, loss)
			}
		}
		if c.taken == nil {
			v := newVersion(1, 1, 1)
			rows := []cacheRow{{entity: []byte("a"), version: v, value: []byte(`{"v":"` + string(v[:]) + `"}`)}}
			if got, err := cache.write(ctx, rows); err != nil || got.written != 1 {
				t.Errorf("%+v, %v", got, err)
			}
			if value, err := cache.get(ctx, []byte("a")); err != nil || !bytes.Equal(value, rows[0].value) {
				t.Errorf("%s, %v", value, err)
			}
			if err := cache.ping(ctx); err != nil || w.runs == nil {
				t.Errorf("run ids %q, %v", w.runs, err)
			}
		}
		admin.FlushAll(ctx)
		if loss := w.look(ctx); (loss != "") != c.seen {
			t.Errorf("without %v, emptied: %q", c.taken, loss)
		}
	}
}

// That Redis is away is known before there is something to write.
func TestRedisAwayIsToldWhileNothingFlows(t *testing.T) {
	for _, from := range []string{"input", "output"} {
		t.Run(from, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t, 1)
			h.cfg.Input.Entity, h.cfg.Cache.From = "user", from
			c := h.run(doubler())
			h.produce(0, event(1, "a"))
			h.eventually("cached", func() bool { return len(h.redis.Keys()) > 1 })
			h.redis.Close()
			h.eventually("redis is down", func() bool { return c.Health().isDown("redis") })
			h.restartRedis()
			h.eventually("redis is back", func() bool { return !c.Health().isDown("redis") })
		})
	}
}
