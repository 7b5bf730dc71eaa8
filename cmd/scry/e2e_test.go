package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"scry/internal/testenv"
	"scry/predictor"
)

// The tests' binary is scry itself when this is set, so that a test can run, and kill,
// real processes.
const asScry = "SCRY_TEST_AS_SCRY"

func TestMain(m *testing.M) {
	if os.Getenv(asScry) != "" {
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// A world is a real Kafka and a real Redis with topics and a group of the test's own.
type world struct {
	t       *testing.T
	broker  string
	redis   *redis.Client
	url     string
	client  *kgo.Client
	in, out string
	dlq     string
}

func newWorld(t *testing.T, partitions int32) *world {
	t.Helper()
	w := &world{t: t, broker: testenv.Kafka(t)}
	addr := testenv.Redis(t)
	w.url = "redis://" + addr + "/0"
	w.redis = redis.NewClient(&redis.Options{Addr: addr})
	t.Cleanup(func() { w.redis.Close() })
	var err error
	w.client, err = kgo.NewClient(kgo.SeedBrokers(w.broker), kgo.ProducerBatchCompression(kgo.ZstdCompression()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.client.Close)
	name := fmt.Sprintf("%s-%d", strings.NewReplacer("/", "-", " ", "-").Replace(t.Name()), time.Now().UnixNano())
	w.in, w.out, w.dlq = name+".in", name+".out", name+".dlq"
	adm := kadm.NewClient(w.client)
	if _, err := adm.CreateTopics(context.Background(), partitions, 1, nil, w.in, w.out, w.dlq); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = adm.DeleteTopics(context.Background(), w.in, w.out, w.dlq) })
	return w
}

// config writes scry.yaml for a model and returns its path.
func (w *world) config(model, more string) string {
	w.t.Helper()
	path := filepath.Join(w.t.TempDir(), "scry.yaml")
	text := fmt.Sprintf(`
name: %q
kafka: {brokers: [%q]}
input:
  topics: [%q]
  entity: user_id
  event_time: {path: ts}
model: {uri: %q}
output: {topic: %q, dead_letter_topic: %q}
cache: {url: %q, ttl: 0}
http: {health: "127.0.0.1:0", admin: "127.0.0.1:0"}
%s`, w.in, w.broker, w.in, model, w.out, w.dlq, w.url, more)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// scry starts a process; it is killed with the test if it still runs.
func (w *world) scry(args ...string) *exec.Cmd {
	w.t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asScry+"=1")
	log := &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	var once sync.Once
	w.t.Cleanup(func() {
		once.Do(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			if w.t.Failed() {
				w.t.Logf("scry %s:\n%s", strings.Join(args, " "), log)
			}
		})
	})
	return cmd
}

// read hands every record of a topic to f, as they come, until it returns true.
func (w *world) read(topic string, within time.Duration, f func(*kgo.Record) bool) {
	w.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(w.broker), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		w.t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	for done := false; !done; {
		fs := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			w.t.Fatalf("topic %s does not get there within %v", topic, within)
		}
		fs.EachRecord(func(r *kgo.Record) { done = f(r) || done })
	}
}

// prediction is the output topic's value, as a reader would declare it.
type prediction struct {
	ID     string
	Entity string
	Score  float64
	Label  string
}

