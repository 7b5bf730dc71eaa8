package stream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// projecting is a harness whose cache is filled from the output topic.
func projecting(t *testing.T, partitions int32) *harness {
	t.Helper()
	h := newHarness(t, partitions)
	h.cfg.Input.Entity = "user"
	h.cfg.Cache.From = "output"
	h.cfg.Cache.TTL = 0
	return h
}

// cached returns what Redis holds, by entity.
func (h *harness) cached() map[string]string {
	all := map[string]string{}
	for _, key := range h.redis.Keys() {
		if entity, ok := strings.CutPrefix(key, "pred:half:"); ok { // else it is the mark
			all[entity], _ = h.redis.Get(key)
		}
	}
	return all
}

func (h *harness) isCached(user, id string) bool {
	return strings.Contains(h.cached()[user], `"id":"`+id+`"`)
}

// projected reports whether the projector has committed up to the end of out's partition.
func (h *harness) projected(partition int32) bool {
	h.t.Helper()
	ends, err := kadm.NewClient(h.client).ListEndOffsets(context.Background(), "out")
	end, ok := ends.Lookup("out", partition)
	return err == nil && ok && end.Err == nil && h.committedBy("test.cache", "out", partition) == end.Offset
}

func valueOf(c prometheus.Counter) float64 {
	var m dto.Metric
	_ = c.Write(&m) // of a counter it has none
	return m.GetCounter().GetValue()
}

// foreign is a record of the output topic that another program wrote.
func foreign(user, id, model string) *kgo.Record {
	return &kgo.Record{Topic: "out", Key: []byte(user), Value: fmt.Appendf(nil,
		`{"id":%q,"entity":%q,"score":0.5,"model_name":%q,"model_version":"1","arm":"champion","event_time":"2026-11-24T10:00:00Z","scored_at":"2026-11-24T10:00:00Z"}`, id, user, model)}
}

