package stream

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"scry/internal/config"
	"scry/internal/testenv"
)

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

// A user with a password of its own, by TLS, through a failover.
func TestCacheSetsOverTLS(t *testing.T) {
	files := newAuthority(t, time.Now().Add(time.Hour)).writeClient(t.TempDir())
	args := []string{"--tls-cert-file", files.Cert, "--tls-key-file", files.Key, "--tls-ca-cert-file", files.CA,
		"--user", "scry", "on", ">pw", "~pred:*", "+@all"}
	survives := func(t *testing.T, cfg CacheConfig, master *testenv.RedisServer) {
		t.Helper()
		cfg.TLS = files
		c := openCache(t, cfg, nil)
		rows := spread(1000)
		for tick, kill := range []func(){func() {}, master.Kill} {
			kill()
			later(rows, int64(tick))
			outlasts(t, c, rows)
		}
	}
	t.Run("cluster", func(t *testing.T) {
		t.Parallel()
		cluster := testenv.StartRedisCluster(t, args...)
		survives(t, CacheConfig{URL: config.Secret("rediss://scry:pw@" + cluster.Replicas[0].Addr)}, cluster.Masters[1])
	})
	t.Run("sentinels", func(t *testing.T) {
		t.Parallel()
		s := testenv.StartRedisSentinels(t, args...)
		survives(t, CacheConfig{URL: config.Secret("rediss://scry:pw@" + s.Sentinels[0].Addr), Sentinel: SentinelConfig{Master: s.Name}}, s.Master)
	})
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
