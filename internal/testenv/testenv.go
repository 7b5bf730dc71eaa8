// Package testenv finds what tests need from outside the tree: the shared data, a real
// Kafka, a real Redis. What is absent skips the test with the reason. For CI, where a
// skip would hide a hole, SCRY_REQUIRE_SHARED=1 and SCRY_REQUIRE_SERVICES=1 turn that
// into a failure.
package testenv

import (
	"net"
	"os"
	"path/filepath"
	"testing"
)

const (
	sharedEnv       = "SCRY_SHARED"
	requireShared   = "SCRY_REQUIRE_SHARED"
	kafkaEnv        = "SCRY_TEST_KAFKA"
	redisEnv        = "SCRY_TEST_REDIS"
	requireServices = "SCRY_REQUIRE_SERVICES"
)

// Shared returns the folder with the shared models and data: $SCRY_SHARED, or a folder
// named shared that lies beside a parent of the working directory.
func Shared(t testing.TB) string {
	t.Helper()
	if dir := os.Getenv(sharedEnv); dir != "" {
		if !isDir(dir) {
			t.Fatalf("%s=%s is not a folder", sharedEnv, dir)
		}
		return dir
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for parent := filepath.Dir(dir); parent != dir; dir, parent = parent, filepath.Dir(parent) {
		if shared := filepath.Join(parent, "shared"); isDir(shared) {
			return shared
		}
	}
	absent(t, requireShared, "no folder named shared beside a parent of the working directory; set "+sharedEnv)
	return ""
}

// Kafka returns the address of a real Kafka broker, host:port, from $SCRY_TEST_KAFKA.
// Other tests use it at the same time: take topic and group names of your own.
func Kafka(t testing.TB) string {
	t.Helper()
	addr := os.Getenv(kafkaEnv)
	if addr == "" {
		absent(t, requireServices, "needs a real Kafka: run the tests by `scripts/kafka.sh with go test ...`, or set "+kafkaEnv+"=host:port")
	}
	return addr
}

// FreePort returns a TCP port on 127.0.0.1 that was free a moment ago.
func FreePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func absent(t testing.TB, require, reason string) {
	t.Helper()
	if os.Getenv(require) == "1" {
		t.Fatalf("%s (%s=1)", reason, require)
	}
	t.Skip(reason)
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
