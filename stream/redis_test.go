package stream

import (
	"context"
	"net"
	"testing"

	"github.com/redis/go-redis/v9"

	"scry/internal/config"
	"scry/internal/testenv"
)

// redisServer is a real Redis of the test's own.
type redisServer struct{ *testenv.RedisServer }

func startRedis(t testing.TB, args ...string) *redisServer {
	t.Helper()
	return &redisServer{testenv.StartRedis(t, args...)}
}

// cache returns a cache on the server, closed at the end of the test.
func (s *redisServer) cache(t testing.TB) *cache {
	t.Helper()
	return dialCache(t, "redis://"+s.Addr+"/0", nil)
}

func dialCache(t testing.TB, url string, dial func(context.Context, string, string) (net.Conn, error)) *cache {
	t.Helper()
	return openCache(t, CacheConfig{URL: config.Secret(url)}, dial)
}

func openCache(t testing.TB, cfg CacheConfig, dial func(context.Context, string, string) (net.Conn, error)) *cache {
	t.Helper()
	c, err := newCache(cfg, "buyer", dial)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.close() })
	return c
}

// clientOf is for the commands that only a test sends.
func clientOf(t interface {
	Helper()
	Fatal(...any)
}, c *cache) redis.UniversalClient {
	t.Helper()
	client, err := c.redis(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return client
}
