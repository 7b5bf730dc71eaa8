package testenv

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
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
	tls    *tls.Config // of its clients; nil: it speaks plain
	cmd    *exec.Cmd
}

// StartRedis runs redis-server from the PATH with args besides, and ends it with the test.
// With --tls-cert-file, --tls-key-file and --tls-ca-cert-file among them it speaks TLS only,
// to its like too. Without a redis-server the test is skipped, or fails under
// SCRY_REQUIRE_SERVICES=1.
func StartRedis(t testing.TB, args ...string) *RedisServer {
	t.Helper()
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		absent(t, requireServices, "needs a real Redis: install redis-server; where one for all will do, "+redisEnv+"=host:port")
	}
	s := &RedisServer{binary: binary, args: append([]string{"--save", "", "--bind", "127.0.0.1", "--dir", t.TempDir()}, args...)}
	s.tls = clientTLS(t, args)
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
	return s.run(append(s.listen(), s.args...), "Ready to accept connections")
}

// listen are the arguments for its address.
func (s *RedisServer) listen() []string {
	_, port, _ := net.SplitHostPort(s.Addr)
	if s.tls == nil {
		return []string{"--port", port}
	}
	return []string{"--port", "0", "--tls-port", port, "--tls-replication", "yes", "--tls-cluster", "yes"}
}

// clientTLS is how a test connects to a server with the files of args: as the server does to
// its like.
func clientTLS(t testing.TB, args []string) *tls.Config {
	t.Helper()
	files := tlsFiles(args)
	if len(files) < 6 {
		return nil
	}
	cert, err := tls.LoadX509KeyPair(files[1], files[3])
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.ReadFile(files[5])
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(root)
	return &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: roots, MinVersion: tls.VersionTLS12}
}

// tlsFiles are the arguments that name certificate, key and authority; none without TLS.
func tlsFiles(args []string) (files []string) {
	for _, name := range []string{"--tls-cert-file", "--tls-key-file", "--tls-ca-cert-file"} {
		if i := slices.Index(args, name); i >= 0 && i+1 < len(args) {
			files = append(files, name, args[i+1])
		}
	}
	return files
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
	client := redis.NewClient(&redis.Options{Addr: s.Addr, TLSConfig: s.tls})
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
