//go:build faults

package faults

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"scry/internal/testenv"
)

func init() { logging.Disable() } // servers that are killed are no news

// A cache is a pipeline's Redis, which scry reaches through a proxy.
type cache struct {
	t     testing.TB
	proxy *toxiproxy.Proxy
	on    atomic.Pointer[server]
}

// A server is one redis-server; it keeps nothing on disk.
type server struct {
	t      testing.TB
	port   int
	cmd    *exec.Cmd
	client *redis.Client
}

func startCache(t testing.TB, c *cluster) *cache {
	t.Helper()
	s := startRedis(t)
	r := &cache{t: t, proxy: toxiproxy.NewProxy(c.server, t.Name()+"-redis", "127.0.0.1:0", s.address())}
	r.on.Store(s)
	if err := r.proxy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.proxy.Stop)
	return r
}

func (r *cache) url() string { return "redis://" + r.proxy.Listen + "/0" }

// move takes scry to another server, as a failover does.
func (r *cache) move(to *server) {
	r.t.Helper()
	r.proxy.Stop()
	r.on.Store(to)
	if err := r.proxy.Update(&toxiproxy.Proxy{Listen: r.proxy.Listen, Upstream: to.address(), Enabled: true}); err != nil {
		r.t.Fatal(err)
	}
}

func startRedis(t testing.TB) *server {
	t.Helper()
	s := &server{t: t, port: testenv.FreePort(t)}
	s.client = redis.NewClient(&redis.Options{Addr: s.address(), MaxRetries: -1, DialTimeout: time.Second, ReadTimeout: time.Second})
	s.start()
	t.Cleanup(func() {
		s.client.Close()
		s.kill()
	})
	return s
}

func (s *server) address() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

func (s *server) start() {
	s.t.Helper()
	s.cmd = exec.Command("redis-server", "--port", fmt.Sprint(s.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
		"--repl-diskless-sync-delay", "0", "--dir", s.t.TempDir())
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	eventually(s.t, "redis-server answers", func() bool { return s.client.Ping(context.Background()).Err() == nil })
}

func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// do runs one command, which must succeed.
func (s *server) do(args ...any) {
	s.t.Helper()
	if err := s.client.Do(context.Background(), args...).Err(); err != nil {
		s.t.Fatalf("redis %v: %v", args, err)
	}
}

// says reports whether INFO holds a text.
func (s *server) says(text string) bool {
	info, err := s.client.Info(context.Background()).Result()
	return err == nil && strings.Contains(info, text)
}

// eventually waits for a state.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(outlasting); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", outlasting, what)
		}
	}
}
