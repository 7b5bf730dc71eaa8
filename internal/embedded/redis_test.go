package embedded

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func dialRedis(t testing.TB, r *Redis) *redis.Client {
	t.Helper()
	options, err := redis.ParseURL(r.URL())
	if err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(options)
	t.Cleanup(func() { c.Close() })
	return c
}

func TestRedisKeepsAndExpires(t *testing.T) {
	r, err := startRedis("127.0.0.1:0", 5*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c, ctx := dialRedis(t, r), t.Context()
	if err := c.Set(ctx, "stays", "1", time.Hour).Err(); err != nil {
		t.Fatal(err)
	}
	if err := c.Set(ctx, "goes", "1", 50*time.Millisecond).Err(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the key expires", func() bool {
		return errors.Is(c.Get(ctx, "goes").Err(), redis.Nil)
	})
	if got := c.Get(ctx, "stays").Val(); got != "1" {
		t.Errorf("got %q", got)
	}
	if left := c.TTL(ctx, "stays").Val(); left <= 0 || left > time.Hour {
		t.Errorf("an hour's key has %v left", left)
	}
}

// guard has every command and operator that the cache's script is made of.
const guard = `
local stored = redis.call('MGET', unpack(KEYS))
local now = redis.call('TIME')
local ms = now[1] * 1000 + math.floor(now[2] / 1000)
local dropped = 0
for i, key in ipairs(KEYS) do
  local value, expiry = ARGV[2*i-1], ARGV[2*i]
  local old = stored[i]
  if (old and string.sub(value, 7, 38) < string.sub(old, 7, 38)) or tonumber(expiry) <= ms then
    dropped = dropped + 1
  else
    redis.call('SET', key, value, 'PXAT', expiry)
  end
end
return dropped`

func TestRedisRunsAGuardScript(t *testing.T) {
	r, err := startRedis("127.0.0.1:0", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c, ctx := dialRedis(t, r), t.Context()
	value := func(version string) string {
		return fmt.Sprintf(`{"v":"%s","score":0.5}`, strings.Repeat("0", 32-len(version))+version)
	}
	expiry := time.Now().Add(time.Hour).UnixMilli()
	past := time.Now().Add(-time.Second).UnixMilli()
	script := redis.NewScript(guard)
	write := func(args ...any) int64 {
		t.Helper()
		n, err := script.Run(ctx, c, []string{"pred:m:a", "pred:m:b"}, args...).Int64()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := write(value("2f"), expiry, value("9"), past); n != 1 {
		t.Errorf("%d dropped, want the expired one", n)
	}
	if n := write(value("2e"), expiry, value("9"), expiry); n != 1 {
		t.Errorf("%d dropped, want the older one", n)
	}
	if n := write(value("2f"), expiry, value("a"), expiry); n != 0 {
		t.Errorf("%d dropped of an equal and a newer one", n)
	}
	got := c.MGet(ctx, "pred:m:a", "pred:m:b", "pred:m:none").Val()
	if got[0] != value("2f") || got[1] != value("a") || got[2] != nil {
		t.Errorf("stored: %v", got)
	}
	if left := c.PTTL(ctx, "pred:m:a").Val(); left < 59*time.Minute || left > time.Hour {
		t.Errorf("PXAT in an hour leaves %v", left)
	}
	// The client sends the hash first: a server that lost the script says so.
	if err := c.EvalSha(ctx, strings.Repeat("0", 40), nil).Err(); !redis.HasErrorPrefix(err, "NOSCRIPT") {
		t.Errorf("unknown script: %v", err)
	}
}

func TestUsualPortTaken(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	addr := taken.Addr().String()
	var used string
	listen := func(addr string) error {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return err
		}
		used = l.Addr().String()
		return l.Close()
	}
	if err := open("", addr, listen); err != nil || used == "" || used == addr {
		t.Errorf("the usual port is taken: used %q, %v", used, err)
	}
	if _, err := StartRedis(addr); err == nil || !strings.Contains(err.Error(), addr) {
		t.Errorf("a port asked for is taken: %v", err)
	}
	if _, err := StartKafka(addr); err == nil || !strings.Contains(err.Error(), addr) {
		t.Errorf("a port asked for is taken: %v", err)
	}
}

// What a sweep costs: how long clients wait, for the number of keys a day's demo has.
func BenchmarkExpire(b *testing.B) {
	r, err := startRedis("127.0.0.1:0", time.Hour)
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	c := dialRedis(b, r)
	for i := range 50 {
		pipe := c.Pipeline()
		for j := range 1000 {
			pipe.Set(context.Background(), fmt.Sprintf("pred:buyer-intent:u%d", 100_000+i*1000+j), strings.Repeat("x", 230), 24*time.Hour)
		}
		if _, err := pipe.Exec(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		r.server.FastForward(time.Millisecond)
	}
}
