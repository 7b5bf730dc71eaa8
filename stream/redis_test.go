package stream

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"scry/internal/config"
	"scry/internal/testenv"
)

// redisServer is a real Redis that a test may configure, empty and kill: testenv.Redis
// may be shared. It keeps nothing on disk unless args say otherwise.
type redisServer struct {
	addr string
	args []string
	cmd  *exec.Cmd
}

// startRedis runs redis-server from PATH with args besides, and stops it at the end
// of the test. Without one the test is skipped, or fails under SCRY_REQUIRE_SERVICES=1.
func startRedis(t testing.TB, args ...string) *redisServer {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		if os.Getenv("SCRY_REQUIRE_SERVICES") == "1" {
			t.Fatal("no redis-server in PATH, and SCRY_REQUIRE_SERVICES=1")
		}
		t.Skip("no redis-server in PATH")
	}
	s := &redisServer{args: append([]string{"--save", "", "--bind", "127.0.0.1", "--dir", t.TempDir()}, args...)}
	var err error
	for range 5 { // somebody may take the port between our look and Redis' own
		s.addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(testenv.FreePort(t)))
		if err = s.start(); err == nil {
			t.Cleanup(s.kill)
			return s
		}
	}
	t.Fatal(err)
	return nil
}

// start returns when Redis serves.
func (s *redisServer) start() error {
	_, port, _ := net.SplitHostPort(s.addr)
	s.cmd = exec.Command("redis-server", append([]string{"--port", port}, s.args...)...)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	var log strings.Builder
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		fmt.Fprintln(&log, lines.Text())
		if strings.Contains(lines.Text(), "Ready to accept connections") {
			go func() { // or it blocks on a full pipe
				for lines.Scan() {
				}
			}()
			return nil
		}
	}
	s.cmd.Wait()
	return fmt.Errorf("redis-server did not start:\n%s", &log)
}

// kill is kill -9.
func (s *redisServer) kill() {
	s.cmd.Process.Kill()
	s.cmd.Wait()
}

// cache returns a cache on the server, closed at the end of the test.
func (s *redisServer) cache(t testing.TB) *cache {
	t.Helper()
	return dialCache(t, "redis://"+s.addr+"/0", nil)
}

func dialCache(t testing.TB, url string, dial func(context.Context, string, string) (net.Conn, error)) *cache {
	t.Helper()
	c, err := newCache(CacheConfig{URL: config.Secret(url)}, "buyer", dial)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.close() })
	return c
}
