package testenv

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Redis returns the address of a real Redis, host:port: $SCRY_TEST_REDIS, which other
// tests may use at the same time, or else a redis-server from the PATH that is empty,
// keeps nothing and ends with the test.
func Redis(t testing.TB) string {
	t.Helper()
	if addr := os.Getenv(redisEnv); addr != "" {
		return addr
	}
	return StartRedis(t).Addr
}

// A RedisServer is a redis-server that a test may configure, empty and kill. It keeps
// nothing on disk unless its arguments say otherwise.
type RedisServer struct {
	Addr   string // host:port
	binary string
	args   []string
	cmd    *exec.Cmd
}

// StartRedis runs redis-server from the PATH with args besides, and ends it with the test.
// With a --tls-cert-file among them it speaks TLS only. Without a redis-server the test is
// skipped, or fails under SCRY_REQUIRE_SERVICES=1.
func StartRedis(t testing.TB, args ...string) *RedisServer {
	t.Helper()
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		absent(t, requireServices, "needs a real Redis: install redis-server; where one for all will do, "+redisEnv+"=host:port")
	}
	s := &RedisServer{binary: binary, args: append([]string{"--save", "", "--bind", "127.0.0.1", "--dir", t.TempDir()}, args...)}
	for range 5 { // somebody may take the port between our look and Redis' own
		s.Addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(redisPort(t)))
		if err = s.Start(); err == nil {
			t.Cleanup(s.Kill)
			return s
		}
	}
	t.Fatal(err)
	return nil
}

// redisPort returns a free one, whose cluster bus' port, 10000 higher, is there and free too.
func redisPort(t testing.TB) int {
	for {
		port := FreePort(t)
		if l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port+10000))); err == nil {
			l.Close()
			return port
		}
	}
}

// Start starts it again after Kill, at the same address. It returns when Redis serves.
func (s *RedisServer) Start() error {
	_, port, _ := net.SplitHostPort(s.Addr)
	listen := []string{"--port", port}
	if slices.Contains(s.args, "--tls-cert-file") {
		listen = []string{"--port", "0", "--tls-port", port}
	}
	return s.run(append(listen, s.args...), "Ready to accept connections")
}

// run starts the process and waits for ready in its log.
func (s *RedisServer) run(args []string, ready string) error {
	s.cmd = exec.Command(s.binary, args...)
	endWithParent(s.cmd)
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	s.cmd.Stderr = s.cmd.Stdout
	if err := s.cmd.Start(); err != nil {
		return err
	}
	var log strings.Builder
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		fmt.Fprintln(&log, lines.Text())
		if strings.Contains(lines.Text(), ready) {
			go func() { // or it blocks on a full pipe
				for lines.Scan() {
				}
			}()
			return nil
		}
	}
	_ = s.cmd.Wait() // its log says why
	return fmt.Errorf("redis-server did not start:\n%s", &log)
}

// Kill is kill -9.
func (s *RedisServer) Kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait() // killed
}

// Do sends one command, on a connection of its own without a password.
func (s *RedisServer) Do(t testing.TB, args ...any) any {
	t.Helper()
	reply, err := s.try(args...)
	if err != nil {
		t.Fatalf("%v at %s: %v", args, s.Addr, err)
	}
	return reply
}

func (s *RedisServer) try(args ...any) (any, error) {
	client := redis.NewClient(&redis.Options{Addr: s.Addr})
	defer client.Close()
	return client.Do(context.Background(), args...).Result()
}

// await returns when the reply to a command holds each of parts.
func (s *RedisServer) await(t testing.TB, command string, parts ...string) {
	t.Helper()
	var args []any
	for arg := range strings.FieldsSeq(command) {
		args = append(args, arg)
	}
	var text string
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		reply, err := s.try(args...)
		text = fmt.Sprint(reply, err)
		if !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(text, part) }) {
			return
		}
	}
	t.Fatalf("%s at %s does not come to %q within a minute: %s", command, s.Addr, parts, text)
}
