package stream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"scry/internal/config"
)

func TestCacheWritesTheNewestOfEachKeyOnce(t *testing.T) {
	s := startRedis(t)
	c := s.cache(t)
	ctx := t.Context()
	const n, keys = 5000, 700
	random := rand.New(rand.NewPCG(1, 2))
	newest := map[string][]byte{}
	rows := make([]cacheRow, n)
	for i := range rows {
		// Few times and offsets: many rows share a version, and the last of them stays.
		v := newVersion(1_764_000_000_000+random.Int64N(3), random.Int64N(3), 7)
		rows[i] = row(fmt.Sprintf("u%d", random.IntN(keys)), v, 0, fmt.Sprintf(`"row":%d`, i))
		entity := string(rows[i].entity)
		if old := newest[entity]; old == nil || string(v[:]) >= string(old[6:38]) {
			newest[entity] = rows[i].value
		}
	}
	for i, again := range []string{"first", "again: equal versions are accepted"} {
		same := i * len(newest)
		if r, err := c.write(ctx, rows); err != nil || r != (cacheResult{written: len(newest), same: same}) {
			t.Fatalf("%s: %+v, %v, want %d written, %d the same", again, r, err, len(newest), same)
		}
	}
	for entity, want := range newest {
		if got, err := c.get(ctx, []byte(entity)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s holds %s, %v, want %s", entity, got, err, want)
		}
	}
	// Each key once, 128 a run: two times six runs, and what a first use costs besides.
	stats, err := clientOf(t, c).Info(ctx, "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("cmdstat_set:calls=%d,", 2*len(newest)); !strings.Contains(stats, want) {
		t.Errorf("want %s in\n%s", want, stats)
	}
	if want := fmt.Sprintf("cmdstat_mget:calls=%d,", 2*((len(newest)+127)/128)); !strings.Contains(stats, want) {
		t.Errorf("want %s in\n%s", want, stats)
	}
}

