package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
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
	check("once more", cacheResult{written: 5000})
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
	// With one node less its replica is found, and not only at the client's next look at the
	// cluster, which it takes once a minute.
	cluster.Masters[1].Kill()
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

func TestCacheOverTLS(t *testing.T) {
	ours, theirs := newAuthority(t, time.Now().Add(time.Hour)), newAuthority(t, time.Now().Add(2*time.Hour))
	dir := t.TempDir()
	files := ours.writeClient(dir)
	s := startRedis(t, "--tls-cert-file", files.Cert, "--tls-key-file", files.Key, "--tls-ca-cert-file", files.CA, "--requirepass", "secret")
	url := config.Secret("rediss://:secret@" + s.Addr)
	at := t.TempDir()
	tls := ours.writeClient(at)
	noClient := TLSConfig{CA: tls.CA}
	for _, c := range []struct {
		name string
		url  config.Secret
		tls  TLSConfig
		says string
	}{
		{"rediss", url, TLSConfig{CA: tls.CA, Cert: tls.Cert, Key: tls.Key}, ""},
		{"enabled", "redis" + url[len("rediss"):], tls, ""},
		{"another authority", url, theirs.writeClient(t.TempDir()), "give the authority of Redis in cache.tls.ca"},
		{"no client certificate", url, noClient, "check cache.tls.cert and cache.tls.key"},
		{"another name", url, TLSConfig{CA: tls.CA, Cert: tls.Cert, Key: tls.Key, ServerName: "redis.example"}, "cache.tls.server_name"},
	} {
		err := openCache(t, CacheConfig{URL: c.url, TLS: c.tls}, nil).ping(t.Context())
		switch {
		case c.says == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.says != "" && (err == nil || IsPermanent(err) || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%s: %v, want %q, not permanent", c.name, err, c.says)
		}
	}
	if _, err := newCache(CacheConfig{URL: url, TLS: TLSConfig{CA: filepath.Join(at, "none")}}, "buyer", nil); !IsPermanent(err) || !strings.Contains(err.Error(), "cache.tls.ca") {
		t.Errorf("no such file: %v", err)
	}
	// Files that were wrong are read again.
	c := openCache(t, CacheConfig{URL: url, TLS: theirs.writeClient(at)}, nil)
	if err := c.ping(t.Context()); err == nil {
		t.Error("let in with another authority's certificate")
	}
	ours.writeClient(at)
	if err := c.ping(t.Context()); err != nil {
		t.Error(err)
	}
}

// The rights are docs/cache.md's; without any one of them something fails.
func TestCacheRights(t *testing.T) {
	rights := []any{"~pred:*", "+eval", "+evalsha", "+mget", "+time", "+set", "+get", "+ping", "+info"}
	user := func(t *testing.T, s *testenv.RedisServer, rights ...any) {
		t.Helper()
		s.Do(t, append([]any{"acl", "setuser", "scry", "reset", "on", ">pw"}, rights...)...)
	}
	rows := spread(1000)
	problem := func(c *cache) error {
		if r, err := c.write(t.Context(), rows); err != nil || r.written != len(rows) {
			return fmt.Errorf("write: %+v, %w", r, err)
		}
		if _, err := c.get(t.Context(), rows[0].entity); err != nil {
			return err
		}
		if c.runIDs(t.Context()) == nil {
			return errors.New("no run ids")
		}
		return c.ping(t.Context())
	}
	use := func(t *testing.T, c *cache) {
		t.Helper()
		if err := problem(c); err != nil {
			t.Error(err)
		}
	}
	t.Run("single", func(t *testing.T) {
		s := startRedis(t)
		url := "redis://scry:pw@" + s.Addr
		user(t, s.RedisServer, rights...)
		use(t, dialCache(t, url, nil))
		for i, right := range rights {
			s.Do(t, "script", "flush")
			user(t, s.RedisServer, slices.Delete(slices.Clone(rights), i, i+1)...)
			if problem(dialCache(t, url, nil)) == nil {
				t.Errorf("%s is not needed", right)
			}
		}
	})
	t.Run("cluster", func(t *testing.T) {
		cluster := testenv.StartRedisCluster(t)
		for _, nodes := range [][]*testenv.RedisServer{cluster.Masters, cluster.Replicas} {
			for _, s := range nodes {
				user(t, s, append(rights, "+cluster|slots", "+asking")...)
			}
		}
		c := dialCache(t, "redis://scry:pw@"+cluster.Masters[2].Addr, nil)
		use(t, c)
		moves(t, cluster, "tag", func() { use(t, c) })
		use(t, c)
	})
	t.Run("sentinels", func(t *testing.T) {
		s := testenv.StartRedisSentinels(t)
		user(t, s.Master, rights...)
		for _, sentinel := range s.Sentinels {
			sentinel.Do(t, "acl", "setuser", "asker", "reset", "on", ">pw2", "+sentinel|get-master-addr-by-name", "+sentinel|sentinels", "+subscribe", "+ping", "&+switch-master", "&+replica-reconf-done")
			sentinel.Do(t, "acl", "setuser", "default", "off")
		}
		cfg := CacheConfig{URL: config.Secret("redis://scry:pw@" + s.Sentinels[1].Addr), Sentinel: SentinelConfig{Master: s.Name, User: "asker", Password: "pw2"}}
		use(t, openCache(t, cfg, nil))
		cfg.Sentinel.Password = "wrong"
		if err := openCache(t, cfg, nil).ping(t.Context()); !IsPermanent(err) || !strings.Contains(err.Error(), "cache.sentinel.password") {
			t.Errorf("a wrong password for the Sentinels: %v", err)
		}
	})
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
