package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"scry/checkpoint"
	"scry/predictor"
)

// noon is when the events of these tests happen.
var noon = time.Now().Add(-24 * time.Hour).Truncate(time.Hour)

// hour is the span of an hour, n hours after noon.
func hour(n int) Span {
	from := noon.Add(time.Duration(n) * time.Hour)
	return Span{from, from.Add(time.Hour)}
}

// produceIn writes events to a partition with timestamps within a span.
func (h *harness) produceIn(s Span, partition int32, events ...string) {
	h.t.Helper()
	var rs []*kgo.Record
	for i, e := range events {
		at := s.From.Add(s.To.Sub(s.From) * time.Duration(i) / time.Duration(len(events)))
		rs = append(rs, &kgo.Record{Topic: "in", Partition: partition, Timestamp: at, Value: []byte(e)})
	}
	if err := h.client.ProduceSync(context.Background(), rs...).FirstErr(); err != nil {
		h.t.Fatal(err)
	}
}

func (h *harness) replay(d *predictor.Deployment, o Replay) (Replayed, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return ReplaySpan(ctx, h.cfg, d, o, Env{Log: slog.New(slog.NewTextHandler(h.t.Output(), nil)), Dial: h.dial()})
}

func (h *harness) replayed(d *predictor.Deployment, o Replay) Replayed {
	h.t.Helper()
	sum, err := h.replay(d, o)
	if err != nil {
		h.t.Fatal(err)
	}
	return sum
}

// groups are the consumer groups that there are.
func (h *harness) groups() []string {
	h.t.Helper()
	listed, err := kadm.NewClient(h.client).ListGroups(context.Background())
	if err != nil {
		h.t.Fatal(err)
	}
	return listed.Groups()
}

// mild is doubler with another model: the score is x/4.
func mild() *predictor.Deployment {
	d := doubler()
	d.Version, d.Model = "2", quarterModel{}
	return d
}

type quarterModel struct{ halfModel }

func (quarterModel) Predict(in, out []float64) error {
	for i := range out {
		out[i] = in[i] / 4
	}
	return nil
}

// A replay beside the running pipeline touches what it should and nothing else.
func TestReplayScoresASpanAgain(t *testing.T) {
	atLeastOnce(t) // ends are counted, and transactions add to them
	h := newHarness(t, 2)
	h.cfg.Input.Entity = "user"
	h.cfg.Cache.TTL = 0
	h.produceIn(hour(0), 0, event(1, "before"))
	h.produceIn(hour(1), 0, event(1, "both"), "no JSON", event(1, "once"))
	h.produceIn(hour(1), 1, event(0.5, "other"), `{"user":"bad"}`)
	h.produceIn(hour(2), 0, event(0.8, "both"))
	h.produceIn(hour(2), 1, event(0.8, "after"))
	h.cfg.Output.HoldWhenRejected = 1
	live := h.run(doubler())
	h.read("out", 6)
	h.read("dlq", 2)
	h.eventually("all is committed", func() bool { return h.committed(0) == 5 && h.committed(1) == 3 })
	newer, _ := h.redis.Get("pred:half:both")
	out, dead := h.end("out"), h.end("dlq")

	sum := h.replayed(mild(), Replay{Span: hour(1)})
	if !strings.HasPrefix(sum.Group, "test.replay."+hour(1).From.UTC().Format("20060102T150405Z-")) {
		t.Errorf("group %s", sum.Group)
	}
	first := sum.Examples
	sum.Group, sum.Examples = "", nil
	want := Replayed{Read: 5, Predictions: 3, Rejected: 2, Written: 2, Stale: 1,
		Reasons: map[string]int64{reasonMalformed: 1, reasonMissing: 1}}
	if fmt.Sprint(sum) != fmt.Sprint(want) {
		t.Errorf("replay: %+v\nwant %+v", sum, want)
	}
	if first[reasonMalformed].ID != "in-0-2" || first[reasonMissing].ID != "in-1-1" || first[reasonMissing].Message == "" {
		t.Errorf("examples: %+v", first)
	}
	var ids []string
	for _, r := range h.read("out", 9) {
		var p struct {
			ID      string
			Score   float64
			Version string `json:"model_version"`
		}
		if err := json.Unmarshal(r.Value, &p); err != nil {
			t.Fatal(err)
		}
		if p.Version == "2" {
			ids = append(ids, fmt.Sprint(p.ID, " ", p.Score))
		}
	}
	slices.Sort(ids)
	if fmt.Sprint(ids) != "[in-0-1 0.25 in-0-3 0.25 in-1-0 0.125]" {
		t.Errorf("predictions of the replay: %v", ids)
	}
	if v, _ := h.redis.Get("pred:half:both"); v != newer {
		t.Errorf("the newer prediction %s was replaced by %s", newer, v)
	}
	for user, model := range map[string]string{"before": "half/1", "once": "half/2", "other": "half/2", "after": "half/1"} {
		if v, _ := h.redis.Get("pred:half:" + user); !strings.Contains(v, model) {
			t.Errorf("cache of %s: %s, want of model %s", user, v, model)
		}
	}
	if n := h.end("dlq"); n != dead {
		t.Errorf("the dead letter topic ends at %d, was %d", n, dead)
	}
	if g := h.groups(); fmt.Sprint(g) != "[test]" || h.committed(0) != 5 || h.committed(1) != 3 {
		t.Errorf("groups %v, the pipeline's at %d and %d", g, h.committed(0), h.committed(1))
	}
	if live.Stats().Totals().Predicted != 6 || live.Health().Ready() != nil {
		t.Error("the pipeline has noticed")
	}
	// It is forgotten, so it can be done again.
	if again := h.replayed(mild(), Replay{Span: hour(1)}); again.Read != 5 || again.Resumed {
		t.Errorf("the second: %+v", again)
	}
	if n := h.end("out"); n != out+6 {
		t.Errorf("the output topic ends at %d, was %d", n, out)
	}
}

