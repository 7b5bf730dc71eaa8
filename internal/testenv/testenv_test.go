package testenv

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// recorder stands in for a test and notes how it ended.
type recorder struct {
	testing.TB
	skipped, fatal string
}

func (r *recorder) Skip(args ...any) {
	r.skipped = fmt.Sprint(args...)
	runtime.Goexit()
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.fatal = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func record(t *testing.T, f func(testing.TB)) *recorder {
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(r)
	}()
	<-done
	return r
}

func TestAbsentSkipsOrFails(t *testing.T) {
	for _, c := range []struct {
		name, require, mend string
		find                func(testing.TB)
	}{
		{"shared", requireShared, sharedEnv, func(t testing.TB) { Shared(t) }},
		{"kafka", requireServices, kafkaEnv, func(t testing.TB) { Kafka(t) }},
		{"redis", requireServices, redisEnv, func(t testing.TB) { Redis(t) }},
		{"a Redis cluster", requireServices, "install redis-server", func(t testing.TB) { StartRedisCluster(t) }},
		{"Redis Sentinels", requireServices, "install redis-server", func(t testing.TB) { StartRedisSentinels(t) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Chdir("/")
			for _, env := range []string{sharedEnv, kafkaEnv, redisEnv, "PATH"} {
				t.Setenv(env, "")
			}
			t.Setenv(c.require, "")
			if r := record(t, c.find); !strings.Contains(r.skipped, c.mend) || r.fatal != "" {
				t.Errorf("absent: skipped %q, failed %q; want a skip that names %s", r.skipped, r.fatal, c.mend)
			}
			t.Setenv(c.require, "1")
			if r := record(t, c.find); !strings.Contains(r.fatal, c.mend) || r.skipped != "" {
				t.Errorf("required: skipped %q, failed %q; want a failure that names %s", r.skipped, r.fatal, c.mend)
			}
		})
	}
}

func TestSharedIsFoundAboveAndByName(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{"shared", "wt/x/pkg"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv(sharedEnv, "")
	t.Chdir(filepath.Join(root, "wt/x/pkg"))
	if got, want := Shared(t), filepath.Join(root, "shared"); got != want {
		t.Errorf("Shared() = %s, want %s", got, want)
	}
	named := t.TempDir()
	t.Setenv(sharedEnv, named)
	if got := Shared(t); got != named {
		t.Errorf("Shared() = %s, want %s", got, named)
	}
	t.Setenv(sharedEnv, filepath.Join(root, "missing"))
	if r := record(t, func(t testing.TB) { Shared(t) }); !strings.Contains(r.fatal, "missing") {
		t.Errorf("a folder that is not there: failed %q", r.fatal)
	}
}

func TestRedisAnswersAndEnds(t *testing.T) {
	var addr string
	answers := func() bool {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return false
		}
		conn.Close()
		return true
	}
	t.Run("running", func(t *testing.T) {
		if addr = Redis(t); !answers() {
			t.Errorf("%s does not answer", addr)
		}
	})
	if addr != "" && os.Getenv(redisEnv) == "" && answers() {
		t.Errorf("%s still answers after the test", addr)
	}
}

func TestRedisThatDoesNotStart(t *testing.T) {
	s := StartRedis(t)
	s.Kill()
	s.args = append(s.args, "--no-such-option", "1")
	if err := s.Start(); err == nil || !strings.Contains(err.Error(), "no-such-option") {
		t.Errorf("Start with a wrong option = %v, want its log", err)
	}
}

func TestRedisClusterAndSentinels(t *testing.T) {
	c := StartRedisCluster(t)
	c.Masters[2].await(t, "cluster info", "cluster_state:ok", "cluster_slots_ok:16384")
	s := StartRedisSentinels(t)
	s.Sentinels[1].await(t, "sentinel ckquorum "+s.Name, "3 usable Sentinels")
}

func TestKafkaGivesTheAddress(t *testing.T) {
	t.Setenv(kafkaEnv, "broker:9092")
	if got := Kafka(t); got != "broker:9092" {
		t.Errorf("Kafka() = %q", got)
	}
}
