package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"scry/internal/embedded"
	"scry/stream"
)

func runBench(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(append([]string{"bench"}, args...), &out, &errs)
	return code, out.String(), errs.String()
}

func TestBenchReport(t *testing.T) {
	code, out, errs := runBench(t, "--events", "20000", "--duration", "1s", "--rate", "500", "--json")
	var r benchReport
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != 0 || errs != "" {
		t.Fatalf("exit code %d, %v: %s\n%s", code, err, errs, out)
	}
	if r.Model != "buyer-intent/1" || r.Kafka != "embedded" || r.Redis != "embedded" || r.Partitions != 4 || r.PeakBytes < 1<<20 {
		t.Errorf("%+v", r)
	}
	for _, c := range []struct {
		what   string
		part   *benchPart
		events uint64
	}{{"catching up", r.CatchUp, 20_000}, {"steady", r.Steady, 500}} {
		p := c.part
		if p == nil {
			t.Fatalf("%s is missing\n%s", c.what, out)
		}
		if p.Produced != c.events || p.Predicted != c.events || p.DeadLetters != 0 || p.Tombstones != 0 {
			t.Errorf("%s: %+v, want %d predictions", c.what, p, c.events)
		}
		if p.Batches < 1 || p.Batches > c.events || p.Extract <= 0 || p.Predict <= 0 || p.Encode <= 0 || p.Produce <= 0 || p.Cache <= 0 {
			t.Errorf("%s: a stage took nothing: %+v", c.what, p)
		}
		if p.Rate <= 0 || p.CPU <= 0 || p.CoresUsed <= 0 {
			t.Errorf("%s: %+v", c.what, p)
		}
	}
	// What scoring takes by itself, and the rest, are all of it.
	s := r.Scoring
	if s == nil || s.Events != 20_500 || s.Extract <= 0 || s.Predict <= 0 || s.Encode <= 0 || (s.Clock == "thread_cpu") != (runtime.GOOS == "linux") {
		t.Fatalf("scoring %+v", s)
	}
	for _, p := range []*benchPart{r.CatchUp, r.Steady} {
		if sum := p.Rest + s.Extract + s.Predict + s.Encode; s.Clock == "thread_cpu" && math.Abs(sum-p.CPU) > 1e-6*p.CPU {
			t.Errorf("stages and rest are %v us, the process took %v", sum, p.CPU)
		}
	}
	l := r.Steady.Latency
	if r.CatchUp.Latency != nil || l == nil || l.Asked != 500 || l.P50 <= 0 || l.P90 < l.P50 || l.P99 < l.P90 || l.P999 < l.P99 || l.Max < l.P999 {
		t.Errorf("latency %+v", l)
	}
	if r.Steady.Seconds < .9 || r.Steady.Seconds > 30 {
		t.Errorf("steady for %v s", r.Steady.Seconds)
	}
}

