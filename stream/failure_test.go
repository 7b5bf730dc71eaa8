package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"scry/checkpoint"
	"scry/predictor"
)

// moody is a model that panics on x = 13 and, while broken, fails on everything.
type moody struct {
	halfModel
	broken atomic.Bool
}

func (m *moody) Predict(in, out []float64) error {
	if m.broken.Load() {
		return errors.New("weights are gone")
	}
	for _, x := range in {
		if x == 13 {
			panic("unlucky")
		}
	}
	return m.halfModel.Predict(in, out)
}

func withModel(m predictor.Model) *predictor.Deployment {
	d := doubler()
	d.Model = m
	return d
}

func events(n int, user string) []string {
	var s []string
	for i := range n {
		s = append(s, event(float64(i%1000)/1000, user))
	}
	return s
}

// header returns a record's last header of a name.
func header(r *kgo.Record, key string) string {
	v := ""
	for _, h := range r.Headers {
		if h.Key == key {
			v = string(h.Value)
		}
	}
	return v
}

func TestRedisDownBlocksAndRecovers(t *testing.T) {
	h := newHarness(t, 1)
	h.cfg.Input.Entity = "user"
	c := h.run(doubler())
	h.produce(0, events(10, "a")...)
	h.eventually("the first events are committed", func() bool { return h.committed(0) == 10 })

	h.redis.Close()
	h.produce(0, events(50, "b")...)
	h.eventually("not ready", func() bool { err := c.Health().Ready(); return err != nil && strings.Contains(err.Error(), "redis") })
	if at := h.committed(0); at != 10 {
		t.Errorf("committed %d while the cache lacks what comes after 10", at)
	}
	h.restartRedis()
	h.eventually("all is committed", func() bool { return h.committed(0) == 60 })
	h.eventually("ready again", func() bool { return c.Health().Ready() == nil })
	if v, _ := h.redis.Get("pred:half:b"); !strings.Contains(v, `"id":"in-0-59"`) {
		t.Errorf("cached for b: %s, want the prediction of offset 59", v)
	}
}

func TestRedisDownSkips(t *testing.T) {
	h := newHarness(t, 1)
	h.cfg.Cache.OnFailure = "skip"
	h.cfg.Input.Entity = "user"
	h.run(doubler())
	h.produce(0, events(10, "a")...)
	h.eventually("the first events are committed", func() bool { return h.committed(0) == 10 })
	h.redis.Close()
	h.produce(0, events(50, "b")...)
	h.eventually("all is committed without the cache", func() bool { return h.committed(0) == 60 })
}

func TestStopWithFullWindowAndRedisDown(t *testing.T) {
	h := newHarness(t, 1)
	h.cfg.Input.Entity = "user"
	h.cfg.Delivery.MaxInFlight = 1000
	h.cfg.Delivery.DrainTimeout = 2 * time.Second
	c := h.run(doubler())
	h.produce(0, events(10, "a")...)
	h.eventually("the first events are committed", func() bool { return h.committed(0) == 10 })
	h.redis.Close()
	for range 20 {
		h.produce(0, events(20, "b")...)
	}
	h.eventually("the window is full", func() bool { b, _, _ := c.window.load(); return b >= 1000 })
	start := time.Now()
	if err := c.stop(); err != nil {
		t.Errorf("Run: %v", err)
	}
	if took := time.Since(start); took > h.cfg.Delivery.DrainTimeout+time.Second {
		t.Errorf("stopping took %v, the drain timeout is %v", took, h.cfg.Delivery.DrainTimeout)
	}
	if at := h.committed(0); at != 10 {
		t.Errorf("committed %d: beyond 10 nothing is in the cache", at)
	}
	// What was abandoned is read again.
	h.restartRedis()
	h.run(doubler())
	h.eventually("the rest is committed", func() bool { return h.committed(0) == 410 })
}

func TestModelPanicsOnOneRow(t *testing.T) {
	h := newHarness(t, 1)
	h.produce(0, event(1, "a"), event(13, "a"), event(2, "a"))
	h.run(withModel(&moody{}))
	h.read("out", 2)
	dead := h.read("dlq", 1)[0]
	if header(dead, "scry-position") != "in-0-1" || header(dead, "scry-reason") != reasonModel {
		t.Errorf("dead letter of %s for %s", header(dead, "scry-position"), header(dead, "scry-reason"))
	}
	h.eventually("all is committed", func() bool { return h.committed(0) == 3 })
}

