package stream

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"scry/internal/config"
	"scry/predictor"
	"scry/predictor/feature"
)

// guarantee is what consumers promise in every test that does not ask for one.
func guarantee() string { return cmp.Or(os.Getenv("SCRY_TEST_GUARANTEE"), "at_least_once") }

// atLeastOnce skips a test of what only that guarantee does.
func atLeastOnce(t *testing.T) {
	t.Helper()
	if guarantee() != "at_least_once" {
		t.Skip("of at_least_once only")
	}
}

// A harness is a small world for a consumer: brokers, a cache, topics in, out and dlq.
type harness struct {
	t       *testing.T
	brokers []string
	kafka   *kfake.Cluster
	redis   *miniredis.Miniredis
	client  *kgo.Client // produces to in and reads nothing
	cfg     Config
	slow    time.Duration // what a write to Redis takes longer
	wire    *wire         // between consumers and brokers; nil: the network
	said    said          // what consumers have logged
}

type said struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

// times counts how often it was logged.
func (s *said) times(words string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Count(s.text.Bytes(), []byte(words))
}

func newHarness(t *testing.T, partitions int32, opts ...kfake.Opt) *harness {
	t.Helper()
	opts = append([]kfake.Opt{kfake.NumBrokers(1), kfake.SeedTopics(partitions, "in", "out", "dlq")}, opts...)
	kafka, err := kfake.NewCluster(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kafka.Close)
	h := &harness{t: t, kafka: kafka, brokers: kafka.ListenAddrs(), redis: miniredis.RunT(t)}
	h.answerInfo()
	h.client, err = kgo.NewClient(kgo.SeedBrokers(h.brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.client.Close)
	h.cfg = DefaultConfig()
	h.cfg.Kafka.Brokers = h.brokers
	h.cfg.Kafka.Group = "test"
	h.cfg.Input.Topics = []string{"in"}
	h.cfg.Output.Topic = "out"
	h.cfg.Output.DeadLetterTopic = "dlq"
	h.cfg.Cache.URL = config.Secret("redis://" + h.redis.Addr())
	h.cfg.Delivery.CommitInterval = 20 * time.Millisecond
	h.cfg.Delivery.DrainTimeout = 5 * time.Second
	h.cfg.Delivery.Guarantee = guarantee()
	return h
}

// answerInfo answers INFO in the fake's place, whose own answer races with its Close.
func (h *harness) answerInfo() {
	h.redis.Server().SetPreHook(func(c *server.Peer, cmd string, _ ...string) bool {
		if cmd != "INFO" {
			return false
		}
		c.WriteBulk("# Server\r\n")
		return true
	})
}

// restartRedis brings a closed Redis back, with what it held.
func (h *harness) restartRedis() {
	h.t.Helper()
	if err := h.redis.Restart(); err != nil {
		h.t.Fatal(err)
	}
	h.answerInfo()
}

// produce writes events to a partition, in order.
func (h *harness) produce(partition int32, events ...string) {
	h.t.Helper()
	var rs []*kgo.Record
	for _, e := range events {
		rs = append(rs, &kgo.Record{Topic: "in", Partition: partition, Value: []byte(e)})
	}
	if err := h.client.ProduceSync(context.Background(), rs...).FirstErr(); err != nil {
		h.t.Fatal(err)
	}
}

// dial is the network, with a Redis that is slow or a wire to the brokers; nil when there
// is neither.
func (h *harness) dial() func(ctx context.Context, network, address string) (net.Conn, error) {
	if h.slow == 0 && h.wire == nil {
		return nil
	}
	redis := h.redis.Addr() // before it is closed
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		switch {
		case err != nil:
			return nil, err
		case address != redis && h.wire != nil:
			return h.wire.conn(conn), nil
		case address == redis && h.slow > 0:
			return slowConn{conn, h.slow}, nil
		}
		return conn, nil
	}
}

type slowConn struct {
	net.Conn
	by time.Duration
}

func (c slowConn) Write(b []byte) (int, error) {
	time.Sleep(c.by) // the slowness itself
	return c.Conn.Write(b)
}

// A running consumer; stop drains it and returns what Run returned.
type running struct {
	*Consumer
	stop func() error
	wait func() error // for it to stop by itself
}

