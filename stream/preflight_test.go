package stream

import (
	"bytes"
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"scry/internal/config"
	"scry/internal/testenv"
	"scry/predictor/feature"
)

// found looks for a finding by what it is about and a part of what it says.
func found(t *testing.T, all []Finding, level Level, what, part string) {
	t.Helper()
	if !slices.ContainsFunc(all, func(f Finding) bool {
		return f.Level == level && f.What == what && strings.Contains(f.Detail+" -> "+f.Mend, part)
	}) {
		t.Errorf("no finding %s %s with %q among\n%s", level, what, part, listed(all))
	}
}

func listed(all []Finding) string {
	var b strings.Builder
	for _, f := range all {
		b.WriteString(string(f.Level) + " " + f.What + " " + f.Detail + " -> " + f.Mend + "\n")
	}
	return b.String()
}

func notOK(all []Finding) []Finding {
	return slices.DeleteFunc(all, func(f Finding) bool { return f.Level == OK })
}

func TestPreflightCountsWhatAStartWouldRead(t *testing.T) {
	h := newHarness(t, 2)
	h.produce(0, event(.1, "a"), event(.2, "b"), event(.3, "c"))
	h.produce(1, event(.4, "d"))

	first := Preflight(t.Context(), h.cfg, doubler())
	found(t, first, Warn, "replay", "reads up to 4 events")
	found(t, first, OK, "group", "no such group yet")
	if rest := notOK(slices.Clone(first)); len(rest) != 1 {
		t.Errorf("one warning is wanted:\n%s", listed(first))
	}
	late := h.cfg
	late.Input.Start = "latest"
	found(t, Preflight(t.Context(), late, doubler()), OK, "replay", "begins at input.start (latest): a start reads nothing")

	r := h.run(doubler())
	h.eventually("all is read", func() bool { return r.Stats().Totals().Predicted == 4 })
	found(t, Preflight(t.Context(), h.cfg, doubler()), OK, "group", "stable, 1 member for 2 partitions")
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	h.produce(1, event(.5, "e"), event(.6, "f"))
	again := Preflight(t.Context(), h.cfg, doubler())
	found(t, again, OK, "replay", "reads up to 2 events")
	found(t, again, OK, "group", "empty")
	if rest := notOK(again); len(rest) != 0 {
		t.Errorf("nothing is wrong:\n%s", listed(rest))
	}
	// It counted as the consumer then reads.
	r = h.run(doubler())
	h.eventually("the rest is read", func() bool { return r.Stats().Totals().Predicted == 2 })
}

func TestPreflightSeesLoss(t *testing.T) {
	h := newHarness(t, 1)
	h.produce(0, event(.1, "a"), event(.2, "b"))
	r := h.run(doubler())
	h.eventually("two are committed", func() bool { return h.committed(0) == 2 })
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	h.produce(0, event(.3, "c"), event(.4, "d"), event(.5, "e"))
	if err := h.kafka.DeleteRecords("in", 0, 3); err != nil {
		t.Fatal(err)
	}
	found(t, Preflight(t.Context(), h.cfg, doubler()), Fail, "replay", "1 records are lost")
	h.cfg.Input.OnDataLoss = "earliest"
	all := Preflight(t.Context(), h.cfg, doubler())
	found(t, all, Warn, "replay", "partition 0 is lost")
	found(t, all, Warn, "replay", "up to 2 events")
}

func TestPreflightFindsWhatIsMissing(t *testing.T) {
	h := newHarness(t, 1)
	if err := h.kafka.DeleteTopic("out"); err != nil {
		t.Fatal(err)
	}
	if err := h.kafka.DeleteTopic("dlq"); err != nil {
		t.Fatal(err)
	}
	h.redis.Close()
	all := Preflight(t.Context(), h.cfg, nil)
	found(t, all, Fail, "topic", "out (predictions) does not exist -> create it: kafka-topics.sh --bootstrap-server "+h.brokers[0])
	found(t, all, Warn, "topic", "dlq (dead letters) does not exist: the start creates it")
	found(t, all, Fail, "redis", "start Redis, or correct cache.url")
	if rest := notOK(all); len(rest) != 3 {
		t.Errorf("three are wanted:\n%s", listed(rest))
	}
	h.kafka.Close()
	h.cfg.Cache.URL = ""
	all = Preflight(t.Context(), h.cfg, nil)
	found(t, all, Fail, "kafka", "start Kafka, or correct kafka.brokers")
	found(t, all, OK, "redis", "no cache")
}