// osiEvents are the shared events of real sessions, with some poison mixed in: the
// lines, which of them are poison, and the golden score of each other.
func osiEvents(t *testing.T) (lines [][]byte, golden map[int]float64) {
	t.Helper()
	dir := filepath.Join(testenv.Shared(t), "models", "osi-xgb")
	f, err := os.Open(filepath.Join(dir, "events.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	raw, err := os.ReadFile(filepath.Join(dir, "golden-events.json"))
	if err != nil {
		t.Fatal(err)
	}
	scores := map[string]float64{}
	if err := json.Unmarshal(raw, &scores); err != nil {
		t.Fatal(err)
	}
	golden = map[int]float64{}
	for s := bufio.NewScanner(f); s.Scan(); {
		if n := len(lines); n%97 == 50 {
			lines = append(lines, []byte(`{"user_id":"u1","session":{"mon`))
		}
		line := len(lines) - (len(lines)+97-51)/97
		golden[len(lines)] = scores[fmt.Sprint(line)]
		lines = append(lines, bytes.Clone(s.Bytes()))
	}
	return lines, golden
}

// TestRealEventsThroughRealKafka sends real sessions, some broken, through a real Kafka
// and a real Redis: each gives the score the training library gave it, or is a dead letter.
func TestRealEventsThroughRealKafka(t *testing.T) {
	lines, golden := osiEvents(t)
	w := newWorld(t, 4)
	model := filepath.Join(testenv.Shared(t), "models", "osi-xgb")
	d, err := predictor.Load(model, predictor.Config{Threshold: 0.5, Entity: "user_id"})
	if err != nil {
		t.Fatal(err)
	}
	ids := make(map[string]int, len(lines)) // a prediction's id -> its line
	newest := map[string]string{}           // user -> id of its newest event
	for i, line := range lines {
		r := &kgo.Record{Topic: w.in, Key: []byte(user(line)), Value: line}
		if err := w.client.ProduceSync(context.Background(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
		id := fmt.Sprintf("%s-%d-%d", w.in, r.Partition, r.Offset)
		ids[id] = i
		if _, ok := golden[i]; ok {
			newest[user(line)] = id
		}
	}
	w.scry("run", "-c", w.config(model, ""))

	seen := map[int]float64{}
	w.read(w.out, time.Minute, func(r *kgo.Record) bool {
		var p prediction
		if err := json.Unmarshal(r.Value, &p); err != nil {
			t.Fatalf("%v: %s", err, r.Value)
		}
		line := ids[p.ID]
		if _, again := seen[line]; again {
			t.Errorf("%s came twice", p.ID)
		}
		seen[line] = p.Score
		if float32(p.Score) != float32(golden[line]) {
			t.Errorf("%s: score %v, golden %v", p.ID, p.Score, golden[line])
		}
		if direct := scoreOf(t, d, lines[line]); direct != p.Score {
			t.Errorf("%s: score %v, a direct call gives %v", p.ID, p.Score, direct)
		}
		return len(seen) == len(golden)
	})
	poison := 0
	w.read(w.dlq, time.Minute, func(r *kgo.Record) bool {
		for _, h := range r.Headers {
			if h.Key == "scry-position" {
				if _, good := golden[ids[string(h.Value)]]; good {
					t.Errorf("%s is a dead letter: %s", h.Value, r.Value)
				}
			}
		}
		poison++
		return poison == len(lines)-len(golden)
	})
	for u, id := range newest {
		v, err := w.redis.Get(context.Background(), "pred:"+d.Name+":"+u).Bytes()
		if err != nil {
			t.Fatalf("cache of %s: %v", u, err)
		}
		var c prediction
		if err := json.Unmarshal(v, &c); err != nil {
			t.Fatal(err)
		}
		if c.ID != id || c.Score != seen[ids[id]] {
			t.Errorf("cache of %s: %s with %v, want %s with %v", u, c.ID, c.Score, id, seen[ids[id]])
		}
	}
}

func user(line []byte) string {
	var e struct {
		User string `json:"user_id"`
	}
	_ = json.Unmarshal(line, &e) // a poison line has none
	return e.User
}

// scoreOf is what the predictor says of an event, without any stream.
func scoreOf(t *testing.T, d *predictor.Deployment, event []byte) float64 {
	t.Helper()
	scores, err := d.Score(event)
	if err != nil {
		t.Fatal(err)
	}
	if math.IsNaN(scores[0]) {
		t.Fatal("NaN")
	}
	return scores[0]
}