func TestCacheOfNothing(t *testing.T) {
	c := dialCache(t, "redis://127.0.0.1:1", nil)
	if r, err := c.write(t.Context(), nil); err != nil || r != (cacheResult{}) {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestCacheHugeValues(t *testing.T) {
	c := startRedis(t).cache(t)
	var rows []cacheRow
	for i, size := range []int{10, maxPipelineBytes + 1, 3 << 20, 3 << 20, 20 << 20, 10} {
		rows = append(rows, row(fmt.Sprintf("u%d", i), newVersion(1, int64(i), 0), 0, `"x":"`+strings.Repeat("x", size)+`"`))
	}
	for range 2 {
		if r, err := c.write(t.Context(), rows); err != nil || r.written != len(rows) {
			t.Fatalf("%+v, %v", r, err)
		}
	}
	for _, row := range rows {
		if got, err := c.get(t.Context(), row.entity); err != nil || !bytes.Equal(got, row.value) {
			t.Errorf("%s holds %d bytes, %v, want %d", row.entity, len(got), err, len(row.value))
		}
	}
}

func TestCacheSurvivesScriptFlush(t *testing.T) {
	c := startRedis(t).cache(t)
	ctx := t.Context()
	rows := benchRows(1000)
	for range 3 {
		if err := clientOf(t, c).ScriptFlush(ctx).Err(); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if r, err := c.write(ctx, rows); err != nil || r.written != len(rows) {
				t.Fatalf("%+v, %v", r, err)
			}
		}
	}
}

// Every acknowledged write is on disk here, so what a restart may lose is only what
// was not acknowledged, and Retry writes that again.
func TestCacheOutlivesRedis(t *testing.T) {
	s := startRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	c := s.cache(t)
	var retries atomic.Int64
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	retry := Retry{Min: time.Millisecond, Max: 20 * time.Millisecond, Count: func(string) { retries.Add(1) }}
	const batches = 150
	acked := make(chan int64, batches) // closed when the writer is through
	var failed error
	go func() {
		defer close(acked)
		for i := int64(1); i <= batches && failed == nil; i++ {
			rows := make([]cacheRow, 300)
			for j := range rows {
				rows[j] = row(fmt.Sprintf("u%d", j), newVersion(i, int64(j), 0), 0, `"score":0.5`)
			}
			failed = retry.Do(ctx, "redis", func(ctx context.Context) error {
				r, err := c.write(ctx, rows)
				if err == nil && r.written != len(rows) {
					return Permanent(fmt.Errorf("batch %d: %+v", i, r))
				}
				return err
			})
			acked <- i
		}
	}()
	look := s.cache(t)
	for i := range acked {
		if i%40 != 0 {
			continue
		}
		s.Kill()
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
		for _, entity := range []string{"u0", "u299"} {
			var value []byte
			err := retry.Do(ctx, "redis", func(ctx context.Context) (err error) {
				value, err = look.get(ctx, []byte(entity))
				return err
			})
			if v := newVersion(i, 0, 0); err != nil || len(value) < 38 || string(value[6:18]) < string(v[:12]) {
				t.Fatalf("%s is at %s, %v, though batch %d was acknowledged", entity, value, err, i)
			}
		}
	}
	if failed != nil {
		t.Fatal(failed)
	}
	if retries.Load() == 0 {
		t.Error("no retries: Redis was not down")
	}
	last := newVersion(batches, 0, 0)
	if value, err := c.get(ctx, []byte("u0")); err != nil || string(value[6:38]) != string(last[:]) {
		t.Errorf("in the end: %s, %v", value, err)
	}
}

// What a retry cannot mend stops the stream and says what to do; the rest is retried.
func TestCacheErrors(t *testing.T) {
	s := startRedis(t, "--maxmemory-policy", "noeviction", "--enable-debug-command", "yes")
	locked := startRedis(t, "--requirepass", "right", "--user", "limited", "on", ">right", "~pred:*", "+ping", "+evalsha", "+eval", "+mget", "+time", "+hello", "+client")
	noScripts := startRedis(t, "--rename-command", "EVALSHA", "")
	admin := s.cache(t)
	rows := benchRows(200)
	set := func(args ...any) {
		t.Helper()
		if err := clientOf(t, admin).Do(context.Background(), args...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name      string
		url       string
		before    []any
		after     []any
		permanent bool
		says      string
	}{
		{name: "no password", url: locked.Addr, permanent: true, says: "NOAUTH"},
		{name: "wrong password", url: ":wrong@" + locked.Addr, permanent: true, says: "WRONGPASS"},
		{name: "wrong user", url: "who:right@" + locked.Addr, permanent: true, says: "WRONGPASS"},
		{name: "user without rights", url: "limited:right@" + locked.Addr, permanent: true, says: "+set"},
		{name: "no such database", url: s.Addr + "/99", permanent: true, says: "check the database number"},
		{name: "no scripts", url: noScripts.Addr, permanent: true, says: "unknown command"},
		{name: "nobody there", url: "127.0.0.1:1", says: "refused"},
		{name: "no such host", url: "redis.invalid:6379", says: "redis.invalid"},
		{name: "out of memory", url: s.Addr, before: []any{"config", "set", "maxmemory", "1"}, after: []any{"config", "set", "maxmemory", "0"}, says: "raise maxmemory"},
		{name: "a replica", url: s.Addr, before: []any{"replicaof", "127.0.0.1", "1"}, after: []any{"replicaof", "no", "one"}, says: "if no failover is under way"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.before != nil {
				set(c.before...)
			}
			cache := dialCache(t, "redis://"+c.url, nil)
			r, err := cache.write(t.Context(), rows)
			if err == nil || IsPermanent(err) != c.permanent || !strings.Contains(err.Error(), c.says) || r != (cacheResult{}) {
				t.Errorf("%+v, %v (permanent %v), want %q (permanent %v)", r, err, IsPermanent(err), c.says, c.permanent)
			}
			if strings.Contains(err.Error(), "right") || strings.Contains(err.Error(), "wrong@") {
				t.Errorf("%v: gives the password away", err)
			}
			if c.after == nil {
				return
			}
			set(c.after...)
			if r, err := cache.write(t.Context(), rows); err != nil || r.written != len(rows) {
				t.Errorf("afterwards: %+v, %v", r, err)
			}
		})
	}
}

// Replies that pass are retried, at the first look too, and say what to do if they stay.
func TestCacheErrorsThatPass(t *testing.T) {
	fake := miniredis.RunT(t)
	for _, c := range []struct{ reply, says string }{
		{"LOADING Redis is loading the dataset in memory", "from disk"},
		{"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", "bring that back"},
		{"CLUSTERDOWN The cluster is down", "redis-cli --cluster check"},
		{"TRYAGAIN Multiple keys request during rehashing of slot", "being moved"},
		{"NOREPLICAS Not enough good replicas to write.", "min-replicas-to-write"},
		{"MISCONF Redis is configured to save RDB snapshots", "its log"},
		{"BUSY Redis is busy running a script.", "BUSY"},
	} {
		cache := dialCache(t, "redis://"+fake.Addr(), nil)
		for range 2 { // before it is known what answers, and after
			fake.SetError(c.reply)
			if _, err := cache.write(t.Context(), benchRows(2)); err == nil || IsPermanent(err) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: %v (permanent %v), want %q", c.reply, err, IsPermanent(err), c.says)
			}
			fake.SetError("")
			if r, err := cache.write(t.Context(), benchRows(2)); err != nil || r.written+r.stale != 2 {
				t.Errorf("afterwards: %+v, %v", r, err)
			}
		}
	}
}

func TestCacheOfSomethingElse(t *testing.T) {
	plain, secure := httptest.NewServer(nil), httptest.NewTLSServer(nil)
	defer plain.Close()
	defer secure.Close()
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	for _, c := range []struct {
		scheme, addr, says string
		final              bool
	}{
		{"redis://", plain.Listener.Addr().String(), "no Redis", true},
		{"rediss://", plain.Listener.Addr().String(), "no TLS", true},
		{"rediss://", secure.Listener.Addr().String(), "in cache.tls.ca", false},
	} {
		if err := dialCache(t, c.scheme+c.addr, nil).ping(t.Context()); IsPermanent(err) != c.final || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", c.scheme, err, c.says)
		}
	}
}

