package stream

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"scry/internal/config"
	"scry/internal/testenv"
)

// Keys share no slot, but for one in ten, which share one by a hash tag.
func spread(n int) []cacheRow {
	rows := benchRows(n)
	for i := range rows {
		if i%10 == 0 {
			rows[i].entity = fmt.Appendf(nil, "{tag}%d", i)
		}
	}
	return rows
}

// later gives rows the version and value of a later event.
func later(rows []cacheRow, tick int64) {
	v := newVersion(1_764_000_000_000+tick, 0, 0)
	for i := range rows {
		copy(rows[i].version[:12], v[:12])
		copy(rows[i].value[6:18], v[:12])
	}
}

// holds fails unless the cache has exactly the values of rows.
func holds(t *testing.T, c *cache, rows []cacheRow) {
	t.Helper()
	for i := range rows {
		if got, err := c.get(t.Context(), rows[i].entity); err != nil || string(got) != string(rows[i].value) {
			t.Fatalf("%s holds %s, %v, want %s", rows[i].entity, got, err, rows[i].value)
		}
	}
}

func TestCacheOnACluster(t *testing.T) {
	cluster := testenv.StartRedisCluster(t)
	// Any node will do, and one that is not there does no harm when another is.
	c := dialCache(t, "redis://127.0.0.1:1/0?addr="+cluster.Replicas[1].Addr, nil)
	rows := spread(5000)
	later(rows, 1)
	check := func(what string, want cacheResult) {
		t.Helper()
		if r, err := c.write(t.Context(), rows); err != nil || r != want {
			t.Fatalf("%s: %+v, %v, want %+v", what, r, err, want)
		}
	}
	check("new keys", cacheResult{written: 5000})
	check("once more", cacheResult{written: 5000, same: 5000})
	holds(t, c, rows)
	later(rows, 0)
	check("older ones", cacheResult{stale: 5000})
	for _, m := range cluster.Masters {
		if errors := m.Do(t, "info", "errorstats").(string); strings.Contains(errors, "MOVED") {
			t.Errorf("keys were sent to the wrong node: %s", errors)
		}
		if n := m.Do(t, "dbsize").(int64); n < 1200 {
			t.Errorf("%d of 5000 keys are on one of three nodes", n)
		}
		m.Do(t, "script", "flush")
	}
	later(rows, 2)
	check("without the script", cacheResult{written: 5000})
	holds(t, c, rows)
	if err := c.ping(t.Context()); err != nil {
		t.Error(err)
	}
	other, err := newCache(CacheConfig{URL: config.Secret("redis://" + cluster.Masters[0].Addr)}, "buyers", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer other.close()
	if _, err := other.write(t.Context(), rows); err != nil {
		t.Fatal(err)
	}
	if err := EmptyCache(t.Context(), CacheConfig{URL: config.Secret("redis://" + cluster.Masters[2].Addr)}, "buyer"); err != nil {
		t.Fatal(err)
	}
	if value, err := c.get(t.Context(), rows[7].entity); err != nil || value != nil {
		t.Errorf("after it was emptied: %s, %v", value, err)
	}
	holds(t, other, rows)
	check("into the empty cache", cacheResult{written: 5000})

	// With one node less its replica is found, and not only at the client's next look at the
	// cluster, which it takes once a minute.
	cluster.Masters[1].Kill()
	outlasts(t, c, rows)
}

// outlasts writes rows, for as long as a failover takes, and fails unless the cache has them then.
func outlasts(t *testing.T, c *cache, rows []cacheRow) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := (Retry{Max: 100 * time.Millisecond}).Do(ctx, "redis", func(ctx context.Context) error {
		_, err := c.write(ctx, rows)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	holds(t, c, rows)
}

// A slot moves while it is written: half of its keys are here, half are there.
func TestCacheFollowsAMovingSlot(t *testing.T) {
	cluster := testenv.StartRedisCluster(t)
	c := dialCache(t, "redis://"+cluster.Masters[0].Addr, nil)
	rows := spread(2000)
	write := func(tick int64) {
		t.Helper()
		later(rows, tick)
		if r, err := c.write(t.Context(), rows); err != nil || r.written != len(rows) {
			t.Fatalf("%+v, %v", r, err)
		}
		holds(t, c, rows)
	}
	write(1)
	moves(t, cluster, "tag", func() { write(2) })
	write(3)
}

// moves takes the slot of a tag to another node, and calls halfway when half is there.
func moves(t *testing.T, cluster *testenv.RedisCluster, tag string, halfway func()) {
	t.Helper()
	slot := cluster.Masters[0].Do(t, "cluster", "keyslot", tag)
	at := int(slot.(int64)) * 3 / 16384
	from, to := cluster.Masters[at], cluster.Masters[(at+1)%3]
	fromID, toID := from.Do(t, "cluster", "myid"), to.Do(t, "cluster", "myid")
	to.Do(t, "cluster", "setslot", slot, "importing", fromID)
	from.Do(t, "cluster", "setslot", slot, "migrating", toID)
	host, port, _ := net.SplitHostPort(to.Addr)
	migrate := func(n int) {
		keys := from.Do(t, "cluster", "getkeysinslot", slot, n).([]any)
		if len(keys) == 0 {
			t.Fatal("no keys to move")
		}
		from.Do(t, append([]any{"migrate", host, port, "", 0, 5000, "keys"}, keys...)...)
	}
	migrate(50)
	halfway()
	migrate(10000)
	for _, node := range []*testenv.RedisServer{to, from} {
		node.Do(t, "cluster", "setslot", slot, "node", toID)
	}
}

func TestCacheOnSentinels(t *testing.T) {
	s := testenv.StartRedisSentinels(t)
	cfg := CacheConfig{URL: config.Secret("redis://127.0.0.1:1/0?addr=" + s.Sentinels[0].Addr), Sentinel: SentinelConfig{Master: s.Name}}
	c := openCache(t, cfg, nil)
	rows := spread(1000)
	later(rows, 1)
	if r, err := c.write(t.Context(), rows); err != nil || r.written != len(rows) {
		t.Fatalf("%+v, %v", r, err)
	}
	holds(t, c, rows)
}

func TestCacheModesAtFault(t *testing.T) {
	single, second := startRedis(t), startRedis(t)
	sentinels, cluster := testenv.StartRedisSentinels(t), testenv.StartRedisCluster(t)
	for _, c := range []struct {
		name, url string
		sentinel  SentinelConfig
		permanent bool
		says      string
	}{
		{"two single servers", single.Addr + "?addr=" + second.Addr, SentinelConfig{}, true, "write one"},
		{"none is there", "127.0.0.1:1?addr=127.0.0.1:2", SentinelConfig{}, false, "127.0.0.1:2"},
		{"a Sentinel unnamed", sentinels.Sentinels[0].Addr, SentinelConfig{}, true, "cache.sentinel.master"},
		{"another master", sentinels.Sentinels[0].Addr, SentinelConfig{Master: "other"}, false, "check cache.sentinel.master"},
		{"no Sentinel", single.Addr, SentinelConfig{Master: "cache"}, true, "26379"},
		{"a database of a cluster", cluster.Masters[0].Addr + "/3", SentinelConfig{}, true, "take the number out"},
	} {
		cfg := CacheConfig{URL: config.Secret("redis://" + c.url), Sentinel: c.sentinel}
		_, err := openCache(t, cfg, nil).get(t.Context(), []byte("u1"))
		if err == nil || IsPermanent(err) != c.permanent || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v (permanent %v), want %q (permanent %v)", c.name, err, IsPermanent(err), c.says, c.permanent)
		}
		all := redisPreflight(t.Context(), cfg, nil)
		if len(all) != 1 || all[0].Level != Fail {
			t.Errorf("%s: preflight finds\n%s", c.name, listed(all))
		}
	}

	ok := CacheConfig{URL: config.Secret("redis://" + sentinels.Sentinels[0].Addr), Sentinel: SentinelConfig{Master: sentinels.Name}}
	found(t, redisPreflight(t.Context(), ok, nil), OK, "redis", "cache, named by the Sentinels at redis://"+sentinels.Sentinels[0].Addr+" answers, Redis ")
	found(t, redisPreflight(t.Context(), ok, nil), OK, "redis", "2 replicas")
	ok = CacheConfig{URL: config.Secret("redis://" + cluster.Replicas[0].Addr)}
	found(t, redisPreflight(t.Context(), ok, nil), OK, "redis", "a cluster with 3 masters")

	// Two of three masters at once are more than a cluster can vote on.
	c := openCache(t, ok, nil)
	if err := c.ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*testenv.RedisServer{cluster.Masters[1], cluster.Masters[2], cluster.Replicas[1], cluster.Replicas[2]} {
		s.Kill()
	}
	entity := []byte("{" + tagOn(t, cluster.Masters[0], 0) + "}")
	var err error
	for began := time.Now(); time.Since(began) < 20*time.Second; {
		if _, err = c.get(t.Context(), entity); err != nil && strings.Contains(err.Error(), "CLUSTERDOWN") {
			break
		}
	}
	if err == nil || IsPermanent(err) || !strings.Contains(err.Error(), "redis-cli --cluster check") {
		t.Errorf("a broken cluster: %v", err)
	}
}

// tagOn returns a hash tag of a slot in the first, second or last third.
func tagOn(t *testing.T, s *testenv.RedisServer, third int64) string {
	t.Helper()
	for i := 0; ; i++ {
		tag := fmt.Sprint(i)
		if slot := s.Do(t, "cluster", "keyslot", tag).(int64); slot*3/16384 == third {
			return tag
		}
	}
}
