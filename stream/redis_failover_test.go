package stream

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"scry/internal/config"
	"scry/internal/testenv"
)

// The master is killed while predictions are written. The consumer goes on by itself with the
// replica that takes over, which is counted, and what that had not got a rebuild brings back.
func TestFailoverUnderLoad(t *testing.T) {
	for _, mode := range []struct {
		name  string
		start func(*testing.T) (cfg CacheConfig, master *testenv.RedisServer)
	}{
		{"cluster", func(t *testing.T) (CacheConfig, *testenv.RedisServer) {
			c := testenv.StartRedisCluster(t)
			return CacheConfig{URL: config.Secret("redis://" + c.Masters[1].Addr + "?addr=" + c.Masters[2].Addr)}, c.Masters[1]
		}},
		{"sentinels", func(t *testing.T) (CacheConfig, *testenv.RedisServer) {
			s := testenv.StartRedisSentinels(t)
			return CacheConfig{URL: config.Secret("redis://" + s.Sentinels[0].Addr), Sentinel: SentinelConfig{Master: s.Name}}, s.Master
		}},
	} {
		t.Run(mode.name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t, 2)
			h.cfg.Input.Entity = "user"
			redis, master := mode.start(t)
			redis.TTL, redis.OnFailure = h.cfg.Cache.TTL, "block"
			h.cfg.Cache = redis
			c := h.run(doubler())
			produced := 0
			batch := func() {
				for p := range int32(2) {
					var some []string
					for i := range 200 {
						// Of each user now the earlier event comes later.
						at := time.Now().Add(time.Duration(-i%3) * time.Second).UnixMilli()
						some = append(some, fmt.Sprintf(`{"x":%d,"user":"u%d","at":%d}`, i, (i*7+produced)%500, at))
					}
					h.produce(p, some...)
				}
				produced += 200
			}
			committed := func() int64 { return min(h.committed(0), h.committed(1)) }
			for committed() < 400 {
				batch()
			}
			h.eventually("the masters are known", func() bool { return len(c.cache.runIDs(t.Context())) > 0 })
			master.Kill()
			for range 10 {
				batch()
			}
			// To be through all of this the cache must have been written after the failover.
			h.eventually("all is committed", func() bool { return committed() == int64(produced) })
			h.eventually("the failover is counted", func() bool { return c.losses(t) > 0 })
			if err := c.stop(); err != nil {
				t.Fatal(err)
			}

			if _, err := RebuildCache(t.Context(), h.cfg, doubler(), Rebuild{}, Env{}); err != nil {
				t.Fatal(err)
			}
			greatest := map[string]cacheRow{}
			for _, r := range h.read("out", 2*produced) {
				row, _, err := cachedFrom(r, h.cfg.Cache.TTL)
				if err != nil {
					t.Fatal(err)
				}
				if old, ok := greatest[string(row.entity)]; !ok || old.version.less(&row.version) {
					greatest[string(row.entity)] = row
				}
			}
			reader, err := OpenCache(h.cfg.Cache, doubler())
			if err != nil {
				t.Fatal(err)
			}
			defer reader.Close()
			for entity, want := range greatest {
				var got struct{ V string }
				found, err := reader.Lookup(t.Context(), entity)
				if err == nil {
					err = json.Unmarshal(found.Value, &got)
				}
				if err != nil || got.V != string(want.version[:]) || found.State != Fresh {
					t.Errorf("%s is %s at %s, %v, want version %s", entity, found.State, found.Value, err, want.version[:])
				}
			}
		})
	}
}
