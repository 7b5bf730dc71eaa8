package schemas

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/twmb/franz-go/pkg/kgo"

	"scry/internal/config"
	"scry/internal/embedded"
	"scry/predictor"
	"scry/predictor/feature"
	"scry/stream"
)

// fixed is a model that gives each event the scores it holds.
type fixed struct{ outputs []string }

func (fixed) Inputs() []string    { return []string{"x"} }
func (m fixed) Outputs() []string { return m.outputs }
func (fixed) Predict(in, out []float64) error {
	per := len(out) / len(in)
	for i := range out {
		out[i] = in[i/per] / float64(1+i%per)
	}
	return nil
}

type events struct{}

func (events) Extract(value []byte, row []float64, _ *feature.Scratch) (feature.Fields, error) {
	var e struct {
		X    *float64
		User string
		NaN  bool
	}
	if err := json.Unmarshal(value, &e); err != nil {
		return feature.Fields{}, fmt.Errorf("%w: %w", feature.ErrMalformed, err)
	}
	if e.NaN {
		e.X = new(math.NaN())
	}
	if e.X == nil {
		return feature.Fields{}, fmt.Errorf("%w: x", feature.ErrMissing)
	}
	row[0] = *e.X
	return feature.Fields{Entity: []byte(e.User)}, nil
}

// What scry writes is what the schemas say, for each kind of model.
func TestOutputFollowsTheSchemas(t *testing.T) {
	models := map[string]*predictor.Deployment{
		"binary":     {Model: fixed{[]string{"score"}}, Labels: []string{"browse", "buy \"now\""}, Threshold: 0.5},
		"regression": {Model: fixed{[]string{"score"}}},
		"classes":    {Model: fixed{[]string{"0", "1", "2"}}, Labels: []string{"billing", "bug", "other"}},
	}
	for name, d := range models {
		t.Run(name, func(t *testing.T) {
			d.Name, d.Version, d.Extractor = name, "7", events{}
			d.Features = []feature.Feature{{Name: "x", Path: "x", Required: true}}
			checkOutput(t, d)
		})
	}
}

func checkOutput(t *testing.T, d *predictor.Deployment) {
	kafka, err := embedded.StartKafka("127.0.0.1:0", embedded.Topic{Name: "in-1", Partitions: 1},
		embedded.Topic{Name: "out", Partitions: 1}, embedded.Topic{Name: "dlq", Partitions: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer kafka.Close()
	server, err := embedded.StartRedis("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()

	client, err := kgo.NewClient(kgo.SeedBrokers(kafka.Brokers()...), kgo.ConsumeTopics("out", "dlq"), kgo.DefaultProduceTopic("in-1"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	record := func(key, value string) *kgo.Record { return &kgo.Record{Key: []byte(key), Value: []byte(value)} }
	in := []*kgo.Record{
		record("k", `{"x":0.25,"user":"u1"}`),
		record("k", `{"x":0.75,"user":"u\u0001\"2"}`),
		record("k", `{"x":-1e-9,"user":"u3"}`),
		record("k", `{"nan":true,"user":"u4"}`),
		record("k", `{"x":1}`), // no entity
		{Key: []byte("u5")},    // a tombstone
		record("k", `{"user":"u6"}`),
		record("k", `{`),
		record("k", strings.Repeat("{", 950<<10)),
	}
	const predictions, tombstones, dead, cached = 5, 1, 3, 5
	if err := client.ProduceSync(ctx, in...).FirstErr(); err != nil {
		t.Fatal(err)
	}

	cfg := stream.DefaultConfig()
	cfg.Kafka.Brokers, cfg.Kafka.Group = kafka.Brokers(), "g"
	cfg.Input.Topics, cfg.Input.Entity = []string{"in-1"}, "user"
	cfg.Output.Topic, cfg.Output.DeadLetterTopic = "out", "dlq"
	cfg.Cache.URL = config.Secret(server.URL())
	consumer, err := stream.New(cfg, d, stream.Env{})
	if err != nil {
		t.Fatal(err)
	}
	running, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- consumer.Run(running) }()

	schemas := map[string]*jsonschema.Schema{}
	for _, file := range contracts {
		schemas[file] = compile(t, file)
	}
	valid := func(file string, value any) {
		t.Helper()
		if err := schemas[file].Validate(value); err != nil {
			t.Errorf("%s: %v\n%v", file, err, value)
		}
	}
	counts := map[string]int{}
	for counts["out"] < predictions+tombstones || counts["dlq"] < dead {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err, counts)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			counts[r.Topic]++
			switch {
			case r.Topic == "dlq":
				valid("dead_letter.json", headers(r))
			case r.Value == nil:
				counts["tombstones"]++
			default:
				valid("prediction.json", parse(t, r.Value))
			}
		})
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if counts["out"] != predictions+tombstones || counts["dlq"] != dead || counts["tombstones"] != tombstones {
		t.Errorf("records: %v", counts)
	}

	options, err := redis.ParseURL(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	cache := redis.NewClient(options)
	defer cache.Close()
	keys, err := cache.Keys(ctx, "pred:"+d.Name+":*").Result()
	if err != nil || len(keys) != cached {
		t.Errorf("keys %q, want %d: %v", keys, cached, err)
	}
	for _, key := range keys {
		value := cache.Get(ctx, key).Val()
		valid("cache.json", parse(t, []byte(value)))
		if !strings.HasPrefix(value, `{"v":"`) {
			t.Errorf("the version is not first: %s", value)
		}
		if deleted := strings.Contains(value, `"deleted":true`); deleted != strings.HasSuffix(key, ":u5") {
			t.Errorf("%s is %s", key, value)
		}
	}
}

// headers are a dead letter's as the schema has them.
func headers(r *kgo.Record) map[string]any {
	all := map[string]any{}
	for _, h := range r.Headers {
		switch h.Key {
		case "kafka_dlt-original-partition":
			all[h.Key] = json.Number(fmt.Sprint(int32(binary.BigEndian.Uint32(h.Value))))
		case "kafka_dlt-original-offset", "kafka_dlt-original-timestamp":
			all[h.Key] = json.Number(fmt.Sprint(int64(binary.BigEndian.Uint64(h.Value))))
		default:
			all[h.Key] = string(h.Value)
		}
	}
	return all
}

func parse(t *testing.T, text []byte) any {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		t.Errorf("%v: %s", err, text)
	}
	return v
}