// One's own model and events, on servers that stay: a bench leaves nothing there.
func TestBenchOnOtherServers(t *testing.T) {
	kafka, err := embedded.StartKafka("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer kafka.Close()
	server, err := embedded.StartRedis("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	dir := t.TempDir()
	file := filepath.Join(dir, "scry.yaml")
	config := `name: mine
kafka: {brokers: ["127.0.0.1:1"]}
input: {topics: [mine.events], event_time: {path: ts}}
output: {topic: mine.predictions}
cache: {url: "redis://127.0.0.1:1"}
model: {uri: ../../examples/buyer-intent/bundle}
`
	shop := openShop(1)
	var events []byte
	for range 3 {
		_, event := shop.Next(nil, time.Now())
		events = append(append(events, event...), '\n')
	}
	events = append(events, "\n{\"ts\":\"2026-11-\n"...) // every fourth is none
	lines := filepath.Join(dir, "events.jsonl")
	for path, text := range map[string][]byte{file: []byte(config), lines: events} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	code, out, errs := runBench(t, "-c", file, "--file", lines, "--events", "4000", "--duration", "200ms", "--rate", "1000",
		"--brokers", kafka.Brokers()[0], "--redis", server.URL())
	if code != 0 || errs != "" {
		t.Fatalf("exit code %d: %s\n%s", code, errs, out)
	}
	for _, want := range []string{"Catching up with 4,000 events", "At 1,000 events/s for", "  dead letters         1,000   ", "  dead letters            50   ",
		"CPU time of an event", "of the process: scry alone", "scry and the producer", "Redis " + server.URL(), "  cache  ", "  latency p50 "} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if strings.Contains(out, "\x1b") {
		t.Error("escapes outside a terminal")
	}
	leavesNothing(t, admin(t, kafka.Brokers()[0]))
	options, err := redis.ParseURL(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(options)
	defer client.Close()
	if keys, err := client.Keys(t.Context(), "*").Result(); err != nil || len(keys) != 0 {
		t.Errorf("keys left: %v, %v", keys, err)
	}
}

// How to reach brokers that want TLS and a login stands in scry.yaml; its own are left alone.
func TestBenchLogsIn(t *testing.T) {
	server := httptest.NewTLSServer(nil) // for its certificate
	defer server.Close()
	kafka, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.TLS(&tls.Config{Certificates: server.TLS.Certificates}),
		kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-256", "me", "hunter2"))
	if err != nil {
		t.Fatal(err)
	}
	defer kafka.Close()
	dir := t.TempDir()
	ca, file := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "scry.yaml")
	config := fmt.Sprintf(`name: mine
kafka: {brokers: ["127.0.0.1:1"], tls: {enabled: true, ca: %q}, sasl: {mechanism: SCRAM-SHA-256, user: me, password: hunter2}}
input: {topics: [mine.events]}
output: {topic: mine.predictions}
model: {uri: absent}
`, ca)
	for path, text := range map[string][]byte{file: []byte(config),
		ca: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"-c", file, "--events", "500", "--duration", "0", "--brokers", kafka.ListenAddrs()[0]}
	if code, out, errs := runBench(t, args...); code != 0 || errs != "" || !strings.Contains(out, "Catching up with 500 events") {
		t.Fatalf("exit code %d: %s\n%s", code, errs, out)
	}
	client, err := stream.KafkaConfig{Brokers: kafka.ListenAddrs(), TLS: stream.TLSConfig{Enabled: true, CA: ca},
		SASL: stream.SASLConfig{Mechanism: "SCRAM-SHA-256", User: "me", Password: "hunter2"}}.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	leavesNothing(t, kadm.NewClient(client))
	if code, _, errs := runBench(t, append(args, "--set", "kafka.sasl.password=wrong")...); code != exitFailed || !strings.Contains(errs, "kafka.sasl") {
		t.Errorf("a wrong password: exit code %d: %s", code, errs)
	}
}

func leavesNothing(t *testing.T, admin *kadm.Client) {
	t.Helper()
	if topics, err := admin.ListTopics(t.Context()); err != nil || len(topics) != 0 {
		t.Errorf("topics left: %v, %v", topics.Names(), err)
	}
	if groups, err := admin.ListGroups(t.Context()); err != nil || len(groups) != 0 {
		t.Errorf("groups left: %v, %v", groups.Groups(), err)
	}
}

func admin(t *testing.T, broker string) *kadm.Client {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(broker))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return kadm.NewClient(client)
}

func TestBenchInterrupted(t *testing.T) {
	kafka, err := embedded.StartKafka("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer kafka.Close()
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	ended := make(chan error, 1)
	var out bytes.Buffer
	go func() {
		f := pipelineFlags{events: 1000, rate: 100, duration: time.Hour, partitions: 2, brokers: kafka.Brokers()}
		ended <- benchPipeline(ctx, f, &out, io.Discard)
	}()
	// Its group tells that it consumes.
	admin, look := admin(t, kafka.Brokers()[0]), time.NewTicker(5*time.Millisecond)
	defer look.Stop()
	for {
		groups, err := admin.DescribeGroups(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if all := groups.Sorted(); len(all) == 1 && all[0].State == "Stable" {
			break
		}
		select {
		case err := <-ended:
			t.Fatalf("it ended by itself: %v", err)
		case <-look.C:
		}
	}
	interrupt()
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "stopped before the end") || out.Len() > 0 {
		t.Errorf("%v; printed %q", err, &out)
	}
	leavesNothing(t, admin)
}

func TestBenchNamesTheMend(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("\n \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join("..", "..", "examples", "scry.yaml")
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--events", "-1"}, exitUsage, "--events"},
		{[]string{"--events", "0", "--duration", "0"}, exitUsage, "nothing to measure"},
		{[]string{"--rate", "NaN"}, exitUsage, "--rate"},
		{[]string{"--duration", "-1s"}, exitUsage, "--duration"},
		{[]string{"--partitions", "0"}, exitUsage, "--partitions"},
		{[]string{"--file", "x"}, exitUsage, "mapping of -c"},
		{[]string{"-c", "x"}, exitUsage, "give one of them"},
		{[]string{"--set", "cache.ttl=1h"}, exitUsage, "give it"},
		{[]string{"-c", config, "--file", "absent"}, exitUsage, "absent"},
		{[]string{"-c", config, "--file", empty}, exitUsage, "has no event"},
		{[]string{"--brokers", "127.0.0.1:1"}, exitFailed, "leave --brokers out"},
		{[]string{"--redis", "localhost:6379", "--events", "1"}, exitUsage, "redis://"},
		{[]string{"more"}, exitUsage, "scry bench --help"},
	} {
		if code, _, errs := runBench(t, c.args...); code != c.code || !strings.Contains(errs, c.want) {
			t.Errorf("%v: exit code %d, %q; want %d and %q", c.args, code, errs, c.code, c.want)
		}
	}
}
