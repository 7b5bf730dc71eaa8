package testenv

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"
)

// Redis returns the address of a real Redis, host:port: $SCRY_TEST_REDIS, which other
// tests may use at the same time, or else a redis-server from the PATH that is empty,
// keeps nothing and ends with the test.
func Redis(t testing.TB) string {
	t.Helper()
	if addr := os.Getenv(redisEnv); addr != "" {
		return addr
	}
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		absent(t, requireServices, "needs a real Redis: install redis-server, or set "+redisEnv+"=host:port")
	}
	for try := 1; ; try++ {
		addr, err := startRedis(t, binary)
		if err == nil {
			return addr
		}
		if try == 3 { // someone else may have taken the free port meanwhile
			t.Fatal(err)
		}
	}
}

func startRedis(t testing.TB, binary string) (addr string, err error) {
	port := strconv.Itoa(FreePort(t))
	var log bytes.Buffer
	cmd := exec.Command(binary, "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", t.TempDir())
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("start redis-server: %w", err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // killed below, or its log says why
		close(ended)
	}()
	end := func() {
		_ = cmd.Process.Kill()
		<-ended
	}
	addr = net.JoinHostPort("127.0.0.1", port)
	if err := awaitPong(addr, ended); err != nil {
		end()
		return "", fmt.Errorf("redis-server on port %s: %w\n%s", port, err, log.Bytes())
	}
	t.Cleanup(end)
	return addr, nil
}

// awaitPong returns nil when the server answers, an error when it ended or 10 s passed.
func awaitPong(addr string, ended <-chan struct{}) error {
	deadline := time.Now().Add(10 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for time.Now().Before(deadline) {
		select {
		case <-ended:
			return errors.New("ended")
		case <-tick.C:
			if pings(addr) {
				return nil
			}
		}
	}
	return errors.New("does not answer PING")
}

func pings(addr string) bool {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return false
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return false
	}
	answer := make([]byte, 5)
	_, err = conn.Read(answer)
	return err == nil && string(answer) == "+PONG"
}
