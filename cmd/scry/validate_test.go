package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"scry/internal/embedded"
	"scry/internal/shop"
	"scry/stream"
)

// pipeline writes a scry.yaml for the bundled model and returns its path.
func pipeline(t *testing.T, brokers, redis string) string {
	t.Helper()
	bundle, err := filepath.Abs("../../examples/buyer-intent/bundle")
	if err != nil {
		t.Fatal(err)
	}
	return write(t, "scry.yaml", `
name: buyer-intent
kafka: {brokers: ["`+brokers+`"]}
input: {topics: [shop.events], event_time: {path: ts}}
model: {uri: `+bundle+`}
output: {topic: shop.predictions}
cache: {url: "`+redis+`"}
`)
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// check runs `scry validate`.
func check(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(append([]string{"validate"}, args...), &out, &errs)
	return code, out.String(), errs.String()
}

// line wants a line of the checklist.
func line(t *testing.T, out, pattern string) {
	t.Helper()
	if !regexp.MustCompile(`(?m)^` + pattern).MatchString(out) {
		t.Errorf("no line like %s in\n%s", pattern, out)
	}
}

func TestValidateOnline(t *testing.T) {
	kafka, err := embedded.StartKafka("127.0.0.1:0", embedded.Topic{Name: "shop.events", Partitions: 3},
		embedded.Topic{Name: "shop.predictions", Partitions: 1}, embedded.Topic{Name: "buyer-intent.dlq", Partitions: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer kafka.Close()
	server, err := embedded.StartRedis("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	file := pipeline(t, kafka.Brokers()[0], server.URL())

	code, out, errs := check("-c", file)
	if code != 0 || errs != "" {
		t.Errorf("exit code %d, %s\n%s", code, errs, out)
	}
	line(t, out, `ok    event        none looked at: shop.events has no event yet`)

	client, err := kgo.NewClient(kgo.SeedBrokers(kafka.Brokers()...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	traffic := &traffic{topic: "shop.events", events: shop.New(1, 10)}
	var last *kgo.Record
	for i := range 5 {
		last, _ = traffic.next(nil, time.Now())
		last.Timestamp = time.Now().Add(time.Duration(i-10) * time.Second)
		if err := client.ProduceSync(t.Context(), last).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	code, out, errs = check("-c", file)
	if code != 0 || errs != "" {
		t.Errorf("exit code %d, %s\n%s", code, errs, out)
	}
	for _, pattern := range []string{
		`ok    config  .*pipeline buyer-intent`,
		`ok    model  .*buyer-intent/1, 20 features, labels browse, buy`,
		`ok    golden rows  200 rows scored as in training: the greatest difference is 0`,
		`ok    kafka        1 broker reached`,
		`ok    topic        shop.events \(input\): 3 partitions`,
		`warn  replay .* a start reads up to 5 events`,
		`ok    redis        ` + regexp.QuoteMeta(server.URL()),
		`ok    event        the newest \(shop.events-\d-\d\) is scored`,
		`  action +type +\d +category "[a-z_]+"$`,
		`  (dwell_s|discount|visits_30d) .* nan +not in the event`,
		`  entity +` + string(last.Key) + ` +the record's key`,
		`  event time +ts +2\S+Z +the event`,
		`  \{"id":"shop.events-\d-\d","entity":"` + string(last.Key) + `","score":0\.\d+,"label":"(browse|buy)"`,
		`\d+ ok, 1 warning, 0 failed`,
	} {
		line(t, out, pattern)
	}
	// The entity is in the event too, and the same as the key; the session's id is not.
	if _, out, _ := check("-c", file, "--set", "input.entity=user_id"); strings.Contains(out, "warn  entity") {
		t.Errorf("a warning:\n%s", out)
	}
	_, out, _ = check("-c", file, "--set", "input.entity=session.id")
	line(t, out, `warn  entity       session.id is not the record's key: .* out of order`)
	_, out, _ = check("-c", file, "--set", "input.entity=nothing.here")
	line(t, out, `warn  entity       the event has nothing at input.entity \(nothing.here\)`)

	// An event that cannot be scored is its producer's fault unless it was given.
	if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "shop.events", Value: []byte("{")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	code, out, _ = check("-c", file)
	line(t, out, `warn  event        the newest \(\S+\) would be a dead letter: malformed`)
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	code, out, errs = check("-c", file, "--set", "output.topic=nope")
	line(t, out, `FAIL  topic        nope \(predictions\) does not exist`)
	line(t, out, ` +-> create it: kafka-topics.sh --bootstrap-server \S+ --create --topic nope`)
	if code != exitFailed || errs != "scry: 1 check failed\n" {
		t.Errorf("exit code %d, %q", code, errs)
	}
}

func TestValidateOffline(t *testing.T) {
	file := pipeline(t, "127.0.0.1:1", "redis://127.0.0.1:1/0")
	_, event := shop.New(1, 10).Next(nil, time.Now())
	good := write(t, "event.json", string(event))

	code, out, errs := check("-c", file, "--offline", "--event", good, "--json")
	var l checklist
	if err := json.Unmarshal([]byte(out), &l); err != nil || code != 0 || errs != "" {
		t.Fatalf("%v, exit code %d, %s\n%s", err, code, errs, out)
	}
	var prediction struct{ Score *float64 }
	if json.Unmarshal(l.Event.Prediction, &prediction) != nil || prediction.Score == nil || len(l.Event.Features) != 20 || !l.OK {
		t.Errorf("%s", out)
	}
	for _, f := range l.Findings {
		if f.Level != stream.OK || f.What == "kafka" || f.What == "redis" {
			t.Errorf("offline: %+v", f)
		}
	}

	bad := write(t, "bad.json", `{"type":"search"}`)
	code, out, _ = check("-c", file, "--offline", "--event", bad)
	line(t, out, `FAIL  event        the one given would be a dead letter: required feature missing`)
	if code != exitFailed {
		t.Errorf("exit code %d", code)
	}

	code, out, _ = check("-c", file)
	line(t, out, `FAIL  kafka        127.0.0.1:1: .*refused`)
	line(t, out, `FAIL  redis        redis://127.0.0.1:1/0: .*refused`)
	if code != exitFailed {
		t.Errorf("exit code %d", code)
	}

	_, out, _ = check("-c", file, "--offline", "--set", "kafka.instance=scry-7d9f8b6c5d-x2x4z")
	line(t, out, `warn  config       kafka.instance is scry-7d9f8b6c5d-x2x4z`)
	if _, out, _ = check("-c", file, "--offline", "--set", "kafka.instance=scry-0"); strings.Contains(out, "\nwarn") {
		t.Errorf("a stable name:\n%s", out)
	}

	model, err := os.ReadFile("../../examples/buyer-intent/bundle/model.ubj")
	if err != nil {
		t.Fatal(err)
	}
	alone := write(t, "model.ubj", string(model))
	_, out, _ = check("-c", file, "--offline", "--set", "model.uri="+alone)
	line(t, out, `warn  golden rows  the bundle has none`)
	code, out, _ = check("-c", file, "--offline", "--set", "model.uri=/nowhere")
	line(t, out, `FAIL  model `)
	line(t, out, ` +-> correct model.uri`)
	if code != exitFailed {
		t.Errorf("exit code %d", code)
	}
}

func TestValidateRefuses(t *testing.T) {
	file := pipeline(t, "127.0.0.1:1", "")
	empty := write(t, "empty.json", " \n")
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"-c", file, "--set", "cache.ttl=soon"}, exitConfig, "cache.ttl"},
		{[]string{"-c", "/nowhere.yaml"}, exitConfig, "/nowhere.yaml"},
		{[]string{"-c", file, "--offline", "--event", "/nowhere.json"}, exitUsage, "/nowhere.json"},
		{[]string{"-c", file, "--offline", "--event", empty}, exitUsage, "is empty; give one event"},
		{[]string{"-c", file, "more"}, exitUsage, "validate --help"},
	} {
		if code, out, errs := check(c.args...); code != c.code || !strings.Contains(errs, c.want) || out != "" {
			t.Errorf("%v: exit code %d, %q, printed %q; want %d and %q", c.args, code, errs, out, c.code, c.want)
		}
	}
}
