package stream

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"scry/predictor"
	"scry/predictor/feature"
)

// lenient is doubler after a mend: an event without x counts as one with 0.5.
func lenient() *predictor.Deployment {
	d := doubler()
	d.Version, d.Extractor = "2", lenientExtractor{}
	return d
}

type lenientExtractor struct{}

func (lenientExtractor) Extract(value []byte, row []float64, s *feature.Scratch) (feature.Fields, error) {
	text := string(value)
	if !strings.Contains(text, `"x"`) {
		text = strings.Replace(text, "{", `{"x":0.5,`, 1)
	}
	return xExtractor{}.Extract([]byte(text), row, s)
}

func (h *harness) redrive(d *predictor.Deployment, o Redrive) Redriven {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if o.MaxAttempts == 0 {
		o.MaxAttempts = 5
	}
	sum, err := RedriveDeadLetters(ctx, h.cfg, d, o, Env{Log: slog.New(slog.NewTextHandler(h.t.Output(), nil))})
	if err != nil {
		h.t.Fatal(err)
	}
	return sum
}

func (h *harness) deadLetters(all bool, s Selection) (found []DeadLetter) {
	h.t.Helper()
	_, err := EachDeadLetter(context.Background(), h.cfg, all, s, func(d *DeadLetter) error {
		found = append(found, *d)
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return found
}

func (h *harness) end(topic string) (n int64) {
	h.t.Helper()
	ends, err := kadm.NewClient(h.client).ListEndOffsets(context.Background(), topic)
	if err != nil {
		h.t.Fatal(err)
	}
	ends.Each(func(o kadm.ListedOffset) { n += o.Offset })
	return n
}

func TestRedriveScoresWhatWasMended(t *testing.T) {
	h := newHarness(t, 2)
	h.cfg.Input.Entity = "user"
	at := time.Now().Add(-time.Hour).UnixMilli()
	lacking := func(i int) string { return fmt.Sprintf(`{"user":"u%d","at":%d}`, i, at) }
	for p := range int32(2) {
		for i := range 20 {
			h.produce(p, event(1, fmt.Sprintf("g%d", i)), lacking(100*int(p)+i), "not JSON")
		}
	}
	h.cfg.Output.HoldWhenRejected = 1
	r := h.run(doubler())
	h.read("out", 40)
	h.read("dlq", 80)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	source := h.end("in")

	missing := h.deadLetters(false, Selection{Reasons: []string{reasonMissing}})
	if len(missing) != 40 || missing[0].Attempts != 1 || missing[0].Group != "test" || missing[0].Model != "half/1" {
		t.Fatalf("%d dead letters lack a feature: %+v", len(missing), missing[:1])
	}
	// Only the chosen are scored; the others stay in the queue, untouched.
	malformed := h.deadLetters(false, Selection{Reasons: []string{reasonMalformed}})
	sum := h.redrive(lenient(), Redrive{Select: Selection{Reasons: []string{reasonMissing}}})
	if sum.Scored != 40 || sum != (Redriven{Scored: 40, NotChosen: sum.NotChosen}) {
		t.Errorf("redrive: %+v, want 40 scored", sum)
	}
	ids := map[string]bool{}
	for _, rec := range h.read("out", 80) {
		var p struct {
			ID, Entity string
			EventTime  time.Time `json:"event_time"`
		}
		if err := json.Unmarshal(rec.Value, &p); err != nil {
			t.Fatal(err)
		}
		ids[p.ID] = true
		if strings.HasPrefix(p.Entity, "u") {
			if p.EventTime.UnixMilli() != at || len(rec.Headers) != 0 {
				t.Errorf("%s: event time %v, headers %v", rec.Value, p.EventTime, rec.Headers)
			}
			var partition int32
			var offset int64
			if _, err := fmt.Sscanf(p.ID, "in-%d-%d", &partition, &offset); err != nil {
				t.Fatal(err)
			}
			want := newVersion(at, offset, sourceHash("in", partition))
			if v, err := h.redis.Get("pred:half:" + p.Entity); err != nil || !strings.HasPrefix(v, `{"v":"`+string(want[:])) {
				t.Errorf("cache of %s: %s, %v; want version %s", p.Entity, v, err, want[:])
			}
		}
	}
	for _, d := range missing {
		if !ids[d.ID] {
			t.Errorf("%s has no prediction under its own id", d.ID)
		}
	}
	waiting := h.deadLetters(false, Selection{})
	if len(waiting) != len(malformed) {
		t.Fatalf("%d wait, want the %d malformed ones", len(waiting), len(malformed))
	}
	times := map[string]time.Time{}
	for _, d := range malformed {
		times[d.ID] = d.Time
	}
	for _, d := range waiting {
		if d.Attempts != 1 || !d.Time.Equal(times[d.ID]) || string(d.Value) != "not JSON" {
			t.Errorf("a dead letter not chosen was changed: %+v, was of %v", d, times[d.ID])
		}
	}
	// A second call repeats nothing.
	if sum := h.redrive(lenient(), Redrive{Select: Selection{Reasons: []string{reasonMissing}}}); sum != (Redriven{}) {
		t.Errorf("the second redrive: %+v", sum)
	}
	// What fails again is counted, until it is left alone.
	for attempts := 2; attempts <= 3; attempts++ {
		if sum := h.redrive(lenient(), Redrive{MaxAttempts: 3}); sum != (Redriven{Failed: 40}) {
			t.Errorf("redrive %d: %+v", attempts, sum)
		}
		for _, d := range h.deadLetters(false, Selection{}) {
			if d.Attempts != attempts || d.Group != "test" || d.Model != "half/2" || d.Topic != "in" {
				t.Errorf("after attempt %d: %+v", attempts, d)
			}
		}
	}
	if sum := h.redrive(lenient(), Redrive{MaxAttempts: 3}); sum != (Redriven{Exhausted: 40}) {
		t.Errorf("tried three times: %+v", sum)
	}
	if sum := h.redrive(lenient(), Redrive{MaxAttempts: 3}); sum != (Redriven{}) {
		t.Errorf("an empty queue: %+v", sum)
	}
	if n := h.end("in"); n != source {
		t.Errorf("the source grew from %d to %d", source, n)
	}
	if n := len(h.read("out", 80)); n != 80 {
		t.Errorf("%d predictions, want 80", n)
	}
}

// A redriven event does not take the place of a newer one.
func TestRedriveLeavesTheNewer(t *testing.T) {
	h := newHarness(t, 1)
	h.cfg.Input.Entity = "user"
	h.cfg.Output.HoldWhenRejected = 1
	h.produce(0, `{"user":"a"}`, event(1, "a"))
	r := h.run(doubler())
	h.read("dlq", 1)
	h.read("out", 1)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	newer, _ := h.redis.Get("pred:half:a")
	if sum := h.redrive(lenient(), Redrive{}); sum.Scored != 1 {
		t.Fatalf("%+v", sum)
	}
	if v, _ := h.redis.Get("pred:half:a"); v != newer || newer == "" {
		t.Errorf("cache: %s, want the newer %s", v, newer)
	}
}

// What cannot be scored, or is not ours, is passed by; a model that fails on all ends it.
func TestRedrivePassesBy(t *testing.T) {
	h := newHarness(t, 1)
	h.cfg.Input.Entity = "user"
	d := doubler()
	bad := &reject{stage: "extract", reason: reasonMalformed, err: feature.ErrMalformed}
	source := &kgo.Record{Topic: "in", Offset: 5, Key: []byte("k"), Value: []byte(event(1, "a")), Timestamp: time.Now(),
		Headers: []kgo.RecordHeader{{Key: "scry-attempts", Value: []byte("9")}, {Key: "kafka_dlt-original-topic", Value: []byte("elsewhere")}}}
	cut, theirs, ours := deadLetter("dlq", "test", source, bad, d, 1, 4), deadLetter("dlq", "other", source, bad, d, 1, deadLetterValue), deadLetter("dlq", "test", source, bad, d, 1, deadLetterValue)
	gone := deadLetter("dlq", "test", source, bad, d, 1, 0)
	if err := h.client.ProduceSync(context.Background(), &kgo.Record{Topic: "dlq", Value: []byte("foreign")}, &cut, &gone, &theirs, &ours).FirstErr(); err != nil {
		t.Fatal(err)
	}
	broken := doubler()
	broken.Model = failingModel{}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	_, err := RedriveDeadLetters(ctx, h.cfg, broken, Redrive{MaxAttempts: 5}, Env{})
	if err == nil || !strings.Contains(err.Error(), "fails on every row") {
		t.Errorf("a broken model: %v", err)
	}
	if sum := h.redrive(d, Redrive{}); sum != (Redriven{Scored: 1, Cut: 2, Foreign: 2}) {
		t.Errorf("redrive: %+v", sum)
	}
	// The event's own headers are its own again, whatever they are called.
	if rec := h.read("out", 1)[0]; len(rec.Headers) != 2 || string(rec.Headers[1].Value) != "elsewhere" || !strings.Contains(string(rec.Value), `"id":"in-0-5"`) {
		t.Errorf("prediction %s with headers %v", rec.Value, rec.Headers)
	}
}

// What is read again because a transaction was aborted counts once.
func TestRedriveCountsOnce(t *testing.T) {
	h := newHarness(t, 1)
	h.cfg.Delivery.Guarantee = "exactly_once"
	d := doubler()
	letter := func(group string, r *reject, attempts, keep int) *kgo.Record {
		source := &kgo.Record{Topic: "in", Offset: 5, Value: []byte(event(1, "a")), Timestamp: time.Now()}
		rec := deadLetter("dlq", group, source, r, d, attempts, keep)
		return &rec
	}
	bad := &reject{stage: "extract", reason: reasonMalformed, err: feature.ErrMalformed}
	late := &reject{stage: "extract", reason: reasonMissing, err: feature.ErrMissing}
	if err := h.client.ProduceSync(context.Background(),
		letter("other", bad, 1, deadLetterValue), letter("test", late, 1, deadLetterValue), letter("test", bad, 1, 4),
		letter("test", bad, 5, deadLetterValue), letter("test", bad, 1, deadLetterValue)).FirstErr(); err != nil {
		t.Fatal(err)
	}
	f := h.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, Err: kerr.InvalidTxnState, Count: 2,
		When: func(r kmsg.Request) bool { return r.(*kmsg.EndTxnRequest).Commit }})
	sum := h.redrive(d, Redrive{Select: Selection{Reasons: []string{reasonMalformed}}})
	if want := (Redriven{Scored: 1, NotChosen: 1, Exhausted: 1, Cut: 1, Foreign: 1}); sum != want {
		t.Errorf("redrive: %+v, want %+v", sum, want)
	}
	if f.Hits() != 2 {
		t.Errorf("%d aborts", f.Hits())
	}
}

