package stream

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"scry/checkpoint"
)

// dangling leaves a transaction of the group open, as a member does that dies before it
// ends it: a prediction is in the topic and an offset in the group, both pending.
func (h *harness) dangling(id string, offset int64) {
	h.t.Helper()
	ctx := context.Background()
	cl, err := kgo.NewClient(kgo.SeedBrokers(h.brokers...), kgo.TransactionalID(id))
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(cl.Close)
	if err := cl.BeginTransaction(); err != nil {
		h.t.Fatal(err)
	}
	if err := cl.ProduceSync(ctx, &kgo.Record{Topic: "out", Value: []byte("never committed")}).FirstErr(); err != nil {
		h.t.Fatal(err)
	}
	topics, err := kadm.NewClient(cl).ListTopics(ctx, "in")
	if err != nil {
		h.t.Fatal(err)
	}
	c := Consumer{cfg: h.cfg, transactional: transactional{id: id}}
	in := checkpoint.Partition{Topic: "in", TopicID: topics["in"].ID}
	req := c.txnOffsetCommit(map[checkpoint.Partition]checkpoint.Position{in: {Next: offset, LeaderEpoch: -1}})
	req.InstanceID, req.Generation = nil, -1
	if req.ProducerID, req.ProducerEpoch, err = cl.ProducerID(ctx); err != nil {
		h.t.Fatal(err)
	}
	resp, err := req.RequestWith(ctx, cl)
	if err == nil {
		err = kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode)
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

// A member's transaction that nobody will end is ended by who takes its partitions over,
// long before the brokers do.
func TestDeadMembersTransaction(t *testing.T) {
	for name, dead := range map[string]string{"another member": "scry/test/another", "itself": "scry/test/a"} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, 1)
			h.cfg.Delivery.Guarantee = "exactly_once"
			h.cfg.Kafka.Instance = "a"
			h.produce(0, events(10, "u")...)
			h.dangling(dead, 5)
			h.run(doubler())
			for i, r := range h.read("out", 10) {
				if want := fmt.Sprintf(`"in-0-%d"`, i); !strings.Contains(string(r.Value), want) {
					t.Errorf("record %d is %s, want %s", i, r.Value, want)
				}
			}
			h.eventually("committed", func() bool { return h.committed(0) == 10 })
		})
	}
}

// downgrade gives the brokers the transactions they had before KIP-890.
func (h *harness) downgrade() {
	h.t.Helper()
	req := kmsg.NewPtrUpdateFeaturesRequest()
	f := kmsg.NewUpdateFeaturesRequestFeatureUpdate()
	f.Feature, f.MaxVersionLevel, f.UpgradeType = "transaction.version", 1, 2
	req.FeatureUpdates = append(req.FeatureUpdates, f)
	resp, err := req.RequestWith(context.Background(), h.client)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

// A transaction that fails before the first record is sent is ended, too.
func TestAbortOfATransactionWithoutRecords(t *testing.T) {
	for _, older := range []bool{false, true} {
		t.Run(fmt.Sprintf("older=%v", older), func(t *testing.T) {
			h := newHarness(t, 1, kfake.NumBrokers(2))
			h.cfg.Delivery.Guarantee, h.cfg.Input.Entity = "exactly_once", "user"
			if older {
				h.downgrade()
			}
			ends := h.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, Observe: true, Count: -1,
				When: func(r kmsg.Request) bool { return !r.(*kmsg.EndTxnRequest).Commit }})
			h.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Err: kerr.InvalidTxnState})
			h.produce(0, event(1, "a"))
			h.run(doubler())
			h.eventually("committed", func() bool { return h.committed(0) == 1 })
			if ends.Hits() != 1 {
				t.Errorf("%d transactions ended", ends.Hits())
			}
		})
	}
}

// Brokers that were upgraded keep the transactions they had until somebody raises
// transaction.version; there offsets are added to a transaction explicitly.
func TestOlderTransactions(t *testing.T) {
	h := newHarness(t, 2)
	h.cfg.Delivery.Guarantee = "exactly_once"
	h.downgrade()
	var added bool
	h.kafka.ControlKey(int16(kmsg.AddOffsetsToTxn), func(kmsg.Request) (kmsg.Response, error, bool) {
		h.kafka.KeepControl()
		added = true
		return nil, nil, false
	})
	c := h.run(doubler())
	for range 3 {
		h.produce(0, events(10, "u")...)
		h.produce(1, events(10, "u")...)
	}
	h.read("out", 60)
	h.eventually("committed", func() bool { return h.committed(0) == 30 && h.committed(1) == 30 })
	if err := c.stop(); err != nil {
		t.Error(err)
	}
	if !added {
		t.Error("the brokers are asked as newer ones")
	}
}