func TestPreflightKnowsTheTopics(t *testing.T) {
	kafka, err := kfake.NewCluster(kfake.NumBrokers(3))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kafka.Close)
	for topic, configs := range map[string]map[string]string{
		"in":  {"retention.ms": "-1"},
		"out": {"max.message.bytes": "5000"},
		"dlq": nil,
	} {
		if err := kafka.CreateTopic(topic, 2, configs); err != nil {
			t.Fatal(err)
		}
	}
	cfg := newHarness(t, 1).cfg
	cfg.Kafka.Brokers = kafka.ListenAddrs()
	all := Preflight(t.Context(), cfg, doubler())
	found(t, all, OK, "kafka", "3 brokers")
	found(t, all, Warn, "topic", "out: max.message.bytes is 5000")
	found(t, all, Warn, "offsets", "expire after 7 days, in keeps events for ever: a start after a longer stop reads it all again")
	for _, f := range all {
		if strings.Contains(f.Detail, "dlq: max.message.bytes") {
			t.Errorf("the default is enough: %s", f.Detail)
		}
	}
}

func TestPreflightWarnsOfIdleMembers(t *testing.T) {
	h := newHarness(t, 1)
	h.run(doubler())
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := h.kafka.WaitGroupStable(ctx, "test", 1); err != nil {
		t.Fatal(err)
	}
	found(t, Preflight(t.Context(), h.cfg, doubler()), Warn, "group", "1 member for 1 partition: one more would be idle")
}

func TestPreflightKnowsTheRights(t *testing.T) {
	topic := func(name string, ops ...kmsg.ACLOperation) (acls []kfake.ACL) {
		for _, op := range ops {
			acls = append(acls, kfake.ACL{Resource: kmsg.ACLResourceTypeTopic, Name: name, Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: op, Allow: true})
		}
		return acls
	}
	acls := slices.Concat(
		topic("in", kmsg.ACLOperationRead, kmsg.ACLOperationDescribe),
		topic("out", kmsg.ACLOperationDescribe),
	)
	kafka, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "in", "out", "dlq"), kfake.EnableSASL(), kfake.EnableACLs(),
		kfake.User("PLAIN", "u", "p", acls...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kafka.Close)
	cfg := newHarness(t, 1).cfg
	cfg.Kafka.Brokers = kafka.ListenAddrs()
	cfg.Kafka.SASL = SASLConfig{Mechanism: "PLAIN", User: "u", Password: "p"}
	all := Preflight(t.Context(), cfg, doubler())
	found(t, all, OK, "topic", "in (input)")
	found(t, all, Fail, "topic", "out (predictions): this user may not write it -> grant WRITE on topic out")
	found(t, all, Fail, "topic", "dlq (dead letters)")
	found(t, all, Fail, "group", "grant READ on group test")
	cfg.Delivery.Guarantee = "exactly_once"
	found(t, Preflight(t.Context(), cfg, doubler()), Fail, "transactions", "grant DESCRIBE and WRITE on transactional ids that begin with scry/test/")
}

func TestPreflightTransactions(t *testing.T) {
	h := newHarness(t, 1)
	h.cfg.Delivery.Guarantee = "exactly_once"
	found(t, Preflight(t.Context(), h.cfg, doubler()), OK, "transactions", "may use them")
}

func TestJudgeRedis(t *testing.T) {
	for _, c := range []struct {
		name, info string
		ttl        time.Duration
		level      Level
		part       string
	}{
		{"sound", "redis_version=7.2.4 aof_enabled=1 maxmemory=0 maxmemory_policy=allkeys-lru role=master", time.Hour, OK, "append-only file on"},
		{"evicts all", "maxmemory=104857600 maxmemory_policy=allkeys-lru used_memory=1", 0, Warn, "maxmemory-policy is allkeys-lru"},
		{"evicts what expires", "maxmemory=104857600 maxmemory_policy=volatile-ttl used_memory=1", time.Hour, Warn, "maxmemory-policy is volatile-ttl"},
		{"nothing expires", "maxmemory=104857600 maxmemory_policy=volatile-ttl used_memory=1", 0, OK, "answers"},
		{"nearly full", "maxmemory=104857600 maxmemory_policy=noeviction used_memory=94371840", 0, Warn, "90 of 100 MiB used"},
		{"far from full", "maxmemory=104857600 maxmemory_policy=noeviction used_memory=73400320", 0, OK, "answers"},
		{"old", "redis_version=6.0.16", 0, Fail, "no PXAT"},
		{"new enough", "redis_version=6.2.0", 0, OK, "Redis 6.2.0"},
		{"replica", "role=slave", 0, Fail, "is a replica"},
		{"replicas", "connected_slaves=2", 0, OK, "2 replicas"},
		{"cluster", "cluster_enabled=1", 0, OK, "a cluster with 1 master"},
		{"full node", "cluster_enabled=1 maxmemory=104857600 maxmemory_policy=noeviction used_memory=94371840", 0, Warn, "90 of 100 MiB used"},
	} {
		info := map[string]string{}
		for pair := range strings.FieldsSeq(c.info) {
			name, value, _ := strings.Cut(pair, "=")
			info[name] = value
		}
		all := judgeRedis("redis://r:6379", []redisNode{{"10.0.0.1:6379", info}}, c.ttl)
		found(t, all, c.level, "redis", c.part)
		if n := len(notOK(slices.Clone(all))); c.level == OK && n > 0 || n > 1 {
			t.Errorf("%s:\n%s", c.name, listed(all))
		}
	}
}

