package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"scry/stream"
)

// A timeline is a scry.yaml whose topic in, of two partitions, holds 100 events each, one
// a second from start on.
type timeline struct {
	t      *testing.T
	kafka  *kfake.Cluster
	config string
	start  time.Time
}

func newTimeline(t *testing.T, start time.Time) *timeline {
	t.Helper()
	kafka, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "in", "out"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kafka.Close)
	p := &timeline{t: t, kafka: kafka, start: start.UTC().Truncate(time.Second), config: filepath.Join(t.TempDir(), "scry.yaml")}
	text := fmt.Sprintf("name: test\nkafka: {brokers: [%q]}\ninput: {topics: [in]}\nmodel: {uri: none}\noutput: {topic: out}\n", kafka.ListenAddrs()[0])
	if err := os.WriteFile(p.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cl := p.client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for i := range 100 {
		for part := range int32(2) {
			r := &kgo.Record{Topic: "in", Partition: part, Value: []byte("{}"), Timestamp: p.start.Add(time.Duration(i) * time.Second)}
			if err := cl.ProduceSync(context.Background(), r).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	return p
}

func (p *timeline) client(opts ...kgo.Opt) *kgo.Client {
	p.t.Helper()
	cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(p.kafka.ListenAddrs()...))...)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(cl.Close)
	return cl
}

func (p *timeline) scry(args ...string) (code int, out string) {
	var stdout, stderr bytes.Buffer
	code = run(append(args, "-c", p.config), &stdout, &stderr)
	return code, stdout.String() + stderr.String()
}

// next is where the group stands in both partitions.
func (p *timeline) next() (n [2]int64) {
	p.t.Helper()
	code, out := p.scry("checkpoint", "ls", "--json")
	var s stream.Standing
	if err := json.Unmarshal([]byte(out), &s); code != 0 || err != nil || len(s.Positions) != 2 {
		p.t.Fatalf("ls: %d, %v\n%s", code, err, out)
	}
	return [2]int64{s.Positions[0].Next, s.Positions[1].Next}
}

func TestCheckpointSeek(t *testing.T) {
	start := time.Now().Add(-100 * time.Second)
	p := newTimeline(t, start)
	if got := p.next(); got != [2]int64{-1, -1} {
		t.Errorf("a new group stands at %v", got)
	}
	for _, step := range []struct {
		args string
		code int
		want [2]int64
		says string
	}{
		{"--to-offset 40", 0, [2]int64{40, 40}, "none"},
		{"--to-offset 50 --partition 1", 0, [2]int64{40, 50}, "10 skipped"},
		{"--to-time earliest --dry-run", 0, [2]int64{40, 50}, "nothing was moved"},
		{"--skip in/0/40", 0, [2]int64{41, 50}, "1 skipped"},
		{"--skip in/0/10", 1, [2]int64{41, 50}, "has passed"},
		{"--to-time " + p.start.Add(20*time.Second).Format(time.RFC3339), 0, [2]int64{20, 20}, "21 read again"},
		{"--to-time latest", 0, [2]int64{100, 100}, "80 skipped"},
		{"--to-offset 101", 1, [2]int64{100, 100}, "not in the log"},
		{"--by 1000h", 0, [2]int64{0, 0}, "100 read again"},
		{"--by 1h --to-offset 3", 2, [2]int64{0, 0}, "give one of"},
		{"--to-time yesterday", 2, [2]int64{0, 0}, "RFC 3339|write 2026"},
	} {
		code, out := p.scry(append([]string{"checkpoint", "seek"}, strings.Fields(step.args)...)...)
		if code != step.code || p.next() != step.want || !containsAny(out, step.says) {
			t.Errorf("seek %s: exit %d, now %v, want %d and %v; it says\n%s", step.args, code, p.next(), step.code, step.want, out)
		}
	}
}

func containsAny(s, words string) bool {
	for w := range strings.SplitSeq(words, "|") {
		if strings.Contains(s, w) {
			return true
		}
	}
	return false
}

func TestCheckpointRefusesARunningGroup(t *testing.T) {
	p := newTimeline(t, time.Now())
	member := p.client(kgo.ConsumerGroup("test"), kgo.ConsumeTopics("in"), kgo.DisableAutoCommit())
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if member.PollFetches(ctx).Empty() {
		t.Fatal("the member reads nothing")
	}
	code, out := p.scry("checkpoint", "seek", "--to-offset", "5")
	if code != 1 || !strings.Contains(out, "the group is running") || p.next() != [2]int64{-1, -1} {
		t.Errorf("exit %d, now %v: %s", code, p.next(), out)
	}
}

// Export and import restore by offset on the same cluster, by time on another.
func TestCheckpointExportImport(t *testing.T) {
	start := time.Now().Add(-time.Hour)
	p := newTimeline(t, start)
	file := filepath.Join(t.TempDir(), "positions.json")
	if code, out := p.scry("checkpoint", "export", file); code != 1 || !strings.Contains(out, "group test has no offsets") || !strings.Contains(out, "kafka.group") {
		t.Errorf("export of no group: exit %d, %s", code, out)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("and yet a file was written")
	}
	for _, args := range [][]string{{"seek", "--to-offset", "30"}, {"seek", "--to-time", "latest", "--partition", "1"}, {"export", file}, {"seek", "--to-time", "earliest"}} {
		if code, out := p.scry(append([]string{"checkpoint"}, args...)...); code != 0 {
			t.Fatalf("%v: %d, %s", args, code, out)
		}
	}
	if _, out := p.scry("checkpoint", "export", file+"2"); !strings.HasPrefix(out, file+"2: group test in 2 partitions") {
		t.Errorf("export says %q", out)
	}
	if code, out := p.scry("checkpoint", "import", file); code != 0 || p.next() != [2]int64{30, 100} {
		t.Errorf("import: exit %d, now %v\n%s", code, p.next(), out)
	}
	// The other cluster holds the same events, ten seconds' worth of which came earlier.
	other := newTimeline(t, start.Add(-10*time.Second))
	if code, out := other.scry("checkpoint", "import", file); code != 0 || other.next() != [2]int64{40, 100} {
		t.Errorf("import elsewhere: exit %d, now %v, want [40 100]\n%s", code, other.next(), out)
	}
}