// What is cut short goes on where it stopped, but not with another model.
func TestReplayGoesOn(t *testing.T) {
	const n = 12_000
	h := newHarness(t, 2)
	h.cfg.Delivery.MaxInFlight = 1 << 20
	h.slow = 50 * time.Millisecond
	h.cfg.Input.Entity = "user"
	for p := range int32(2) {
		h.produceIn(hour(0), p, events(n/2, "u")...)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	cut, err := ReplaySpan(ctx, h.cfg, doubler(), Replay{Span: hour(0), Progress: func(done, _ int64) {
		if done > 0 {
			cancel()
		}
	}}, Env{Dial: h.dial()})
	if err == nil || !strings.Contains(err.Error(), "--from "+stamp(hour(0).From)+" --to "+stamp(hour(0).To)+" goes on") {
		t.Fatalf("cut short: %+v, %v", cut, err)
	}
	if cut.Read == 0 || cut.Read == n || cut.Resumed || !slices.Contains(h.groups(), cut.Group) {
		t.Fatalf("cut short: %+v, groups %v", cut, h.groups())
	}
	if g := replayGroup(h.cfg, mild(), hour(0)); g == cut.Group {
		t.Errorf("another model's replay would go on with group %s", g)
	}
	rest := h.replayed(doubler(), Replay{Span: hour(0)})
	if !rest.Resumed || rest.Done || cut.Read+rest.Read != n { // nothing in flight was lost, so nothing is repeated
		t.Errorf("%d, then %+v, want %d together", cut.Read, rest, n)
	}
	if g := h.groups(); len(g) != 0 {
		t.Errorf("groups %v are left", g)
	}
	ids := map[string]bool{}
	for _, r := range h.read("out", n) {
		ids[strings.SplitN(string(r.Value), ",", 2)[0]] = true
	}
	if len(ids) != n {
		t.Errorf("%d of %d events have a prediction", len(ids), n)
	}
}

// A group that cannot be deleted is not silently taken for a replay that was done now.
func TestReplayThatIsDoneSaysSo(t *testing.T) {
	h := newHarness(t, 1)
	h.produceIn(hour(0), 0, events(3, "u")...)
	h.kafka.ControlKey(int16(kmsg.DeleteGroups), func(req kmsg.Request) (kmsg.Response, error, bool) {
		r := req.ResponseKind().(*kmsg.DeleteGroupsResponse)
		g := kmsg.NewDeleteGroupsResponseGroup()
		g.Group, g.ErrorCode = req.(*kmsg.DeleteGroupsRequest).Groups[0], kerr.GroupAuthorizationFailed.Code
		r.Groups = append(r.Groups, g)
		return r, nil, true
	})
	sum, err := h.replay(doubler(), Replay{Span: hour(0)})
	if sum.Read != 3 || sum.Done || !errors.Is(err, kerr.GroupAuthorizationFailed) {
		t.Errorf("%+v, %v", sum, err)
	}
	if sum = h.replayed(doubler(), Replay{Span: hour(0)}); !sum.Done || sum.Read != 0 || len(h.groups()) != 0 {
		t.Errorf("done before: %+v, groups %v", sum, h.groups())
	}
	if sum = h.replayed(doubler(), Replay{Span: hour(0)}); sum.Done || sum.Read != 3 {
		t.Errorf("after that: %+v", sum)
	}
}

// The end is found also when there is no record right before it.
func TestReplayEnds(t *testing.T) {
	h := newHarness(t, 2)
	adm := kadm.NewClient(h.client)
	ctx := context.Background()
	compact := "compact"
	if _, err := adm.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Name: "cleanup.policy", Value: &compact}}, "in"); err != nil {
		t.Fatal(err)
	}
	if sum := h.replayed(doubler(), Replay{Span: hour(0)}); sum.Read != 0 || sum.Done || len(h.groups()) != 0 {
		t.Errorf("an empty topic: %+v, groups %v", sum, h.groups())
	}
	keyed := func(s Span, key string) {
		t.Helper()
		r := &kgo.Record{Topic: "in", Timestamp: s.From, Key: []byte(key), Value: []byte(event(1, key))}
		if err := h.client.ProduceSync(ctx, r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	keyed(hour(0), "a")
	keyed(hour(0), "b")
	keyed(hour(1), "b")
	keyed(hour(1), "b")
	h.kafka.Compact()
	s := hour(0) // it ends at offset 3, and its last record is at 0
	if sum := h.replayed(doubler(), Replay{Span: s}); sum.Predictions != 1 || len(h.groups()) != 0 {
		t.Errorf("compacted: %+v, groups %v", sum, h.groups())
	}
	if sum, err := h.compare(doubler(), doubler(), s); err != nil || sum.Events != 1 {
		t.Errorf("compacted, compared: %+v, %v", sum, err)
	}
	if sum := h.replayed(doubler(), Replay{Span: hour(5)}); sum.Read != 0 {
		t.Errorf("behind the end: %+v", sum)
	}
	h.kafka.DeleteRecords("in", 0, 4)
	if sum := h.replayed(doubler(), Replay{Span: hour(1)}); sum.Read != 0 {
		t.Errorf("deleted: %+v", sum)
	}
}

// Aborted transactions have no records, open ones are waited for.
func TestReplayAndTransactions(t *testing.T) {
	h := newHarness(t, 1)
	ctx := context.Background()
	writer, err := kgo.NewClient(kgo.SeedBrokers(h.brokers...), kgo.TransactionalID("writer"))
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	begin := func(key string) {
		t.Helper()
		if err := writer.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		r := &kgo.Record{Topic: "in", Timestamp: noon, Key: []byte(key), Value: []byte(event(1, key))}
		if err := writer.ProduceSync(ctx, r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	end := func(how kgo.TransactionEndTry) {
		t.Helper()
		if err := writer.EndTransaction(ctx, how); err != nil {
			t.Fatal(err)
		}
	}
	h.produce(0, event(1, "plain"))
	begin("aborted")
	end(kgo.TryAbort)
	if sum := h.replayed(doubler(), Replay{Span: Span{noon, time.Now()}}); sum.Read != 1 {
		t.Errorf("aborted: %+v", sum)
	}
	begin("open")
	waiting := make(chan struct{})
	type outcome struct {
		sum Replayed
		err error
	}
	done := make(chan outcome)
	go func() {
		told := slog.New(&tell{on: "waiting for a transaction that is open", c: waiting})
		sum, err := ReplaySpan(ctx, h.cfg, doubler(), Replay{Span: Span{noon, time.Now()}}, Env{Log: told})
		done <- outcome{sum, err}
	}()
	select {
	case o := <-done:
		t.Fatalf("it did not wait: %+v, %v", o.sum, o.err)
	case <-waiting:
	}
	end(kgo.TryCommit)
	if o := <-done; o.err != nil || o.sum.Read != 2 {
		t.Errorf("open: %+v, %v", o.sum, o.err)
	}
}

// tell is a log that closes a channel at a message.
type tell struct {
	on string
	c  chan struct{}
}

func (l *tell) Enabled(context.Context, slog.Level) bool { return true }
func (l *tell) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *tell) WithGroup(string) slog.Handler            { return l }
func (l *tell) Handle(_ context.Context, r slog.Record) error {
	if r.Message == l.on {
		close(l.c)
	}
	return nil
}

// A model that fails, and a stream of rejects, end it with nothing passed by.
func TestReplayThatCannotGoOn(t *testing.T) {
	h := newHarness(t, 1)
	h.produceIn(hour(0), 0, slices.Repeat([]string{"no JSON"}, 300)...)
	_, err := h.replay(doubler(), Replay{Span: hour(0)})
	if err == nil || !strings.Contains(err.Error(), "hold_when_rejected") {
		t.Errorf("all rejected: %v", err)
	}
	if len(h.groups()) != 1 || h.end("out") != 0 || h.end("dlq") != 0 {
		t.Errorf("groups %v, %d predictions, %d dead letters", h.groups(), h.end("out"), h.end("dlq"))
	}
	for problem, s := range map[string]Span{"it must begin before it ends": {noon, noon}, "yet to come": {noon, time.Now().Add(time.Hour)}} {
		if _, err := h.replay(doubler(), Replay{Span: s}); err == nil || !strings.Contains(err.Error(), problem) {
			t.Errorf("%v: %v", s, err)
		}
	}
}

// A prediction that the output topic does not take is rejected, and no dead letter.
func TestReplayRejectsWhatDoesNotFit(t *testing.T) {
	h := newHarness(t, 1)
	h.cfg.Input.Entity, h.cfg.Cache.TTL = "user", 0
	limit := "20000"
	if _, err := kadm.NewClient(h.client).AlterTopicConfigs(context.Background(), []kadm.AlterConfig{{Name: "max.message.bytes", Value: &limit}}, "out"); err != nil {
		t.Fatal(err)
	}
	h.produceIn(hour(0), 0, event(1, strings.Repeat("u", 30_000)), event(1, "a"), event(1, strings.Repeat("v", 30_000)))
	sum := h.replayed(doubler(), Replay{Span: hour(0)})
	if sum.Predictions != 1 || sum.Reasons[reasonTooLarge] != 2 || len(h.redis.Keys()) != 1 {
		t.Errorf("%+v, cached: %v", sum, h.redis.Keys())
	}
	h.produceIn(hour(1), 0, event(1, "b"))
	h.refuse("out", kerr.InvalidRecord, 1)
	sum = h.replayed(doubler(), Replay{Span: hour(1)})
	if sum.Read != 1 || sum.Reasons[reasonRefused] != 1 || sum.Examples[reasonRefused].ID != "in-0-3" {
		t.Errorf("refused: %+v", sum)
	}
}

// A replay that goes on in a topic that was made anew meanwhile keeps to its span.
func TestReplayKeepsToItsSpan(t *testing.T) {
	h := newHarness(t, 1)
	for i, n := range []int{5, 3, 5} {
		h.produceIn(hour(i), 0, events(n, "u")...)
	}
	was := kadm.Offset{Topic: "in", At: 7, LeaderEpoch: -1, Metadata: checkpoint.Encode(checkpoint.Metadata{TopicID: [16]byte{1}})}
	offsets := kadm.Offsets{}
	offsets.Add(was)
	if err := kadm.NewClient(h.client).CommitAllOffsets(context.Background(), replayGroup(h.cfg, doubler(), hour(1)), offsets); err != nil {
		t.Fatal(err)
	}
	if sum := h.replayed(doubler(), Replay{Span: hour(1)}); sum.Read != 3 || !sum.Resumed {
		t.Errorf("%+v", sum)
	}
}

// A partition that is past its end is fetched no more, until it is assigned anew: what
// was in flight when it was taken away is read again.
func TestEndingPausesAndResumes(t *testing.T) {
	h := newHarness(t, 2)
	h.cfg.Delivery.Guarantee = "at_least_once"
	c, err := New(h.cfg, doubler(), Env{})
	if err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(h.brokers...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	c.client.Store(client)
	c.cfg.Delivery.Guarantee = "at_least_once" // a replay's
	s := &session{consumer: c, client: client, joined: make(chan struct{})}
	close(s.joined)
	p := topicPartition{"in", 1}
	c.ending = &ending{extent: newExtent(map[topicPartition]int64{p: 2}, map[topicPartition]int64{p: 4})}
	for _, step := range []struct {
		from, to, kept int64
		paused         string
	}{{0, 2, 0, "map[]"}, {1, 3, 1, "map[]"}, {3, 4, 1, "map[]"}, {3, 6, 1, "map[in:[1]]"}} {
		var fetched kgo.FetchTopicPartition
		fetched.Topic, fetched.Partition = "in", 1
		for at := step.from; at < step.to; at++ {
			fetched.Records = append(fetched.Records, &kgo.Record{Offset: at})
		}
		kept := c.cut(fetched)
		if paused := fmt.Sprint(client.PauseFetchPartitions(nil)); int64(len(kept)) != step.kept || paused != step.paused {
			t.Errorf("offsets %d to %d: %d kept, paused %v; want %+v", step.from, step.to, len(kept), paused, step)
		}
	}
	s.assigned(context.Background(), client, map[string][]int32{"in": {1}})
	if paused := client.PauseFetchPartitions(nil); len(paused) != 0 {
		t.Errorf("assigned, and still paused: %v", paused)
	}
}