func TestNewCacheRefuses(t *testing.T) {
	for _, c := range []struct{ url, model, says string }{
		{"redis://user:pa#ss@localhost:6379/0", "buyer", "percent-encoded"},
		{"redis://user:pa%zzss@localhost:6379/0", "buyer", "percent-encoded"},
		{"http://localhost:6379", "buyer", "redis://"},
		{"localhost:6379", "buyer", "redis://"},
		{"redis://localhost/zero", "buyer", "redis://"},
		{"redis://localhost", "", "without"},
		{"redis://localhost", "a:b", "without"},
		{"redis://localhost", "{a}", "without"},
	} {
		_, err := newCache(CacheConfig{URL: config.Secret(c.url)}, c.model, nil)
		if err == nil || !IsPermanent(err) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("newCache(%q, %q): %v, want %q", c.url, c.model, err, c.says)
		} else if strings.Contains(err.Error(), "pa") && strings.Contains(err.Error(), "ss@") {
			t.Errorf("%v: gives the password away", err)
		}
	}
}

func TestCacheObeysItsContext(t *testing.T) {
	s := startRedis(t)
	c := s.cache(t)
	rows := benchRows(10)
	if _, err := c.write(t.Context(), rows); err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.write(ctx, rows); !errors.Is(err, context.Canceled) || IsPermanent(err) {
		t.Errorf("cancelled: %v", err)
	}

	// A Redis that takes no writes for a minute.
	if err := clientOf(t, c).Do(t.Context(), "client", "pause", 60000, "write").Err(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := c.write(ctx, rows)
	if err == nil || IsPermanent(err) {
		t.Errorf("deadline: %v", err)
	}
	if took := time.Since(began); took > cacheTimeout/2 {
		t.Errorf("deadline of 50 ms, returned after %v", took)
	}
	if err := clientOf(t, c).Do(t.Context(), "client", "unpause").Err(); err != nil {
		t.Fatal(err)
	}
	// The connection that timed out was thrown away: no reply is taken for another's.
	if r, err := c.write(t.Context(), rows); err != nil || r.written != len(rows) {
		t.Errorf("afterwards: %+v, %v", r, err)
	}
}

func TestCacheOnMiniredis(t *testing.T) {
	server := miniredis.RunT(t)
	dials, served := 0, server.Addr()
	c := dialCache(t, "redis://cache.example:6379", func(ctx context.Context, network, addr string) (net.Conn, error) {
		if dials++; addr != "cache.example:6379" {
			t.Errorf("dialed %s", addr)
		}
		return (&net.Dialer{}).DialContext(ctx, network, served)
	})
	ctx := t.Context()
	now := time.Now().UnixMilli()
	at := func(ms int64, ttl time.Duration, body string) cacheRow {
		return row("u1", newVersion(ms, 1, 0), expiry(ms, ttl), body)
	}
	for _, step := range []struct {
		name string
		row  cacheRow
		want cacheResult
	}{
		{"the first", at(now, time.Hour, `"score":1`), cacheResult{written: 1}},
		{"an equal one", at(now, time.Hour, `"score":1`), cacheResult{written: 1, same: 1}},
		{"of the same event", at(now, time.Hour, `"score":2`), cacheResult{written: 1}},
		{"an older one", at(now-1, time.Hour, `"score":0`), cacheResult{stale: 1}},
		{"an expired one", at(now-3_600_000, time.Hour, `"score":0`), cacheResult{expired: 1}},
		{"a tombstone", at(now+1, time.Hour, `"deleted":true`), cacheResult{written: 1}},
		{"what came before it", at(now, time.Hour, `"score":1`), cacheResult{stale: 1}},
	} {
		if r, err := c.write(ctx, []cacheRow{step.row}); err != nil || r != step.want {
			t.Errorf("%s: %+v, %v, want %+v", step.name, r, err, step.want)
		}
	}
	if value, err := c.get(ctx, []byte("u1")); err != nil || !bytes.Contains(value, []byte("deleted")) {
		t.Errorf("in the end: %s, %v", value, err)
	}
	if ttl := server.TTL("pred:buyer:u1"); ttl < 59*time.Minute || ttl > time.Hour+time.Second {
		t.Errorf("TTL %v", ttl)
	}
	if value, err := c.get(ctx, []byte("u2")); err != nil || value != nil {
		t.Errorf("an unknown entity: %s, %v", value, err)
	}
	if err := c.ping(ctx); err != nil {
		t.Error(err)
	}
	server.Close()
	if err := c.ping(ctx); err == nil || IsPermanent(err) {
		t.Errorf("ping of a closed server: %v", err)
	}
	if dials == 0 {
		t.Error("the given dial was not used")
	}
}