func TestPreflightReadsInfoOfARealRedis(t *testing.T) {
	cfg := newHarness(t, 1).cfg
	cfg.Cache.URL = config.Secret("redis://" + testenv.Redis(t) + "/0")
	found(t, redisPreflight(t.Context(), cfg.Cache, nil), OK, "redis", "answers, Redis ")
}

func TestExplainIsWhatTheConsumerDoes(t *testing.T) {
	h := newHarness(t, 1)
	h.cfg.Input.Entity = "user"
	h.produce(0, `{"x":0.8,"user":"u7","at":1700000000000}`)
	h.run(doubler())
	produced := h.read("out", 1)[0].Value
	r, err := Newest(t.Context(), h.cfg)
	if err != nil || r == nil {
		t.Fatal(r, err)
	}
	e := Explain(h.cfg, doubler(), r)
	scoredAt := regexp.MustCompile(`"scored_at":"[^"]+"`)
	if got, want := scoredAt.ReplaceAll(e.Prediction, nil), scoredAt.ReplaceAll(produced, nil); !bytes.Equal(got, want) || len(got) == 0 {
		t.Errorf("explained as %s, produced %s", got, want)
	}
	if e.Err != nil || e.Row[0] != .8 || e.Entity != "u7" || e.EventTime.UnixMilli() != 1700000000000 || e.TimeFrom != FromEvent {
		t.Errorf("%+v", e)
	}
	r.Value = []byte(`{"x":0.8,"user":"u7"}`)
	if e := Explain(h.cfg, doubler(), r); e.TimeFrom != FromRecord || !e.EventTime.Equal(r.Timestamp) {
		t.Errorf("without a time: %+v", e)
	}
	r.Value = []byte(`{"x":0.8,"user":"u7","at":4000000000000}`)
	if e := Explain(h.cfg, doubler(), r); e.TimeFrom != Replaced || !e.EventTime.Equal(r.Timestamp) {
		t.Errorf("in the future: %+v", e)
	}
	r.Value = []byte(`{"user":"u7"}`)
	if e := Explain(h.cfg, doubler(), r); !errors.Is(e.Err, feature.ErrMissing) || e.Prediction != nil || e.Row != nil {
		t.Errorf("without a feature: %+v", e)
	}
}

func TestNewestIsTheNewest(t *testing.T) {
	h := newHarness(t, 3)
	if r, err := Newest(t.Context(), h.cfg); r != nil || err != nil {
		t.Errorf("of nothing: %v, %v", r, err)
	}
	at := time.UnixMilli(1_700_000_000_000)
	for i := range 40 {
		h.produceRecord(&kgo.Record{Topic: "in", Partition: int32(i % 2), Value: []byte{byte(i)}, Timestamp: at.Add(time.Duration(i) * time.Second)})
	}
	for partition := range int32(2) {
		h.produceRecord(&kgo.Record{Topic: "in", Partition: partition, Value: []byte("late"), Timestamp: at})
	}
	h.produceRecord(&kgo.Record{Topic: "in", Partition: 1, Timestamp: at.Add(time.Hour)})
	r, err := Newest(t.Context(), h.cfg)
	if err != nil || r == nil || !bytes.Equal(r.Value, []byte{39}) {
		t.Errorf("%v, %v; want the last but the tombstone", r, err)
	}
}

func (h *harness) produceRecord(r *kgo.Record) {
	h.t.Helper()
	if err := h.client.ProduceSync(h.t.Context(), r).FirstErr(); err != nil {
		h.t.Fatal(err)
	}
}