func TestModelPanicsOnTheFirstEventEver(t *testing.T) {
	h := newHarness(t, 1)
	h.produce(0, event(13, "a"))
	h.run(withModel(&moody{}))
	h.read("dlq", 1)
	h.eventually("committed", func() bool { return h.committed(0) == 1 })
}

// A topic that takes less than the client sends by default: the batches are made to fit.
func TestSmallMessagesOnly(t *testing.T) {
	h := newHarness(t, 1)
	if err := h.kafka.CreateTopic("small", 1, map[string]string{"max.message.bytes": "20000"}); err != nil {
		t.Fatal(err)
	}
	h.cfg.Output.Topic, h.cfg.Output.Compression = "small", "none"
	h.produce(0, events(5000, "a")...)
	h.run(doubler())
	h.read("small", 5000)
	h.empty("dlq")
}

func TestBrokenModelHolds(t *testing.T) {
	for _, before := range []int{0, 5} {
		t.Run(fmt.Sprintf("after %d good events", before), func(t *testing.T) {
			h := newHarness(t, 1)
			m := &moody{}
			c := h.run(withModel(m))
			h.produce(0, events(before, "a")...)
			h.eventually("good events are committed", func() bool { return h.committed(0) == int64(before) })
			m.broken.Store(true)
			h.produce(0, event(1, "a"))
			h.eventually("held", func() bool {
				err := c.Health().Ready()
				return err != nil && strings.Contains(err.Error(), "weights are gone")
			})
			if err := c.Health().Live(); err != nil {
				t.Errorf("not live: %v; a restart does not mend a model", err)
			}
			if err := c.stop(); err != nil {
				t.Errorf("Run: %v", err)
			}
			if at := h.committed(0); at != int64(before) {
				t.Errorf("committed %d, want %d", at, before)
			}
			h.empty("dlq")
		})
	}
}

// mortal is a model that panics when it has been used often enough.
type mortal struct {
	halfModel
	left atomic.Int64
}

func (m *mortal) Predict(in, out []float64) error {
	if m.left.Add(-1) < 0 {
		panic("worn out")
	}
	return m.halfModel.Predict(in, out)
}

// A model that breaks in the middle of a batch is not the fault of the batch's rest.
func TestModelThatBreaksInMidBatchHolds(t *testing.T) {
	h := newHarness(t, 1)
	m := &mortal{}
	m.left.Store(1)
	c := h.run(withModel(m))
	h.produce(0, event(1, "a"))
	h.eventually("committed", func() bool { return h.committed(0) == 1 })
	m.left.Store(6) // of eight chunks: too few rejects for hold_when_rejected
	h.produce(0, events(1000, "a")...)
	h.eventually("held", func() bool {
		err := c.Health().Ready()
		return err != nil && strings.Contains(err.Error(), "worn out")
	})
	if err := c.stop(); err != nil {
		t.Errorf("Run: %v", err)
	}
	if at := h.committed(0); at > 1000 {
		t.Errorf("committed %d: what the model did not score is passed over", at)
	}
	h.empty("dlq")
}

// Nor of the first batch's, whose first chunk holds no good row.
func TestModelThatBreaksInTheFirstBatchIsToBlame(t *testing.T) {
	m := &mortal{}
	m.left.Store(2) // of three chunks
	s := newScorer(DefaultConfig())
	s.workers = s.workers[:1]
	b := &batch{}
	for i := range 3 * chunkRows {
		value := event(1, "a")
		if i < chunkRows {
			value = "{"
		}
		b.records = append(b.records, &kgo.Record{Offset: int64(i), Value: []byte(value)})
	}
	b.runs = []run{{to: len(b.records), source: newSource(checkpoint.Partition{Topic: "in"})}}
	b.reset(len(b.records), withModel(m), false)
	if err := s.score(b); !errors.Is(err, errModel) {
		t.Errorf("the events are to blame: %v", err)
	}
}

func TestRenamedFeatureHolds(t *testing.T) {
	h := newHarness(t, 1)
	c := h.run(doubler())
	h.produce(0, events(500, "a")...)
	h.eventually("good events are committed", func() bool { return h.committed(0) == 500 })
	renamed := make([]string, 1000)
	for i := range renamed {
		renamed[i] = `{"ex":1,"user":"a"}`
	}
	h.produce(0, renamed...)
	h.eventually("held", func() bool {
		err := c.Health().Ready()
		return err != nil && strings.Contains(err.Error(), "held") && strings.Contains(err.Error(), "required feature missing: x")
	})
	if err := c.stop(); err != nil {
		t.Errorf("Run: %v", err)
	}
	if at := h.committed(0); at > 500+501 {
		t.Errorf("committed %d: the topic was drained into the dead letters", at)
	}
}

