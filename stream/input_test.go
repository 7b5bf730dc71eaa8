package stream

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestEveryCodec(t *testing.T) {
	codecs := map[string]kgo.CompressionCodec{"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(),
		"snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()}
	for name, in := range codecs {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, 1)
			h.cfg.Output.Compression = name
			cl, err := kgo.NewClient(kgo.SeedBrokers(h.brokers...), kgo.ProducerBatchCompression(in), kgo.DefaultProduceTopic("in"))
			if err != nil {
				t.Fatal(err)
			}
			defer cl.Close()
			for _, e := range events(500, "a") {
				cl.Produce(context.Background(), &kgo.Record{Value: []byte(e)}, nil)
			}
			if err := cl.Flush(context.Background()); err != nil {
				t.Fatal(err)
			}
			h.run(doubler())
			h.read("out", 500)
		})
	}
}

func TestBothGroupProtocols(t *testing.T) {
	for _, protocol := range []string{"classic", "consumer"} {
		t.Run(protocol, func(t *testing.T) {
			h := newHarness(t, 4)
			h.cfg.Kafka.Protocol = protocol
			a, b := h.run(doubler()), h.run(doubler())
			h.eventually("both have partitions", func() bool { return len(a.Lag()) == 2 && len(b.Lag()) == 2 })
			for p := range int32(4) {
				h.produce(p, events(100, "a")...)
			}
			h.distinct("out", 400)
			if err := a.stop(); err != nil {
				t.Errorf("Run: %v", err)
			}
			h.eventually("the other has all", func() bool { return len(b.Lag()) == 4 })
			for p := range int32(4) {
				h.produce(p, events(100, "a")...)
			}
			h.distinct("out", 800)
		})
	}
}

func TestCompactedInput(t *testing.T) {
	h := newHarness(t, 1)
	if err := h.kafka.CreateTopic("compacted", 1, map[string]string{"cleanup.policy": "compact", "segment.bytes": "300"}); err != nil {
		t.Fatal(err)
	}
	h.cfg.Input.Topics = []string{"compacted"}
	for i := range 20 {
		r := &kgo.Record{Topic: "compacted", Key: []byte("k"), Value: []byte(event(float64(i), "a"))}
		if err := h.client.ProduceSync(context.Background(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	h.kafka.Compact()
	c := h.run(doubler())
	h.eventually("lag 0 over the holes", func() bool { l := c.Lag(); return len(l) == 1 && l[0].Records == 0 })
	if n := c.Stats().Totals().Predicted; n == 0 || n == 20 {
		t.Errorf("%d predictions: compaction left no hole to pass", n)
	}
}

func TestRetentionOvertakesTheGroup(t *testing.T) {
	for _, policy := range []string{"stop", "earliest"} {
		t.Run(policy, func(t *testing.T) {
			h := newHarness(t, 1)
			h.cfg.Input.OnDataLoss = policy
			h.produce(0, events(10, "a")...)
			c := h.run(doubler())
			h.eventually("committed", func() bool { return h.committed(0) == 10 })
			if err := c.stop(); err != nil {
				t.Fatal(err)
			}
			h.produce(0, events(10, "b")...)
			if err := h.kafka.DeleteRecords("in", 0, 15); err != nil {
				t.Fatal(err)
			}
			c = h.run(doubler())
			if policy == "stop" {
				if err := c.wait(); err == nil || !strings.Contains(err.Error(), "5 records are lost") {
					t.Errorf("Run: %v", err)
				}
				if at := h.committed(0); at != 10 {
					t.Errorf("committed %d although it stopped", at)
				}
				return
			}
			h.eventually("what is left is committed", func() bool { return h.committed(0) == 20 })
			h.read("out", 15)
		})
	}
}

// Retention overtakes a running consumer: with nothing left to read, the group's position
// and the lag still move past what is lost.
func TestRetentionOvertakesAConsumer(t *testing.T) {
	h := newHarness(t, 1)
	h.cfg.Input.OnDataLoss = "earliest"
	gate := &gatedModel{open: make(chan struct{})}
	d := doubler()
	d.Model = gate
	c := h.run(d)
	for range 3 { // one is scored, one lies in the client, one is to be fetched
		h.produce(0, events(10, "a")...)
		h.eventually("the first is being scored", gate.entered.Load)
	}
	if err := h.kafka.DeleteRecords("in", 0, 30); err != nil {
		t.Fatal(err)
	}
	close(gate.open)
	h.eventually("the end is committed", func() bool { return h.committed(0) == 30 })
	h.eventually("lag 0", func() bool { return c.Lag()[0].Records == 0 })
	var lost dto.Metric
	if err := c.metrics.lost.Write(&lost); err != nil || lost.GetCounter().GetValue() == 0 {
		t.Errorf("lost %v, %v: retention overtook nothing", lost.GetCounter().GetValue(), err)
	}
}

// A gatedModel scores when it is opened.
type gatedModel struct {
	halfModel
	open    chan struct{}
	entered atomic.Bool
}

func (m *gatedModel) Predict(in, out []float64) error {
	m.entered.Store(true)
	<-m.open
	return m.halfModel.Predict(in, out)
}

func TestRecreatedTopic(t *testing.T) {
	for _, policy := range []string{"stop", "earliest"} {
		t.Run(policy, func(t *testing.T) {
			h := newHarness(t, 1)
			h.cfg.Input.OnDataLoss = policy
			h.produce(0, events(10, "a")...)
			c := h.run(doubler())
			h.eventually("committed", func() bool { return h.committed(0) == 10 })
			if err := c.stop(); err != nil {
				t.Fatal(err)
			}
			if err := h.kafka.DeleteTopic("in"); err != nil {
				t.Fatal(err)
			}
			if err := h.kafka.CreateTopic("in", 1, nil); err != nil {
				t.Fatal(err)
			}
			h.client.PurgeTopicsFromProducing("in")
			h.produce(0, events(30, "b")...)
			// A broker drops a deleted topic's commits sooner or later; the worst case is that it has not.
			c = h.run(doubler())
			if h.committed(0) == 10 && policy == "stop" {
				if err := c.wait(); err == nil || !strings.Contains(err.Error(), "recreated") {
					t.Errorf("Run: %v", err)
				}
				return
			}
			h.eventually("the new topic is read from its start", func() bool { return h.committed(0) == 30 })
			h.read("out", 40)
		})
	}
}

// TestDrainDeadline has a member leave its partitions to another with Redis down: past
// the deadline it abandons what is in flight, and what is done late changes nothing.
func TestDrainDeadline(t *testing.T) {
	atLeastOnce(t)
	h := newHarness(t, 2)
	h.cfg.Input.Entity = "user"
	h.cfg.Delivery.DrainTimeout = 500 * time.Millisecond
	watch := h.watchCommits()
	a := h.run(doubler())
	h.eventually("the first has both", func() bool { return len(a.Lag()) == 2 })
	h.redis.Close()
	h.produce(0, events(20, "a")...)
	h.produce(1, events(20, "b")...)
	h.eventually("both in flight", func() bool { return a.tracker.InFlight() >= 2 })
	b := h.run(doubler())
	h.eventually("the second waits for Redis", func() bool { return b.Health().isDown("redis") })
	h.restartRedis()
	h.eventually("each has one", func() bool { return len(a.Lag()) == 1 && len(b.Lag()) == 1 })
	h.eventually("all is committed", func() bool { return h.committed(0) == 20 && h.committed(1) == 20 })
	if n := len(h.distinct("out", 40)); n != 40 {
		t.Errorf("%d predictions of 40", n)
	}
	watch(t)
}
