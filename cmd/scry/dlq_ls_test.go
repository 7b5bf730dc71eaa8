package main

import (
	"context"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Dead letters of others that share the topic are not listed, but counted.
func TestDeadLettersOfOthersAreCounted(t *testing.T) {
	kafka, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "test.dlq"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kafka.Close)
	letter := func(group string) *kgo.Record {
		number := binary.BigEndian.AppendUint64(nil, 5)
		r := &kgo.Record{Topic: "test.dlq", Value: []byte("{}")}
		for _, h := range []kgo.RecordHeader{{Key: "topic", Value: []byte("in")}, {Key: "partition", Value: number[4:]}, {Key: "offset", Value: number},
			{Key: "timestamp", Value: number}, {Key: "consumer-group", Value: []byte(group)}} {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: "kafka_dlt-original-" + h.Key, Value: h.Value})
		}
		return r
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(kafka.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	produce := func(rs ...*kgo.Record) {
		if err := client.ProduceSync(context.Background(), rs...).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	config := mendConfig(t, kafka.ListenAddrs()[0])
	produce(letter("test"))
	if code, out, log := scryNow(t, "dlq", "ls", "-c", config); code != 0 || !strings.Contains(out, "in-5-5") || log != "" {
		t.Errorf("of its own: %d\n%s%s", code, out, log)
	}
	produce(letter("other"), letter("other"), &kgo.Record{Topic: "test.dlq", Value: []byte("no dead letter")})
	for _, args := range [][]string{{}, {"--json"}, {"--by", "reason"}} {
		code, out, log := scryNow(t, append([]string{"dlq", "ls", "-c", config}, args...)...)
		if code != 0 || strings.Count(out, "in-5-5") != 1 || log != "left out: 3 records of other groups or programs\n" {
			t.Errorf("%v: %d\n%s%s", args, code, out, log)
		}
	}
}