func TestTooLargePredictionIsADeadLetter(t *testing.T) {
	h := newHarness(t, 1)
	h.refuse("out", kerr.MessageTooLarge, 1)
	h.produce(0, event(1, "a"))
	h.run(doubler())
	dead := h.read("dlq", 1)[0]
	if header(dead, "scry-reason") != reasonTooLarge {
		t.Errorf("reason %q", header(dead, "scry-reason"))
	}
	h.eventually("committed", func() bool { return h.committed(0) == 1 })
}

func TestHugeEventIsScoredOrCut(t *testing.T) {
	h := newHarness(t, 1)
	big := `{"x":1,"user":"a","pad":"` + strings.Repeat("p", 800_000) + `"}`
	h.produce(0, big, `{"pad":"`+strings.Repeat("q", 950_000)+`"}`)
	h.run(doubler())
	h.read("out", 1)
	dead := h.read("dlq", 1)[0]
	if len(dead.Value) != deadLetterValue || header(dead, "scry-value-length") != "950010" {
		t.Errorf("dead letter keeps %d bytes of %s", len(dead.Value), header(dead, "scry-value-length"))
	}
}

func TestMissingTopicStops(t *testing.T) {
	h := newHarness(t, 1)
	h.cfg.Output.Topic = "nowhere"
	c := h.run(doubler())
	err := c.wait()
	if err == nil || !strings.Contains(err.Error(), "topics are missing: nowhere") {
		t.Errorf("Run: %v", err)
	}
	if h.redis.TotalConnectionCount() == 0 {
		t.Error("it did not ask Redis first")
	}
	h.eventually("Redis has no connection left", func() bool { return h.redis.CurrentConnectionCount() == 0 })
}

// TestStopBesideASilentBroker: what accepts and never answers (a wrong port, a frozen
// broker) does not keep a stop waiting for the client's own timeout.
func TestStopBesideASilentBroker(t *testing.T) {
	h := newHarness(t, 1)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	asked := make(chan struct{}, 16)
	go func() {
		for {
			conn, err := silent.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			go func() {
				if n, _ := conn.Read(make([]byte, 1)); n > 0 {
					asked <- struct{}{}
				}
			}()
		}
	}()
	h.cfg.Kafka.Brokers = []string{silent.Addr().String()}
	c := h.run(doubler())
	<-asked
	began := time.Now()
	if err := c.stop(); err != nil {
		t.Errorf("Run: %v", err)
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("the stop took %v", took)
	}
}

func TestWrongKafkaPasswordStops(t *testing.T) {
	h := newHarness(t, 1)
	kafka, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "in", "out", "dlq"), kfake.EnableSASL(),
		kfake.Superuser("PLAIN", "admin", "right"))
	if err != nil {
		t.Fatal(err)
	}
	defer kafka.Close()
	// By itself the fake hangs up; a broker says why.
	kafka.ControlKey(int16(kmsg.SASLAuthenticate), func(req kmsg.Request) (kmsg.Response, error, bool) {
		kafka.KeepControl()
		resp := req.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		resp.ErrorCode = kerr.SaslAuthenticationFailed.Code
		return resp, nil, true
	})
	h.cfg.Kafka.Brokers = kafka.ListenAddrs()
	h.cfg.Kafka.SASL = SASLConfig{Mechanism: "PLAIN", User: "admin", Password: "wrong"}
	err = h.run(doubler()).wait()
	if err == nil || !strings.Contains(err.Error(), "check kafka.sasl.user and kafka.sasl.password") || strings.Contains(err.Error(), "wrong") {
		t.Errorf("Run: %v", err)
	}
}

func TestMissingRedisPasswordStops(t *testing.T) {
	h := newHarness(t, 1)
	h.redis.RequireAuth("right") // before anybody says HELLO, which the fake answers without its lock
	err := h.run(doubler()).wait()
	if err == nil || !strings.Contains(err.Error(), "cache.url") {
		t.Errorf("Run: %v", err)
	}
}

