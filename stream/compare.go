package stream

import (
	"cmp"
	"context"
	"errors"
	"io"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"scry/checkpoint"
	"scry/predictor"
)

// A Compared is how the predictions of two models for the same events differ. Deltas are
// the challenger's score less the champion's.
type Compared struct {
	Read       int64 `json:"read"`
	Tombstones int64 `json:"tombstones"`
	Events     int64 `json:"compared"` // both models have a prediction

	Deltas Deltas `json:"deltas"`
	// Labelled counts the compared to which both models gave a label, Agreed those with the
	// same one; Flips are the others.
	Labelled int64  `json:"labelled"`
	Agreed   int64  `json:"agreed"`
	Flips    []Flip `json:"flips"` // the most frequent first

	RejectedBoth       int64      `json:"rejected_by_both"`
	RejectedChampion   Rejections `json:"rejected_by_champion_alone"`
	RejectedChallenger Rejections `json:"rejected_by_challenger_alone"`

	Worst []Difference `json:"worst"` // the greatest deltas, greatest first
}

// A Flip counts the events that the challenger labels otherwise.
type Flip struct {
	Champion   string `json:"champion"`
	Challenger string `json:"challenger"`
	Events     int64  `json:"events"`
}

// Rejections counts the events that one model alone has no prediction for.
type Rejections struct {
	Events  int64             `json:"events"`
	Reasons map[string]int64  `json:"reasons"`
	First   map[string]Reject `json:"examples"` // of each reason
}

// A Difference is what two models say of one event.
type Difference struct {
	ID         string  `json:"id"`
	Champion   Verdict `json:"champion"`
	Challenger Verdict `json:"challenger"`
	Delta      float64 `json:"delta"`
}

// A Verdict is a prediction's score and label.
type Verdict struct {
	Score float64 `json:"score"`
	Label string  `json:"label,omitempty"` // empty: the model gives none
}

// worst is how many differences are shown.
const worst = 10

// CompareSpan scores a span of the input topics with two models and sums up how their
// predictions differ. It joins no group, commits nothing and writes nothing. An error of
// a model on every event ends it. progress may be nil.
func CompareSpan(ctx context.Context, cfg Config, champion, challenger *predictor.Deployment, s Span, progress func(done, total int64)) (Compared, error) {
	sum := Compared{Deltas: Deltas{buckets: map[uint64]int64{}}, Flips: []Flip{}, Worst: []Difference{},
		RejectedChampion: newRejections(), RejectedChallenger: newRejections()}
	if err := s.Validate(); err != nil {
		return sum, err
	}
	r, err := openScan(ctx, cfg.Kafka, func(ctx context.Context, client *kgo.Client) (extent, error) {
		return s.extent(ctx, client, cfg.Input.Topics)
	})
	if err != nil {
		return sum, err
	}
	defer r.close()
	cfg.Cache.URL = ""
	a, b := newSide(cfg, champion), newSide(cfg, challenger)
	flips := map[[2]string]int64{}
	for {
		records, err := r.poll(ctx, pollRecords)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return sum, err
		}
		var wg sync.WaitGroup
		wg.Go(func() { a.err = a.score(records) })
		wg.Go(func() { b.err = b.score(records) })
		wg.Wait()
		if err := errors.Join(a.err, b.err); err != nil {
			return sum, err
		}
		for i, rec := range records {
			sum.add(rec, a, b, i, flips)
		}
		if progress != nil {
			progress(r.total-r.left, r.total)
		}
	}
	sum.Deltas.close()
	for labels, n := range flips {
		sum.Flips = append(sum.Flips, Flip{labels[0], labels[1], n})
	}
	slices.SortFunc(sum.Flips, func(x, y Flip) int {
		return cmp.Or(cmp.Compare(y.Events, x.Events), cmp.Compare(x.Champion, y.Champion), cmp.Compare(x.Challenger, y.Challenger))
	})
	return sum, nil
}

// add takes in what two sides say of record i.
func (sum *Compared) add(r *kgo.Record, a, b *side, i int, flips map[[2]string]int64) {
	sum.Read++
	x, y := &a.batch.rows[i], &b.batch.rows[i]
	switch {
	case x.tombstone:
		sum.Tombstones++
		return
	case x.reject != nil && y.reject != nil:
		sum.RejectedBoth++
		return
	case x.reject != nil:
		sum.RejectedChampion.add(r, x.reject)
		return
	case y.reject != nil:
		sum.RejectedChallenger.add(r, y.reject)
		return
	}
	sum.Events++
	v, w := a.verdict(i), b.verdict(i)
	if v.Label != "" && w.Label != "" {
		sum.Labelled++
		if v.Label == w.Label {
			sum.Agreed++
		} else {
			flips[[2]string{v.Label, w.Label}]++
		}
	}
	delta := w.Score - v.Score
	if sum.Deltas.add(delta); delta == 0 || math.IsNaN(delta) || math.IsInf(delta, 0) {
		return
	}
	if n := len(sum.Worst); n < worst || math.Abs(delta) > math.Abs(sum.Worst[n-1].Delta) {
		at, _ := slices.BinarySearchFunc(sum.Worst, math.Abs(delta), func(d Difference, delta float64) int {
			if math.Abs(d.Delta) >= delta { // of equals the first
				return -1
			}
			return 1
		})
		sum.Worst = slices.Insert(sum.Worst, at, Difference{recordID(r), v, w, delta})
		sum.Worst = sum.Worst[:min(len(sum.Worst), worst)]
	}
}

func newRejections() Rejections { return Rejections{0, map[string]int64{}, map[string]Reject{}} }

func (k *Rejections) add(r *kgo.Record, j *reject) {
	k.Events++
	if k.Reasons[j.reason]++; k.Reasons[j.reason] == 1 {
		k.First[j.reason] = newReject(r, j)
	}
}

// A side scores records with one model, as a Consumer would, and keeps the scores.
type side struct {
	scorer  *scorer
	batch   batch
	sources map[topicPartition]*source
	labels  []string
	scores  []float64
	err     error
}

func newSide(c Config, d *predictor.Deployment) *side {
	s := newScorer(c)
	s.workers = s.workers[:1]
	s.current, s.encoder = d, newEncoder(d)
	return &side{scorer: s, sources: map[topicPartition]*source{}, labels: d.Labels}
}

// score takes records in partition order, as a scan returns them.
func (k *side) score(records []*kgo.Record) error {
	b := &k.batch
	b.records, b.runs = records, b.runs[:0]
	for i, r := range records {
		at := topicPartition{r.Topic, r.Partition}
		if k.sources[at] == nil {
			k.sources[at] = newSource(checkpoint.Partition{Topic: r.Topic, ID: r.Partition})
		}
		if n := len(b.runs); n == 0 || b.runs[n-1].source != k.sources[at] {
			b.runs = append(b.runs, run{from: i, source: k.sources[at]})
		}
		b.runs[len(b.runs)-1].to = i + 1
	}
	b.scored = time.Now()
	b.reset(len(records), k.scorer.current, false)
	k.scores = grow(k.scores, len(records)*k.scorer.encoder.outputs)
	return k.scorer.keep(b, k.scores)
}

func (k *side) verdict(i int) Verdict {
	n := k.scorer.encoder.outputs
	score, class := decide(k.scores[i*n:][:n], k.scorer.current.Threshold)
	v := Verdict{Score: score}
	if class < len(k.labels) {
		v.Label = k.labels[class]
	}
	return v
}