// A transaction that does not commit is made again in a new session, once.
func TestAbortedTransaction(t *testing.T) {
	h := newHarness(t, 1)
	h.cfg.Delivery.Guarantee = "exactly_once"
	aborts := 3
	h.kafka.ControlKey(int16(kmsg.EndTxn), func(req kmsg.Request) (kmsg.Response, error, bool) {
		h.kafka.KeepControl()
		if aborts == 0 || !req.(*kmsg.EndTxnRequest).Commit {
			return nil, nil, false
		}
		aborts--
		resp := req.ResponseKind().(*kmsg.EndTxnResponse)
		resp.ErrorCode = kerr.InvalidProducerEpoch.Code
		return resp, nil, true
	})
	c := h.run(doubler())
	h.produce(0, events(100, "u")...)
	seen := map[string]bool{}
	for _, r := range h.read("out", 100) {
		id := idOf(r.Value)
		if seen[id] {
			t.Errorf("%s is there twice", id)
		}
		seen[id] = true
	}
	h.eventually("committed", func() bool { return h.committed(0) == 100 })
	if err := c.stop(); err != nil {
		t.Error(err)
	}
	if got := c.Stats().Totals().Predicted; got != 100 {
		t.Errorf("%d counted as predicted", got)
	}
}

// What no new session mends stops the consumer, and says what does.
func TestTransactionsNotAllowed(t *testing.T) {
	for _, c := range []struct {
		key  kmsg.Key
		code int16
		want string
	}{
		{kmsg.InitProducerID, kerr.TransactionalIDAuthorizationFailed.Code, "grant DESCRIBE and WRITE on transactional ids that begin with scry/test/"},
		{kmsg.InitProducerID, kerr.InvalidTransactionTimeout.Code, "transaction.max.timeout.ms"},
		{kmsg.TxnOffsetCommit, kerr.GroupAuthorizationFailed.Code, "grant READ on the group"},
		{kmsg.TxnOffsetCommit, kerr.FencedInstanceID.Code, "kafka.instance"},
	} {
		t.Run(c.want, func(t *testing.T) {
			h := newHarness(t, 1)
			h.cfg.Delivery.Guarantee = "exactly_once"
			h.kafka.ControlKey(c.key.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
				h.kafka.KeepControl()
				switch resp := req.ResponseKind().(type) {
				case *kmsg.InitProducerIDResponse:
					if req.(*kmsg.InitProducerIDRequest).TransactionalID == nil { // the test's own
						return nil, nil, false
					}
					resp.ErrorCode = c.code
					return resp, nil, true
				case *kmsg.TxnOffsetCommitResponse:
					for _, rt := range req.(*kmsg.TxnOffsetCommitRequest).Topics {
						st := kmsg.NewTxnOffsetCommitResponseTopic()
						st.Topic, st.TopicID = rt.Topic, rt.TopicID
						for _, rp := range rt.Partitions {
							sp := kmsg.NewTxnOffsetCommitResponseTopicPartition()
							sp.Partition, sp.ErrorCode = rp.Partition, c.code
							st.Partitions = append(st.Partitions, sp)
						}
						resp.Topics = append(resp.Topics, st)
					}
					return resp, nil, true
				}
				return nil, nil, false
			})
			h.produce(0, events(10, "u")...)
			if err := h.run(doubler()).wait(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Run: %v; want %s", err, c.want)
			}
		})
	}
}

// What an aborted transaction left for the cache holds up nobody, and what is said of Redis
// is mended by the next write.
func TestCacheOfAbortedTransaction(t *testing.T) {
	h := newHarness(t, 1)
	c := h.idle()
	c.work, c.cancelWork = context.WithCancel(context.Background())
	defer c.cancelWork()
	row := cacheRow{entity: []byte("a"), value: []byte(`{"v":"00000000000000000000000000000001"}`)}
	over, cancel := context.WithCancel(c.work)
	cancel()
	h.redis.Close()
	done := make(chan struct{})
	go func() {
		c.cacheBatch(&batch{transaction: &transaction{ctx: over, failed: make(chan struct{})}, cached: []cacheRow{row}})
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("still written")
	}
	c.health.report("redis", errors.New("down"))
	h.restartRedis()
	c.cacheBatch(&batch{transaction: &transaction{ctx: c.work}, cached: []cacheRow{row}})
	if c.health.isDown("redis") {
		t.Error("Redis is still said to be down")
	}
}