func TestHiddenTopicStops(t *testing.T) {
	h := newHarness(t, 1)
	h.kafka.ControlKey(int16(kmsg.Metadata), func(req kmsg.Request) (kmsg.Response, error, bool) {
		h.kafka.KeepControl()
		m := req.(*kmsg.MetadataRequest)
		if len(m.Topics) != 3 { // anybody else's
			return nil, nil, false
		}
		resp := m.ResponseKind().(*kmsg.MetadataResponse)
		for _, t := range m.Topics {
			rt := kmsg.NewMetadataResponseTopic()
			rt.Topic, rt.ErrorCode = t.Topic, kerr.TopicAuthorizationFailed.Code
			resp.Topics = append(resp.Topics, rt)
		}
		return resp, nil, true
	})
	if err := h.run(doubler()).wait(); err == nil || !strings.Contains(err.Error(), "grant DESCRIBE") {
		t.Errorf("Run: %v", err)
	}
}

func TestMissingDeadLetterTopicIsCreatedOrStops(t *testing.T) {
	h := newHarness(t, 1)
	h.cfg.Output.DeadLetterTopic = "half.dlq"
	h.produce(0, `not json`)
	c := h.run(doubler())
	h.read("half.dlq", 1)
	if err := c.stop(); err != nil {
		t.Fatal(err)
	}
	h.cfg.Output.DeadLetterTopic = "forbidden.dlq"
	h.kafka.ControlKey(int16(kmsg.CreateTopics), func(req kmsg.Request) (kmsg.Response, error, bool) {
		h.kafka.KeepControl()
		resp := req.ResponseKind().(*kmsg.CreateTopicsResponse)
		rt := kmsg.NewCreateTopicsResponseTopic()
		rt.Topic, rt.ErrorCode = "forbidden.dlq", kerr.TopicAuthorizationFailed.Code
		resp.Topics = append(resp.Topics, rt)
		return resp, nil, true
	})
	if err := h.run(doubler()).wait(); err == nil || !strings.Contains(err.Error(), "output.dead_letter_topic") {
		t.Errorf("Run: %v", err)
	}
}

