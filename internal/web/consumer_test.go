package web

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"scry/internal/config"
	"scry/internal/embedded"
	"scry/predictor"
	"scry/predictor/feature"
	"scry/stream"
)

// A real consumer, seen only through its two addresses: starting, ready, held, draining.
func TestTheLifeOfAConsumerAsSeenFromOutside(t *testing.T) {
	kafka, err := embedded.StartKafka("127.0.0.1:0", embedded.Topic{Name: "in", Partitions: 2}, embedded.Topic{Name: "out", Partitions: 1}, embedded.Topic{Name: "dlq", Partitions: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer kafka.Close()
	redis, err := embedded.StartRedis("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer redis.Close()
	producer, err := kgo.NewClient(kgo.SeedBrokers(kafka.Brokers()...), kgo.DefaultProduceTopic("in"))
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	produce := func(n int, value string) {
		t.Helper()
		var rs []*kgo.Record
		for i := range n {
			rs = append(rs, &kgo.Record{Key: fmt.Appendf(nil, "u%d", i), Value: []byte(value)})
		}
		if err := producer.ProduceSync(t.Context(), rs...).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}

	reg := prometheus.NewRegistry()
	cfg := stream.DefaultConfig()
	cfg.Kafka.Brokers, cfg.Kafka.Group = kafka.Brokers(), "test"
	cfg.Input.Topics, cfg.Output.Topic, cfg.Output.DeadLetterTopic = []string{"in"}, "out", "dlq"
	cfg.Cache.URL = config.Secret(redis.URL())
	d := &predictor.Deployment{Name: "shop", Version: "7", Features: []feature.Feature{{Name: "x", Path: "x"}},
		Extractor: numbers{}, Model: identity{}, Labels: []string{"low", "high"}, Threshold: .5}
	consumer, err := stream.New(cfg, d, stream.Env{Registerer: reg})
	if err != nil {
		t.Fatal(err)
	}
	server, err := Listen(Config{Health: "127.0.0.1:0", Admin: "127.0.0.1:0", Name: "shop", Deployment: d, Consumer: consumer, Gatherer: reg})
	if err != nil {
		t.Fatal(err)
	}
	serving, stopServing := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- server.Run(serving) }()
	defer func() {
		stopServing()
		if err := <-served; err != nil {
			t.Errorf("Server.Run: %v", err)
		}
	}()
	status := func() Report {
		_, body := get(t, server.AdminAddr(), "/api/status")
		return decode[Report](t, body)
	}
	until := func(what string, ok func(Report) bool) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); !ok(status()); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("not within 20 s: %s; status %+v", what, status())
			}
		}
	}
	if s := status(); s.State != "starting" || s.Cache == nil {
		t.Errorf("before Run: %+v", s)
	}

	consuming, stop := context.WithCancel(context.Background())
	consumed := make(chan error, 1)
	go func() { consumed <- consumer.Run(consuming) }()
	produce(50, `0.75`)
	until("all is predicted", func(r Report) bool { return r.Totals.Predicted == 50 })
	s := status()
	if s.State != "ready" || len(s.Lag) != 2 || s.Consumed != 50 || s.Cache.Written != 50 || s.Latency == nil || !strings.Contains(string(s.Sample), `"label":"high"`) {
		t.Errorf("ready: %+v", s)
	}
	if code, body := get(t, server.HealthAddr(), "/readyz"); code != 200 {
		t.Errorf("readyz: %d %s", code, body)
	}
	if _, body := get(t, server.HealthAddr(), "/metrics"); !strings.Contains(body, "\nscry_predictions_total 50\n") {
		t.Errorf("metrics: %s", body)
	}
	_, body := get(t, server.AdminAddr(), "/api/lookup?entity=u7")
	found := decode[stream.Cached](t, body)
	var value struct{ Score float64 }
	if err := json.Unmarshal(found.Value, &value); err != nil || found.State != stream.Fresh || value.Score != .75 {
		t.Errorf("lookup: %s, %v", body, err)
	}
	_, body = get(t, server.AdminAddr(), "/api/lookup?entity=nobody")
	if found := decode[stream.Cached](t, body); found.State != stream.Missing {
		t.Errorf("lookup: %s", body)
	}

	produce(400, `"renamed"`)
	until("held", func(r Report) bool { return r.State == "held" && strings.Contains(r.Reason, "hold_when_rejected") })
	if code, body := get(t, server.HealthAddr(), "/readyz"); code != 503 || !strings.Contains(body, "hold_when_rejected") {
		t.Errorf("readyz while held: %d %s", code, body)
	}
	if code, body := get(t, server.HealthAddr(), "/livez"); code != 200 {
		t.Errorf("livez while held: %d %s", code, body)
	}
	stop()
	if err := <-consumed; err != nil {
		t.Errorf("Consumer.Run: %v", err)
	}
	if s := status(); s.State != "draining" {
		t.Errorf("after the stop: %+v", s)
	}
}

// numbers reads events that are a number.
type numbers struct{}

func (numbers) Extract(value []byte, row []float64, _ *feature.Scratch) (feature.Fields, error) {
	if json.Unmarshal(value, &row[0]) != nil {
		return feature.Fields{}, feature.ErrMalformed
	}
	return feature.Fields{}, nil
}

// identity is a model whose score is its feature.
type identity struct{}

func (identity) Inputs() []string  { return []string{"x"} }
func (identity) Outputs() []string { return []string{"score"} }
func (identity) Predict(in, out []float64) error {
	copy(out, in)
	return nil
}