type failingModel struct{ halfModel }

func (failingModel) Predict([]float64, []float64) error { return fmt.Errorf("no") }

func FuzzParseDeadLetter(f *testing.F) {
	src := &kgo.Record{Topic: "in", Partition: 3, Offset: 991, Timestamp: time.UnixMilli(1795514400123)}
	l := deadLetter("dlq", "g", src, &reject{stage: "extract", reason: reasonMissing, err: feature.ErrMissing}, doubler(), 2, deadLetterValue)
	f.Add([]byte("in"), l.Headers[1].Value, l.Headers[2].Value, l.Headers[3].Value, []byte("2"))
	f.Add([]byte(""), []byte{1}, []byte(nil), []byte("12345678"), []byte("-1"))
	f.Fuzz(func(t *testing.T, topic, partition, offset, at, attempts []byte) {
		d, err := parseDeadLetter(&kgo.Record{Headers: []kgo.RecordHeader{
			{Key: "kafka_dlt-original-topic", Value: topic}, {Key: "kafka_dlt-original-partition", Value: partition},
			{Key: "kafka_dlt-original-offset", Value: offset}, {Key: "kafka_dlt-original-timestamp", Value: at},
			{Key: "scry-attempts", Value: attempts}}})
		if err == nil && (d.SourcePartition < 0 || d.SourceOffset < 0 || d.Topic == "" || d.ID == "" || d.Attempts < 0) {
			t.Errorf("%+v", d)
		}
	})
}
