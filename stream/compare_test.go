package stream

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"scry/predictor"
)

func (h *harness) compare(a, b *predictor.Deployment, s Span) (Compared, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return CompareSpan(ctx, h.cfg, a, b, s, nil)
}

// The differences of two models are those that a count by hand gives, and nothing is
// written or committed.
func TestCompareSpan(t *testing.T) {
	h := newHarness(t, 2)
	h.cfg.Input.Entity = "user"
	h.produceIn(hour(0), 0, event(0.1, "outside"))
	rnd := rand.New(rand.NewPCG(1, 2))
	var halves, all []float64
	for p := range int32(2) {
		var es []string
		for range 500 {
			x := math.Floor(rnd.Float64()*2000) / 1000
			es = append(es, event(x, "u"))
			all = append(all, x)
		}
		h.produceIn(hour(1), p, append(es, "no JSON", `{"user":"lacks x"}`)...)
	}
	if err := h.client.ProduceSync(context.Background(), &kgo.Record{Topic: "in", Key: []byte("k"), Timestamp: hour(1).From.Add(time.Hour - 1)}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	h.produceIn(hour(2), 0, event(0.2, "outside"))
	challenger := lenient()
	challenger.Model = quarterModel{}
	sum, err := h.compare(doubler(), challenger, hour(1))
	if err != nil {
		t.Fatal(err)
	}
	flips, mean := int64(0), 0.0
	for _, x := range all {
		halves = append(halves, x/4) // the absolute delta
		mean -= x / 4 / float64(len(all))
		if x/2 >= 0.5 && x/4 < 0.5 {
			flips++
		}
	}
	slices.Sort(halves)
	if sum.Read != 1005 || sum.Tombstones != 1 || sum.Events != 1000 || sum.Labelled != 1000 || sum.Agreed != 1000-flips {
		t.Errorf("%+v, want %d flips", sum, flips)
	}
	if want := []Flip{{"high", "low", flips}}; !slices.Equal(sum.Flips, want) {
		t.Errorf("flips %v, want %v", sum.Flips, want)
	}
	if sum.RejectedBoth != 2 || sum.RejectedChallenger.Events != 0 || sum.RejectedChampion.Events != 2 || sum.RejectedChampion.Reasons[reasonMissing] != 2 ||
		!strings.HasPrefix(sum.RejectedChampion.First[reasonMissing].ID, "in-") {
		t.Errorf("rejected by both %d, champion %+v, challenger %+v", sum.RejectedBoth, sum.RejectedChampion, sum.RejectedChallenger)
	}
	d := sum.Deltas
	if d.Count != 1000 || math.Abs(d.Mean-mean) > 1e-9 || math.Abs(d.MeanAbs+mean) > 1e-9 || d.MaxAbs != halves[999] {
		t.Errorf("deltas %+v, want mean %v, greatest %v", d, mean, halves[999])
	}
	for q, got := range map[float64]float64{.5: d.P50Abs, .9: d.P90Abs, .99: d.P99Abs, .999: d.P999Abs} {
		if want := halves[int(math.Ceil(q*1000))-1]; got > want || got < want*(1-0.004) {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	if len(sum.Worst) != 10 {
		t.Fatalf("%d worst", len(sum.Worst))
	}
	for i, w := range sum.Worst {
		if w.Delta != -halves[999-i] || w.Champion.Score-w.Challenger.Score != -w.Delta || !strings.HasPrefix(w.ID, "in-") {
			t.Errorf("worst %d: %+v, want %v", i, w, -halves[999-i])
		}
	}
	// The other way round, rejects change sides.
	if back, err := h.compare(challenger, doubler(), hour(1)); err != nil || back.RejectedChallenger.Events != 2 || back.RejectedChampion.Events != 0 || math.Abs(back.Deltas.Mean+d.Mean) > 1e-9 {
		t.Errorf("the other way round: %+v, %v", back, err)
	}
	if same, err := h.compare(doubler(), doubler(), hour(1)); err != nil || same.Deltas.Unequal != 0 || same.Agreed != 1000 || len(same.Worst)+len(same.Flips) != 0 {
		t.Errorf("with itself: %+v, %v", same, err)
	}
	if none, err := h.compare(doubler(), doubler(), hour(7)); err != nil || none.Read != 0 {
		t.Errorf("where there is nothing: %+v, %v", none, err)
	}
	if h.end("out")+h.end("dlq") != 0 || len(h.redis.Keys()) != 0 || len(h.groups()) != 0 {
		t.Errorf("written: %d and %d records, keys %v, groups %v", h.end("out"), h.end("dlq"), h.redis.Keys(), h.groups())
	}
	broken := doubler()
	broken.Model = failingModel{}
	if _, err := h.compare(doubler(), broken, hour(1)); err == nil || !strings.Contains(err.Error(), "fails on every row") {
		t.Errorf("a broken challenger: %v", err)
	}
}

// Classes and scores that are no numbers.
func TestCompareClasses(t *testing.T) {
	h := newHarness(t, 1)
	h.cfg.Input.Entity = "user"
	three, other := doubler(), doubler()
	three.Model, three.Labels = threeModel{}, []string{"a", "b", "c"}
	other.Model, other.Labels = threeModel{}, nil
	h.produceIn(hour(0), 0, event(1, "u"), event(9, "u"), event(-1, "u"))
	sum, err := h.compare(three, other, hour(0))
	if err != nil || sum.Events != 3 || sum.Labelled != 0 || sum.Deltas.Count != 2 || sum.Deltas.WithoutNumber != 1 {
		t.Errorf("%+v, %v", sum, err)
	}
	if sum, err = h.compare(three, doubler(), hour(0)); err != nil || fmt.Sprint(sum.Flips) != "[{a high 2} {c low 1}]" {
		t.Errorf("%+v, %v", sum, err)
	}
}

// Both read an input of several topics.
func TestSpanOfSeveralTopics(t *testing.T) {
	h := newHarness(t, 1)
	if _, err := kadm.NewClient(h.client).CreateTopic(context.Background(), 2, 1, nil, "more"); err != nil {
		t.Fatal(err)
	}
	h.cfg.Input.Topics = append(h.cfg.Input.Topics, "more")
	h.produceIn(hour(0), 0, event(1, "u"))
	for p := range int32(2) {
		r := &kgo.Record{Topic: "more", Partition: p, Timestamp: hour(0).From, Value: []byte(event(1, "u"))}
		if err := h.client.ProduceSync(context.Background(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	if sum, err := h.compare(doubler(), mild(), hour(0)); err != nil || sum.Events != 3 || sum.Worst[0].Delta != -0.25 {
		t.Errorf("%+v, %v", sum, err)
	}
	if sum := h.replayed(doubler(), Replay{Span: hour(0)}); sum.Predictions != 3 {
		t.Errorf("%+v", sum)
	}
}
