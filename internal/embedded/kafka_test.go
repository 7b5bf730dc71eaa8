package embedded

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

func dialKafka(t testing.TB, k *Kafka, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(k.Brokers()...)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// eventually polls: these are real sockets, which no bubble of synctest can wait for.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func produce(t *testing.T, c *kgo.Client, topic string, n, size int) {
	t.Helper()
	batch := make([]*kgo.Record, n)
	for i := range batch {
		batch[i] = &kgo.Record{Topic: topic, Value: fmt.Append(nil, i, strings.Repeat("x", size))}
	}
	if err := c.ProduceSync(t.Context(), batch...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

func TestKafkaProducesAndConsumes(t *testing.T) {
	k, err := StartKafka("127.0.0.1:0", Topic{Name: "in", Partitions: 3}, Topic{Name: "out", Partitions: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	topics, err := kadm.NewClient(dialKafka(t, k)).ListTopics(t.Context())
	if err != nil || len(topics) != 2 || len(topics["in"].Partitions) != 3 || len(topics["out"].Partitions) != 1 {
		t.Fatalf("topics %v: %v", topics, err)
	}
	produce(t, dialKafka(t, k), "in", 1000, 10)
	c := dialKafka(t, k, kgo.ConsumeTopics("in"), kgo.ConsumerGroup("g"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for n := 0; n < 1000; {
		fetches := c.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		n += fetches.NumRecords()
	}
	if err := c.CommitUncommittedOffsets(ctx); err != nil {
		t.Fatal(err)
	}
	if err := dialKafka(t, k).ProduceSync(ctx, &kgo.Record{Topic: "nobody made this"}).FirstErr(); err == nil {
		t.Error("an unknown topic was made by producing to it")
	}
}

// A topic is trimmed, but not of what its group has yet to read.
func TestKafkaTrims(t *testing.T) {
	const keep = 100_000
	k, err := startKafka("127.0.0.1:0", keep, time.Hour, []Topic{
		{Name: "in", Partitions: 1, Group: "g"},
		{Name: "out", Partitions: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	c := dialKafka(t, k, kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for range 40 {
		produce(t, c, "in", 100, 100)
		produce(t, c, "out", 100, 100)
	}
	trim := func() (in, out int64) {
		for _, topic := range k.topics {
			k.trim(topic)
		}
		return k.cluster.PartitionInfo("in", 0).LogStartOffset, k.cluster.PartitionInfo("out", 0).LogStartOffset
	}
	in, out := trim()
	if in != 0 || out < 2500 || out > 3500 {
		t.Errorf("before any commit: in starts at %d, want 0; out at %d, want about 3100", in, out)
	}
	if left := k.cluster.PartitionInfo("out", 0).NumBytes; left > keep+20_000 {
		t.Errorf("%d bytes left of %d to keep", left, keep)
	}
	commit := func(at int64) {
		t.Helper()
		offsets := kadm.Offsets{}
		offsets.AddOffset("in", 0, at, -1)
		if err := kadm.NewClient(c).CommitAllOffsets(t.Context(), "g", offsets); err != nil {
			t.Fatal(err)
		}
	}
	commit(1234)
	if in, _ := trim(); in != 1234 {
		t.Errorf("committed 1234: in starts at %d", in)
	}
	commit(4000)
	if in, _ := trim(); in < 2500 || in > 3500 {
		t.Errorf("all committed: in starts at %d, want about 3100", in)
	}
}

// The ticker trims by itself.
func TestKafkaTrimsInTime(t *testing.T) {
	k, err := startKafka("127.0.0.1:0", 1000, 5*time.Millisecond, []Topic{{Name: "out", Partitions: 1}})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	c := dialKafka(t, k)
	for range 10 {
		produce(t, c, "out", 50, 100)
	}
	eventually(t, "records are deleted", func() bool { return k.cluster.PartitionInfo("out", 0).LogStartOffset > 0 })
}

func TestCloseLeavesNothing(t *testing.T) {
	k, err := StartKafka("127.0.0.1:0", Topic{Name: "in", Partitions: 2})
	if err != nil {
		t.Fatal(err)
	}
	r, err := StartRedis("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	kc := dialKafka(t, k, kgo.ConsumeTopics("in"), kgo.ConsumerGroup("g"))
	produce(t, kc, "in", 10, 10)
	rc := dialRedis(t, r)
	if err := rc.Set(t.Context(), "a", "b", time.Hour).Err(); err != nil {
		t.Fatal(err)
	}
	// The clients are still there when the servers go.
	k.Close()
	r.Close()
	k.Close()
	r.Close()
	kc.Close()
	rc.Close()
	eventually(t, "no goroutine is left", func() bool {
		buf := make([]byte, 1<<20)
		stacks := string(buf[:runtime.Stack(buf, true)])
		return !strings.Contains(stacks, "kfake.") && !strings.Contains(stacks, "miniredis/v2") && !strings.Contains(stacks, "embedded.start")
	})
}
