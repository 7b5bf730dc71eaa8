package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
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
	t       testing.TB
	broker  string
	redis   *redis.Client
	url     string
	client  *kgo.Client
	in, out string
	dlq     string
}

func newWorld(t testing.TB, partitions int32) *world {
	t.Helper()
	return newWorldAt(t, testenv.Kafka(t), testenv.Redis(t), partitions)
}

func newWorldAt(t testing.TB, broker, addr string, partitions int32) *world {
	t.Helper()
	w := &world{t: t, broker: broker, url: "redis://" + addr + "/0"}
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
func (w *world) config(model string) string {
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
`, w.in, w.broker, w.in, model, w.out, w.dlq, w.url)
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
	ID        string
	Entity    string
	Score     float64
	EventTime string `json:"event_time"`
}

// sharedEvents are the shared events of real sessions and the score the training
// library gave each.
func sharedEvents(t testing.TB) (events [][]byte, golden []float64) {
	t.Helper()
	dir := filepath.Join(testenv.Shared(t), "models", "osi-xgb")
	text, err := os.ReadFile(filepath.Join(dir, "events.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "golden-events.json"))
	if err != nil {
		t.Fatal(err)
	}
	scores := map[string]float64{}
	if err := json.Unmarshal(raw, &scores); err != nil {
		t.Fatal(err)
	}
	for i, line := range bytes.Split(bytes.TrimSpace(text), []byte("\n")) {
		score, ok := scores[strconv.Itoa(i)]
		if !ok {
			t.Fatalf("event %d has no golden score", i)
		}
		events, golden = append(events, line), append(golden, score)
	}
	return events, golden
}

// realSessions are the 12,330 rows of the shared data set as events, of 3,000 users.
func realSessions(t *testing.T, d *predictor.Deployment) [][]byte {
	t.Helper()
	f, err := os.Open(filepath.Join(testenv.Shared(t), "data", "osi", "online_shoppers_intention.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	start := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	var events [][]byte
	for i, row := range rows[1:] {
		event := map[string]any{"user_id": fmt.Sprintf("s%d", i%3000), "ts": start.Add(time.Duration(i) * time.Millisecond).Format(time.RFC3339Nano)}
		for _, ft := range d.Features {
			var v any = row[column[ft.Name]]
			if len(ft.Categories) == 0 {
				v = json.RawMessage(strings.ToLower(row[column[ft.Name]]))
			}
			at := event
			path := strings.Split(ft.Path, ".")
			for _, key := range path[:len(path)-1] {
				if at[key] == nil {
					at[key] = map[string]any{}
				}
				at = at[key].(map[string]any)
			}
			at[path[len(path)-1]] = v
		}
		b, err := json.Marshal(event)
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, b)
	}
	return events
}

// TestRealEventsThroughRealKafka sends every session of the shared data set, the shared
// events and some poison through a real Kafka and a real Redis: each event gives the
// score that a direct call gives (and, where there is one, the training library's), or
// is a dead letter.
func TestRealEventsThroughRealKafka(t *testing.T) {
	for _, protocol := range []string{"classic", "consumer"} {
		t.Run(protocol, func(t *testing.T) { realEvents(t, protocol) })
	}
}

func realEvents(t *testing.T, protocol string) {
	model := filepath.Join(testenv.Shared(t), "models", "osi-xgb")
	d, err := predictor.Load(model, predictor.Config{Threshold: 0.5, Entity: "user_id"})
	if err != nil {
		t.Fatal(err)
	}
	events, golden := sharedEvents(t)
	events = append(events, realSessions(t, d)...)
	w := newWorld(t, 4)
	ids := w.produce(events, 97)
	w.scry("run", "-c", w.config(model), "--set", "kafka.protocol="+protocol)

	scores := make([]float64, len(events))
	seen := map[string]bool{}
	newest := map[string]string{} // entity -> id of its newest event
	for i, event := range events {
		newest[user(event)] = ids.of[i]
	}
	w.read(w.out, 2*time.Minute, func(r *kgo.Record) bool {
		var p prediction
		if err := json.Unmarshal(r.Value, &p); err != nil {
			t.Fatalf("%v: %s", err, r.Value)
		}
		i, ok := ids.at[p.ID]
		if !ok || seen[p.ID] {
			t.Fatalf("%s is a repeat or of no good event", p.ID)
		}
		seen[p.ID] = true
		scores[i] = p.Score
		if i < len(golden) && float32(p.Score) != float32(golden[i]) {
			t.Errorf("%s: score %v, golden %v", p.ID, p.Score, golden[i])
		}
		if direct, err := d.Score(events[i]); err != nil || direct[0] != p.Score {
			t.Errorf("%s: score %v, a direct call gives %v, %v", p.ID, p.Score, direct, err)
		}
		return len(seen) == len(events)
	})
	dead := 0
	w.read(w.dlq, time.Minute, func(r *kgo.Record) bool {
		if !bytes.Equal(r.Value, poison) {
			t.Errorf("a good event is a dead letter: %s", r.Value)
		}
		dead++
		return dead == ids.poison
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
		if c.ID != id || c.Score != scores[ids.at[id]] {
			t.Errorf("cache of %s: %s with %v, want %s with %v", u, c.ID, c.Score, id, scores[ids.at[id]])
		}
	}
	t.Logf("%d events, %d dead letters, %d entities", len(events), dead, len(newest))
}

// poison is an event nobody can decode.
var poison = []byte(`{"user_id":"u1","session":{"mon`)

// produced is where the events of a test lie.
type produced struct {
	of     []string       // event -> the id of its prediction
	at     map[string]int // and back
	poison int
}

// produce writes events keyed by user, with poison after every n of them (0: none).
func (w *world) produce(events [][]byte, n int) produced {
	w.t.Helper()
	p := produced{of: make([]string, len(events)), at: make(map[string]int, len(events))}
	records := make([]*kgo.Record, 0, len(events))
	index := map[*kgo.Record]int{}
	for i, event := range events {
		r := &kgo.Record{Topic: w.in, Key: []byte(user(event)), Value: event}
		index[r] = i
		records = append(records, r)
		if n > 0 && i%n == n/2 {
			p.poison++
			records = append(records, &kgo.Record{Topic: w.in, Key: []byte("u1"), Value: poison})
		}
	}
	if err := w.client.ProduceSync(context.Background(), records...).FirstErr(); err != nil {
		w.t.Fatal(err)
	}
	for r, i := range index {
		p.of[i] = fmt.Sprintf("%s-%d-%d", w.in, r.Partition, r.Offset)
		p.at[p.of[i]] = i
	}
	return p
}

func user(event []byte) string {
	var e struct {
		User string `json:"user_id"`
	}
	_ = json.Unmarshal(event, &e) // poison has none
	return e.User
}

// TestKilledMembersLoseNothing kills one of two members, hard, every few seconds while
// 20,000 events a second come in: every event has its prediction, and every user's
// cached one is the one with the greatest version.
func TestKilledMembersLoseNothing(t *testing.T) {
	for _, guarantee := range []string{"at_least_once", "exactly_once"} {
		t.Run(guarantee, func(t *testing.T) { killedMembers(t, guarantee) })
	}
}

func killedMembers(t *testing.T, guarantee string) {
	const rate, seconds = 20_000, 9
	w := newWorld(t, 8)
	model := filepath.Join(testenv.Shared(t), "models", "osi-xgb")
	events, _ := sharedEvents(t)
	config := w.config(model)
	start := func(member int) *exec.Cmd {
		args := []string{"run", "-c", config, "--set", "kafka.session_timeout=6s", "--set", "delivery.guarantee=" + guarantee}
		if member == 0 { // one that comes back under its name, and one that does not
			args = append(args, "--set", "kafka.instance=first")
		}
		return w.scry(args...)
	}
	members := []*exec.Cmd{start(0), start(1)}

	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	kills := 0
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-time.After(3 * time.Second): // the killer's own rhythm
			}
			_ = members[i%2].Process.Kill()
			_ = members[i%2].Wait()
			members[i%2] = start(i % 2)
			kills++
		}
	})
	total := w.flood(events, rate, seconds)
	cancel()
	wg.Wait()

	got := map[string]int{}
	newest := map[string]prediction{}
	w.read(w.out, 2*time.Minute, func(r *kgo.Record) bool {
		var p prediction
		if err := json.Unmarshal(r.Value, &p); err != nil {
			t.Fatal(err)
		}
		got[p.ID]++
		if guarantee == "exactly_once" && got[p.ID] > 1 {
			t.Fatalf("%s is there %d times", p.ID, got[p.ID])
		}
		if p.newer(newest[p.Entity]) {
			newest[p.Entity] = p
		}
		return len(got) == total
	})
	repeats := 0
	for _, n := range got {
		repeats += n - 1
	}
	for entity, want := range newest {
		v, err := w.redis.Get(context.Background(), "pred:osi-xgb:"+entity).Bytes()
		if err != nil {
			t.Fatalf("cache of %s: %v", entity, err)
		}
		if !bytes.Contains(v, []byte(`"id":"`+want.ID+`"`)) {
			t.Errorf("cache of %s: %s, want %s of %s", entity, v, want.ID, want.EventTime)
		}
	}
	t.Logf("%d events, %d kills, %d repeats", total, kills, repeats)
}

// newer reports whether p's version is greater than q's: by event time, then offset.
// Events of one entity are in one partition here.
func (p prediction) newer(q prediction) bool {
	if p.EventTime != q.EventTime {
		return p.EventTime > q.EventTime
	}
	return offsetOf(p.ID) > offsetOf(q.ID)
}

func offsetOf(id string) int {
	n, err := strconv.Atoi(id[strings.LastIndexByte(id, '-')+1:])
	if err != nil {
		return -1
	}
	return n
}

// flood produces the events over and over at a rate, and returns how many.
func (w *world) flood(events [][]byte, rate, seconds int) int {
	start := time.Now()
	total := rate * seconds
	for i := 0; i < total; {
		due := int(time.Since(start).Seconds() * float64(rate))
		for ; i < min(due, total); i++ {
			e := events[i%len(events)]
			w.client.Produce(context.Background(), &kgo.Record{Topic: w.in, Key: []byte(user(e)), Value: e}, func(_ *kgo.Record, err error) {
				if err != nil {
					w.t.Errorf("produce: %v", err)
				}
			})
		}
		time.Sleep(5 * time.Millisecond) // the pace of the load
	}
	if err := w.client.Flush(context.Background()); err != nil {
		w.t.Fatal(err)
	}
	return total
}