// What is written in a transaction that is aborted is never in Redis, and what comes
// after it waits until that is known.
func TestProjectorCopiesOnlyWhatIsCommitted(t *testing.T) {
	h := projecting(t, 1)
	txn, err := kgo.NewClient(kgo.SeedBrokers(h.brokers...), kgo.TransactionalID("other"))
	if err != nil {
		t.Fatal(err)
	}
	defer txn.Close()
	if err := txn.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := txn.ProduceSync(t.Context(), foreign("ghost", "in-0-900", "half")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	c := h.run(doubler())
	h.produce(0, event(1, "a"))
	h.eventually("a is predicted", func() bool { return c.Stats().Totals().Predicted == 1 })
	if got := h.cached(); len(got) != 0 {
		t.Errorf("before the transaction ends Redis holds %v", got)
	}
	if err := txn.EndTransaction(t.Context(), kgo.TryAbort); err != nil {
		t.Fatal(err)
	}
	h.eventually("a is cached", func() bool { return h.isCached("a", "in-0-0") })
	if got := h.cached(); len(got) != 1 {
		t.Errorf("Redis holds %v", got)
	}
	h.eventually("the marker is passed, too", func() bool { l := c.projector.Lag(); return h.projected(0) && len(l) == 1 && l[0].Records == 0 })
}

// Without offsets it begins as far back as predictions live, with them where it was, and
// repeating changes nothing.
func TestProjectorGoesOnFromItsOffsets(t *testing.T) {
	h := projecting(t, 1)
	h.cfg.Cache.TTL = time.Hour
	for _, at := range []time.Duration{-3 * time.Hour, -time.Hour} {
		r := foreign("old", "in-0-"+fmt.Sprint(900+int(at.Hours())), "other")
		r.Timestamp = time.Now().Add(at)
		h.produceRecord(r)
	}
	c := h.run(doubler())
	h.produce(0, events(10, "a")...)
	h.produce(0, event(.3, "b"))
	if err := h.client.ProduceSync(t.Context(), &kgo.Record{Topic: "in", Key: []byte("gone")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	h.eventually("all is projected", func() bool { return h.isCached("a", "in-0-9") && len(h.cached()) == 3 && h.projected(0) })
	if n := valueOf(c.metrics.cachePassed["other"]); n != 1 {
		t.Errorf("%v records of another model, want 1: one has expired", n)
	}
	before := h.cached()
	if !strings.Contains(before["gone"], `"deleted":true`) {
		t.Errorf("of a tombstone Redis holds %s", before["gone"])
	}
	if err := c.stop(); err != nil {
		t.Fatal(err)
	}

	c = h.run(doubler())
	h.produce(0, event(.4, "b"))
	h.eventually("it has gone on", func() bool { return h.isCached("b", "in-0-12") && h.projected(0) })
	if n := valueOf(c.metrics.cacheWrites["written"]); n != 1 {
		t.Errorf("%v keys written after the restart, want 1", n)
	}
	before["b"] = h.cached()["b"]
	if err := c.stop(); err != nil {
		t.Fatal(err)
	}

	if _, err := kadm.NewClient(h.client).DeleteGroups(t.Context(), "test.cache"); err != nil {
		t.Fatal(err)
	}
	h.redis.Del("pred:half:a")
	h.run(doubler())
	h.eventually("it has begun anew", func() bool { return h.projected(0) })
	if after := h.cached(); !maps.Equal(before, after) {
		t.Errorf("repeated: %v\nwant %v", after, before)
	}
}

func TestProjectorPassesOverWhatIsNotItsOwn(t *testing.T) {
	h := projecting(t, 1)
	c := h.run(doubler())
	h.produceRecord(foreign("x", "in-0-901", "another"))
	h.produceRecord(&kgo.Record{Topic: "out", Key: []byte("y"), Value: []byte("no prediction")})
	h.produceRecord(&kgo.Record{Topic: "out", Key: []byte("z")})
	h.produce(0, event(1, ""), event(1, "a"))
	h.eventually("all is passed", func() bool { return h.isCached("a", "in-0-1") && h.projected(0) })
	if other, none := valueOf(c.metrics.cachePassed["other"]), valueOf(c.metrics.cachePassed["no_entity"]); other != 3 || none != 1 || len(h.cached()) != 1 {
		t.Errorf("%v of others, %v without an entity; Redis holds %v", other, none, h.cached())
	}
}

// Without Redis the stream goes on and is ready; the lag tells. A stop keeps its time.
func TestProjectorWaitsForRedisAndTheStreamDoesNot(t *testing.T) {
	h := projecting(t, 1)
	h.cfg.Delivery.DrainTimeout = 2 * time.Second
	h.redis.Close()
	c := h.run(doubler())
	h.produce(0, events(20, "a")...)
	lag := func() int64 {
		if l := c.projector.Lag(); len(l) == 1 {
			return l[0].Records
		}
		return 0
	}
	h.eventually("all is committed, and nothing cached", func() bool { return h.committed(0) >= 20 && lag() >= 20 })
	h.eventually("the outage is known", func() bool { return c.Health().isDown("redis") })
	if err := c.Health().Ready(); err != nil {
		t.Errorf("not ready: %v", err)
	}
	began := time.Now()
	if err := c.stop(); err != nil {
		t.Errorf("Run: %v", err)
	}
	if took := time.Since(began); took > h.cfg.Delivery.DrainTimeout+time.Second {
		t.Errorf("stopping took %v, the drain timeout is %v", took, h.cfg.Delivery.DrainTimeout)
	}
	h.restartRedis()
	c = h.run(doubler())
	h.eventually("Redis has it all", func() bool { return h.isCached("a", "in-0-19") && h.projected(0) })
	h.redis.Close()
	h.produce(0, events(5, "b")...)
	h.eventually("the outage is known", func() bool { return c.Health().isDown("redis") && lag() > 0 })
	h.restartRedis()
	h.eventually("it goes on by itself", func() bool { return h.isCached("b", "in-0-24") && !c.Health().isDown("redis") })
}

func TestProjectorsShareTheTopic(t *testing.T) {
	const partitions = 4
	h := projecting(t, partitions)
	a := h.run(doubler())
	b := h.run(doubler())
	all := func(last int) func() bool {
		return func() bool {
			for p := range int32(partitions) {
				if !h.isCached(fmt.Sprintf("u%d", p), fmt.Sprintf("in-%d-%d", p, last)) {
					return false
				}
			}
			return true
		}
	}
	produce := func() {
		for p := range int32(partitions) {
			h.produce(p, events(50, fmt.Sprintf("u%d", p))...)
		}
	}
	h.eventually("both project", func() bool { return len(a.projector.Lag()) == 2 && len(b.projector.Lag()) == 2 })
	produce()
	h.eventually("all is cached", all(49))
	if err := a.stop(); err != nil {
		t.Errorf("Run: %v", err)
	}
	produce()
	h.eventually("the other goes on", all(99))
	h.run(doubler())
	produce()
	h.eventually("so do both", all(149))
}

func TestProjectorStopsTheStream(t *testing.T) {
	for name, c := range map[string]struct {
		fault func(*harness)
		want  string
	}{
		"wrong password": {func(h *harness) { h.redis.RequireAuth("secret") }, "put user and password into cache.url"},
		"topic deleted": {func(h *harness) {
			if err := h.kafka.DeleteTopic("out"); err != nil {
				h.t.Fatal(err)
			}
		}, "topic out was deleted or recreated"},
	} {
		t.Run(name, func(t *testing.T) {
			h := projecting(t, 1)
			r := h.run(doubler())
			h.produce(0, event(1, "a"))
			h.eventually("it projects", func() bool { return h.projected(0) && len(h.cached()) == 1 })
			c.fault(h)
			if name != "topic deleted" { // else the producer would notice, too
				h.produce(0, event(1, "b"))
			}
			if err := r.wait(); err == nil || !strings.HasPrefix(err.Error(), "cache projector: ") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Run: %v, want %s", err, c.want)
			}
		})
	}
}

// A start that fails before the stream runs ends the projector, too.
func TestProjectorEndsWithTheStream(t *testing.T) {
	h := projecting(t, 1)
	if err := h.kafka.DeleteTopic("in"); err != nil {
		t.Fatal(err)
	}
	if err := h.run(doubler()).wait(); !errors.Is(err, errNoTopic) {
		t.Errorf("Run: %v", err)
	}
}

// Retention, or a new topic of the name, took what was not copied: it goes on with what
// there is, and counts.
func TestProjectorLosesWhatTheTopicLoses(t *testing.T) {
	h := projecting(t, 1)
	c := h.run(doubler())
	h.produce(0, events(10, "a")...)
	h.eventually("all is projected", func() bool { return h.isCached("a", "in-0-9") && h.projected(0) })
	if err := c.stop(); err != nil {
		t.Fatal(err)
	}
	at := h.committedBy("test.cache", "out", 0)
	for i := range 10 {
		h.produceRecord(foreign(fmt.Sprintf("u%d", i), fmt.Sprintf("in-0-%d", 100+i), "half"))
	}
	if err := h.kafka.DeleteRecords("out", 0, at+4); err != nil {
		t.Fatal(err)
	}
	c = h.run(doubler())
	h.eventually("the rest is projected", func() bool { return h.projected(0) && h.isCached("u9", "in-0-109") })
	if lost := valueOf(c.metrics.cachePassed["lost"]); lost != 4 || h.cached()["u3"] != "" {
		t.Errorf("%v lost, want 4", lost)
	}
	if err := c.stop(); err != nil {
		t.Fatal(err)
	}

	if err := h.kafka.DeleteTopic("out"); err != nil {
		t.Fatal(err)
	}
	if err := h.kafka.CreateTopic("out", 1, nil); err != nil {
		t.Fatal(err)
	}
	h.client.PurgeTopicsFromProducing("out")
	h.produceRecord(foreign("new", "in-0-200", "half"))
	h.run(doubler())
	h.eventually("the new topic is projected from its start", func() bool { return h.isCached("new", "in-0-200") })
}

// A redrive leaves the cache to the pipeline's projector.
func TestRedriveBesideAProjector(t *testing.T) {
	h := projecting(t, 1)
	c := h.run(doubler())
	h.produce(0, `{"user":"a"}`)
	h.eventually("it is a dead letter", func() bool { return c.Stats().Totals().DeadLetters == 1 && h.committed(0) >= 1 })
	if err := c.stop(); err != nil {
		t.Fatal(err)
	}
	sum, err := RedriveDeadLetters(t.Context(), h.cfg, doubler(), Redrive{MaxAttempts: 5, Value: []byte(event(1, "a"))}, Env{})
	if err != nil || sum.Scored != 1 || len(h.cached()) != 0 {
		t.Errorf("%+v, %v; Redis holds %v", sum, err, h.cached())
	}
	h.run(doubler())
	h.eventually("the projector has it", func() bool { return h.isCached("a", "in-0-0") })
}

func TestPreflightOfAProjector(t *testing.T) {
	acl := func(kind kmsg.ACLResourceType, name string, ops ...kmsg.ACLOperation) (acls []kfake.ACL) {
		for _, op := range ops {
			acls = append(acls, kfake.ACL{Resource: kind, Name: name, Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: op, Allow: true})
		}
		return acls
	}
	acls := acl(kmsg.ACLResourceTypeTopic, "in", kmsg.ACLOperationRead, kmsg.ACLOperationDescribe)
	acls = append(acls, acl(kmsg.ACLResourceTypeTopic, "out", kmsg.ACLOperationWrite, kmsg.ACLOperationDescribe)...)
	acls = append(acls, acl(kmsg.ACLResourceTypeGroup, "test", kmsg.ACLOperationRead)...)
	kafka, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "in", "out", "dlq"), kfake.EnableSASL(), kfake.EnableACLs(),
		kfake.User("PLAIN", "u", "p", acls...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kafka.Close)
	h := projecting(t, 1)
	found(t, Preflight(t.Context(), h.cfg, doubler()), OK, "group", "test.cache, which fills the cache: no such group yet")
	h.cfg.Kafka.Brokers = kafka.ListenAddrs()
	h.cfg.Kafka.SASL = SASLConfig{Mechanism: "PLAIN", User: "u", Password: "p"}
	all := Preflight(t.Context(), h.cfg, doubler())
	found(t, all, Fail, "topic", "out (predictions): this user may not read it -> grant READ on topic out")
	found(t, all, Fail, "group", "grant READ on group test.cache")
	found(t, all, OK, "group", "test: ")
}

func TestValidateAProjector(t *testing.T) {
	h := projecting(t, 1)
	if faults := h.cfg.Validate(); len(faults) != 0 {
		t.Error(faults)
	}
	h.cfg.Cache.OnFailure = "skip"
	h.cfg.Kafka.Group = strings.Repeat("g", 245)
	faults := fmt.Sprint(h.cfg.Validate())
	if !strings.Contains(faults, "cache.on_failure") || !strings.Contains(faults, "kafka.group") {
		t.Error(faults)
	}
}

func TestAStuckProjectorIsNotLive(t *testing.T) {
	c, err := New(projecting(t, 1).cfg, doubler(), Env{})
	if err != nil {
		t.Fatal(err)
	}
	c.projector.window.enter(&batch{polled: time.Now().Add(-2 * stuckAfter)})
	if err := c.Health().Live(); err == nil || !strings.HasPrefix(err.Error(), "cache projector: ") {
		t.Errorf("Live: %v", err)
	}
	c.projector.retry.Report("redis", errors.New("refused"))
	if err := c.Health().Live(); err != nil {
		t.Errorf("with Redis down: %v", err)
	}
}
