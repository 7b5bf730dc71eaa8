package main

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"scry/internal/embedded"
)

func TestTrafficIsKeyedEventsUntilItIsStopped(t *testing.T) {
	kafka, err := embedded.StartKafka("127.0.0.1:0", embedded.Topic{Name: "t", Partitions: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer kafka.Close()
	client, err := kgo.NewClient(kgo.SeedBrokers(kafka.Brokers()...), kgo.ConsumeTopics("t"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	sent := make(chan error, 1)
	go func() { sent <- send(ctx, kafka.Brokers(), "t", 10_000) }()

	whole, cut := 0, 0
	within, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for whole < 5000 || cut == 0 {
		fetches := client.PollFetches(within)
		if err := fetches.Err(); err != nil {
			t.Fatalf("%d whole events, %d cut: %v", whole, cut, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			var event struct {
				User string `json:"user_id"`
			}
			switch err := json.Unmarshal(r.Value, &event); {
			case err != nil:
				cut++
			case event.User != string(r.Key):
				t.Errorf("key %s on %s", r.Key, r.Value)
			default:
				whole++
			}
		})
	}
	if cut > 1+whole/poisonEvery {
		t.Errorf("%d events of %d are cut", cut, whole)
	}
	stop()
	if err := <-sent; err != nil {
		t.Error(err)
	}
	if err := send(t.Context(), kafka.Brokers(), "not there", 1000); err == nil {
		t.Error("a topic that does not exist is no error")
	}
}