func (h *harness) run(d *predictor.Deployment) *running {
	h.t.Helper()
	var out io.Writer = h.t.Output()
	if os.Getenv("SCRY_TEST_QUIET") != "" {
		out = io.Discard
	}
	c, err := New(h.cfg, d, Env{Log: slog.New(slog.NewTextHandler(io.MultiWriter(out, &h.said), nil)), Registerer: prometheus.NewRegistry(), Dial: h.dial()})
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		err := c.Run(ctx)
		if err != nil {
			h.t.Log("Run:", err)
		}
		done <- err
	}()
	stopped := false
	r := &running{Consumer: c}
	r.stop = func() error {
		stopped = true
		cancel()
		return <-done
	}
	r.wait = func() error {
		stopped = true
		select {
		case err := <-done:
			return err
		case <-time.After(20 * time.Second):
			cancel()
			return fmt.Errorf("still running after 20 s; then: %w", <-done)
		}
	}
	h.t.Cleanup(func() {
		if !stopped {
			r.stop()
		}
	})
	return r
}

// idle returns a consumer that is not run.
func (h *harness) idle() *Consumer {
	h.t.Helper()
	c, err := New(h.cfg, doubler(), Env{})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { c.cache.close() })
	return c
}

// read returns n records of a topic, or fails when they do not come.
func (h *harness) read(topic string, n int) []*kgo.Record {
	h.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(h.brokers...), kgo.ConsumeTopics(topic), kgo.FetchMaxWait(50*time.Millisecond),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		h.t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var rs []*kgo.Record
	for len(rs) < n {
		fs := cl.PollFetches(ctx)
		rs = append(rs, fs.Records()...)
		if ctx.Err() != nil {
			h.t.Fatalf("topic %s has %d records, want %d", topic, len(rs), n)
		}
	}
	return rs
}

// committed returns the group's offset for a partition of in, -1 when there is none.
func (h *harness) committed(partition int32) int64 {
	h.t.Helper()
	return h.committedBy("test", "in", partition)
}

func (h *harness) committedBy(group, topic string, partition int32) int64 {
	h.t.Helper()
	os, err := kadm.NewClient(h.client).FetchOffsets(context.Background(), group)
	if errors.Is(err, kerr.GroupIDNotFound) {
		return -1
	}
	if err != nil {
		h.t.Fatal(err)
	}
	if o, ok := os.Lookup(topic, partition); ok {
		return o.At
	}
	return -1
}

// evict has the group forget a member.
func (h *harness) evict(member string) {
	h.t.Helper()
	var left error
	if h.cfg.Kafka.Protocol == "classic" {
		req := kmsg.NewPtrLeaveGroupRequest()
		m := kmsg.NewLeaveGroupRequestMember()
		req.Group, m.MemberID = "test", member
		req.Members = append(req.Members, m)
		_, left = req.RequestWith(context.Background(), h.client)
	} else {
		req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
		req.Group, req.MemberID, req.MemberEpoch = "test", member, -1
		_, left = req.RequestWith(context.Background(), h.client)
	}
	if left != nil {
		h.t.Error(left)
	}
}

// eventually waits for a condition that something else brings about.
func (h *harness) eventually(what string, ok func() bool) {
	h.t.Helper()
	const patience = time.Minute // of a busy machine
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			h.t.Fatalf("not within %v: %s", patience, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// doubler is a deployment of one feature, x, whose score is x/2.
func doubler() *predictor.Deployment {
	features := []feature.Feature{{Name: "x", Path: "x", Required: true}}
	return &predictor.Deployment{Name: "half", Version: "1", Features: features,
		Extractor: xExtractor{}, Model: halfModel{}, Labels: []string{"low", "high"}, Threshold: 0.5}
}

// xExtractor reads {"x":…,"user":…,"at":ms} slowly.
type xExtractor struct{}

func (xExtractor) Extract(value []byte, row []float64, s *feature.Scratch) (feature.Fields, error) {
	var e struct {
		X    *float64
		User string
		At   *int64
	}
	if err := json.Unmarshal(value, &e); err != nil {
		return feature.Fields{}, fmt.Errorf("%w: %w", feature.ErrMalformed, err)
	}
	if e.X == nil {
		return feature.Fields{}, fmt.Errorf("%w: x", feature.ErrMissing)
	}
	row[0] = *e.X
	f := feature.Fields{Entity: []byte(e.User)}
	if e.At != nil {
		f.EventTime, f.HasTime = *e.At, true
	}
	return f, nil
}

type halfModel struct{}

func (halfModel) Inputs() []string  { return []string{"x"} }
func (halfModel) Outputs() []string { return []string{"score"} }
func (halfModel) Predict(in, out []float64) error {
	for i := range out {
		out[i] = in[i] / 2
	}
	return nil
}

func event(x float64, user string) string {
	return `{"x":` + strconv.FormatFloat(x, 'g', -1, 64) + `,"user":"` + user + `"}`
}
