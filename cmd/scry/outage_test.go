package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"scry/internal/testenv"
)

// ownBroker is a broker that a test may kill: one of its own.
type ownBroker struct {
	t    *testing.T
	dir  string
	port int
}

func startBroker(t *testing.T) *ownBroker {
	t.Helper()
	testenv.Kafka(t) // where that one runs, its script runs
	b := &ownBroker{t: t, dir: t.TempDir(), port: testenv.FreePort(t)}
	b.start()
	t.Cleanup(func() { _ = b.script("stop", b.dir) })
	return b
}

func (b *ownBroker) script(args ...string) error {
	cmd := exec.Command("../../scripts/kafka.sh", args...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("kafka.sh %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

func (b *ownBroker) start() {
	b.t.Helper()
	if err := b.script("start", b.dir, "1", fmt.Sprint(b.port)); err != nil {
		b.t.Fatal(err)
	}
}

// kill ends the broker as a power cut would.
func (b *ownBroker) kill() {
	b.t.Helper()
	pids, err := filepath.Glob(filepath.Join(b.dir, "*.pid"))
	if err != nil || len(pids) != 1 {
		b.t.Fatalf("the broker's pid file: %v, %v", pids, err)
	}
	text, err := os.ReadFile(pids[0])
	if err != nil {
		b.t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Sscan(string(text), &pid); err != nil {
		b.t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		b.t.Fatal(err)
	}
}

// TestBrokerAndRedisDownUnderLoad kills the broker, Redis, and both, while events come
// in: scry waits, says so, and goes on by itself; nothing is lost, in topic or cache.
func TestBrokerAndRedisDownUnderLoad(t *testing.T) {
	b := startBroker(t)
	r := newOwnRedis(t)
	w := newWorldAt(t, fmt.Sprintf("127.0.0.1:%d", b.port), r.server.Addr, 4)
	events, _ := sharedEvents(t)
	model := filepath.Join(testenv.Shared(t), "models", "osi-xgb")
	w.scry("run", "-c", w.config(model))

	total := 0
	step := func(outage, mend func()) {
		outage()
		done := make(chan struct{})
		go func() { // the producer waits for the broker like everybody else
			defer close(done)
			total += w.flood(events, 2000, 2)
		}()
		mend()
		<-done
	}
	nothing := func() {}
	step(nothing, nothing)
	step(b.kill, b.start)
	step(r.kill, r.start)
	step(func() { b.kill(); r.kill() }, func() { b.start(); r.start() })

	seen := map[string]bool{}
	newest := map[string]prediction{}
	w.read(w.out, 2*time.Minute, func(r *kgo.Record) bool {
		var p prediction
		if err := json.Unmarshal(r.Value, &p); err != nil {
			t.Fatal(err)
		}
		seen[p.ID] = true
		if p.newer(newest[p.Entity]) {
			newest[p.Entity] = p
		}
		return len(seen) >= total
	})
	// Redis lost what it held at each kill (it keeps nothing on disk), but whatever was
	// predicted after the last one must be there.
	w.eventually("the cache holds the newest of a user seen last", func() bool {
		last := user(events[(2000*2-1)%len(events)])
		v, err := r.client.Get(context.Background(), "pred:osi-xgb:"+last).Bytes()
		return err == nil && bytes.Contains(v, []byte(`"id":"`+newest[last].ID+`"`))
	})
	adm := kadm.NewClient(w.client)
	w.eventually("all is committed", func() bool {
		lag, err := adm.Lag(context.Background(), w.in)
		return err == nil && lag[w.in].Lag.Total() == 0
	})
}

// ownRedis is a Redis that a test may kill.
type ownRedis struct {
	t      *testing.T
	server *testenv.RedisServer
	client *redis.Client
}

func newOwnRedis(t *testing.T) *ownRedis {
	t.Helper()
	r := &ownRedis{t: t, server: testenv.StartRedis(t)}
	r.client = redis.NewClient(&redis.Options{Addr: r.server.Addr})
	t.Cleanup(func() { _ = r.client.Close() })
	return r
}

func (r *ownRedis) start() {
	r.t.Helper()
	if err := r.server.Start(); err != nil {
		r.t.Fatal(err)
	}
}

func (r *ownRedis) kill() { r.server.Kill() }

func (w *world) eventually(what string, ok func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("not within a minute: %s", what)
		}
	}
}

// TestHugeEvents sends events of 5 MB: one is scored, one is poison, whose dead letter
// keeps what fits.
func TestHugeEvents(t *testing.T) {
	w := newWorld(t, 1)
	ctx := context.Background()
	adm := kadm.NewClient(w.client)
	if _, err := adm.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Name: "max.message.bytes", Value: kadm.StringPtr("10485760")}}, w.in); err != nil {
		t.Fatal(err)
	}
	events, _ := sharedEvents(t)
	pad := strings.Repeat("p", 5_000_000)
	good := strings.Replace(string(events[0]), "{", `{"pad":"`+pad+`",`, 1)
	big, err := kgo.NewClient(kgo.SeedBrokers(w.broker), kgo.ProducerBatchMaxBytes(10_000_000), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		t.Fatal(err)
	}
	defer big.Close()
	if err := big.ProduceSync(ctx, &kgo.Record{Topic: w.in, Value: []byte(good)}, &kgo.Record{Topic: w.in, Value: []byte(pad)}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	w.scry("run", "-c", w.config(filepath.Join(testenv.Shared(t), "models", "osi-xgb")))
	w.read(w.out, time.Minute, func(*kgo.Record) bool { return true })
	w.read(w.dlq, time.Minute, func(r *kgo.Record) bool {
		length := ""
		for _, h := range r.Headers {
			if h.Key == "scry-value-length" {
				length = string(h.Value)
			}
		}
		if length != "5000000" || len(r.Value) == 0 || len(r.Value) > 1<<20 {
			t.Errorf("dead letter keeps %d bytes of %s", len(r.Value), length)
		}
		return true
	})
}