func TestTombstones(t *testing.T) {
	h := newHarness(t, 1)
	ctx := context.Background()
	h.run(doubler())
	if err := h.client.ProduceSync(ctx, &kgo.Record{Topic: "in", Key: []byte("u1"), Value: []byte(event(1, ""))},
		&kgo.Record{Topic: "in", Key: []byte("u1")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	rs := h.read("out", 2)
	if rs[1].Value != nil || string(rs[1].Key) != "u1" {
		t.Errorf("output tombstone: key %q, value %q", rs[1].Key, rs[1].Value)
	}
	h.eventually("the cache says deleted", func() bool {
		v, _ := h.redis.Get("pred:half:u1")
		var c struct {
			V       string
			Deleted bool
		}
		return json.Unmarshal([]byte(v), &c) == nil && c.Deleted && len(c.V) == 32
	})
}

func TestTransactionalInputReachesNoLag(t *testing.T) {
	h := newHarness(t, 1)
	c := h.run(doubler())
	tx, err := kgo.NewClient(kgo.SeedBrokers(h.brokers...), kgo.TransactionalID("upstream"))
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Close()
	ctx := context.Background()
	for i, end := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort, kgo.TryCommit} {
		if err := tx.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := tx.ProduceSync(ctx, &kgo.Record{Topic: "in", Value: []byte(event(float64(i), "a"))}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := tx.EndTransaction(ctx, end); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(h.read("out", 2)); n != 2 {
		t.Errorf("%d predictions, want those of the 2 committed transactions", n)
	}
	h.eventually("lag 0, past the last marker", func() bool {
		l := c.Lag()
		return len(l) == 1 && l[0].Records == 0 && h.committed(0) == 6
	})
}

func TestLatestLosesNothingOverAnIdleRestart(t *testing.T) {
	h := newHarness(t, 1)
	h.cfg.Input.Start = "latest"
	h.produce(0, events(5, "old")...)
	c := h.run(doubler())
	h.eventually("the start is committed", func() bool { return h.committed(0) == 5 })
	if err := c.stop(); err != nil { // without having read one event
		t.Fatal(err)
	}
	h.produce(0, events(7, "new")...)
	c = h.run(doubler())
	h.eventually("what came in between is committed", func() bool { return h.committed(0) == 12 })
	h.read("out", 7)

	// A partition added later is read from its beginning: it is younger than the group.
	if _, err := kadm.NewClient(h.client).CreatePartitions(context.Background(), 1, "in"); err != nil {
		t.Fatal(err)
	}
	h.client.ForceMetadataRefresh()
	h.eventually("an event in the new partition", func() bool {
		return h.client.ProduceSync(context.Background(), &kgo.Record{Topic: "in", Partition: 1, Value: []byte(event(1, "b"))}).FirstErr() == nil
	})
	if err := c.stop(); err != nil {
		t.Fatal(err)
	}
	h.run(doubler())
	h.eventually("the new partition is read from its first event", func() bool { return h.committed(1) >= 1 })
	h.read("out", 8)
}

// The commit timer fires between the partitions of a slow first assignment: no commit
// may lack the birth of the group, or start: latest forgets it over an idle restart.
func TestEveryCommitKnowsTheGroupsBirth(t *testing.T) {
	h := newHarness(t, 3)
	h.cfg.Input.Start = "latest"
	h.kafka.ControlKey(int16(kmsg.ListOffsets), func(req kmsg.Request) (kmsg.Response, error, bool) {
		h.kafka.KeepControl()
		for _, topic := range req.(*kmsg.ListOffsetsRequest).Topics {
			for _, p := range topic.Partitions {
				if p.Timestamp >= 0 { // the lookup by time, one for each partition
					h.kafka.SleepControl(func() { time.Sleep(5 * h.cfg.Delivery.CommitInterval) })
					return nil, nil, false
				}
			}
		}
		return nil, nil, false
	})
	var commits, unborn atomic.Int32
	h.kafka.ControlKey(int16(kmsg.OffsetCommit), func(req kmsg.Request) (kmsg.Response, error, bool) {
		h.kafka.KeepControl()
		for _, topic := range req.(*kmsg.OffsetCommitRequest).Topics {
			for _, p := range topic.Partitions {
				commits.Add(1)
				if m, _ := checkpoint.Decode(*p.Metadata); m.Born == 0 {
					unborn.Add(1)
				}
			}
		}
		return nil, nil, false
	})
	h.run(doubler())
	h.eventually("all partitions are committed", func() bool {
		return h.committed(0) == 0 && h.committed(1) == 0 && h.committed(2) == 0
	})
	if n := unborn.Load(); n > 0 {
		t.Errorf("%d of %d commits do not know when the group was born", n, commits.Load())
	}
}

// refuse makes the brokers answer the next n productions to a topic with an error.
func (h *harness) refuse(topic string, with *kerr.Error, n int32) {
	var left atomic.Int32
	left.Store(n)
	h.kafka.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		h.kafka.KeepControl()
		p := req.(*kmsg.ProduceRequest)
		resp := p.ResponseKind().(*kmsg.ProduceResponse)
		hit := false
		for _, t := range p.Topics {
			rt := kmsg.NewProduceResponseTopic()
			rt.Topic, rt.TopicID = t.Topic, t.TopicID
			if t.Topic == topic || h.kafka.TopicInfo(topic) != nil && h.kafka.TopicInfo(topic).TopicID == t.TopicID {
				hit = true
			}
			for _, part := range t.Partitions {
				rp := kmsg.NewProduceResponseTopicPartition()
				rp.Partition, rp.ErrorCode = part.Partition, with.Code
				rt.Partitions = append(rt.Partitions, rp)
			}
			resp.Topics = append(resp.Topics, rt)
		}
		if !hit || left.Add(-1) < 0 {
			return nil, nil, false
		}
		return resp, nil, true
	})
}

// While nothing is polled, because the window is full, lag grows with the log.
func TestLagGrowsWhileNothingIsRead(t *testing.T) {
	h := newHarness(t, 1)
	h.cfg.Input.Entity, h.cfg.Delivery.MaxInFlight = "user", 64<<10
	c := h.run(doubler())
	h.produce(0, events(10, "a")...)
	h.eventually("committed", func() bool { return h.committed(0) == 10 })
	h.redis.Close()
	h.produce(0, events(2000, "a")...)
	h.eventually("the window is full", func() bool { _, batches, age := c.window.load(); return batches > 0 && age > time.Second })
	h.produce(0, events(2000, "a")...)
	h.eventually("all of it is lag", func() bool { return c.Lag()[0].Records == 4000 })
	h.restartRedis()
	h.eventually("all is committed", func() bool { return h.committed(0) == 4010 })
}

// empty fails when a topic holds a record.
func (h *harness) empty(topic string) {
	h.t.Helper()
	ends, err := kadm.NewClient(h.client).ListEndOffsets(context.Background(), topic)
	if err != nil {
		h.t.Fatal(err)
	}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			h.t.Errorf("topic %s partition %d holds %d records, want none", o.Topic, o.Partition, o.Offset)
		}
	})
}
