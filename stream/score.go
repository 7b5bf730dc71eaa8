package stream

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"scry/predictor"
)

// maxSkew is how far an event's own time may lie past its record's timestamp; further
// in the future it is not believed.
const maxSkew = time.Hour

// A scorer turns a batch's records into predictions or rejects: extract, predict,
// encode, a chunk at a time, large batches on all cores. It is used by the loop alone.
type scorer struct {
	workers []worker
	encoder *encoder // of deployment
	current *predictor.Deployment
	ttl     time.Duration
	caching bool
	entity  bool      // the entity is in the event, not the record's key
	good    []float64 // a row the current model has scored; nil: none yet
	clock   func() time.Duration
}

// A worker is the memory one goroutine scores with.
type worker struct {
	rows   []float64 // chunkRows rows
	scores []float64

	outcome, times []byte // of the row that is being encoded
}

func newScorer(c Config) *scorer {
	return &scorer{
		workers: make([]worker, runtime.GOMAXPROCS(0)),
		ttl:     c.Cache.TTL,
		caching: c.Cache.URL != "" && !c.Cache.projected(),
		entity:  c.Input.Entity != "",
		clock:   sinceStart,
	}
}

var processStart = time.Now()

// sinceStart is the clock that stages are timed by.
func sinceStart() time.Duration { return time.Since(processStart) }

// errModel is a model that fails whatever row it is given.
var errModel = errors.New("the model fails on every row, good ones too")

// score fills b.rows and encodes every prediction. An error is the model's fault, not
// the events': the batch must be held.
func (s *scorer) score(b *batch) error {
	if s.current != b.deployment {
		s.current, s.encoder, s.good = b.deployment, newEncoder(b.deployment), nil
	}
	chunks := b.chunkCount()
	b.scored = time.Now()
	scoredAt := formatTime(b.scored)
	if chunks == 1 {
		s.chunk(b, 0, &s.workers[0], scoredAt)
	} else {
		var next atomic.Int32
		var wg sync.WaitGroup
		for i := range min(len(s.workers), chunks) {
			wg.Go(func() {
				for c := int(next.Add(1)) - 1; c < chunks; c = int(next.Add(1)) - 1 {
					s.chunk(b, c, &s.workers[i], scoredAt)
				}
			})
		}
		wg.Wait()
	}
	return s.blame(b)
}

// chunk scores rows [c*chunkRows, …) of the batch.
func (s *scorer) chunk(b *batch, c int, w *worker, scoredAt []byte) {
	d := b.deployment
	cols, outs := len(d.Features), s.encoder.outputs
	if len(w.rows) != chunkRows*cols || len(w.scores) != chunkRows*outs {
		w.rows, w.scores = make([]float64, chunkRows*cols), make([]float64, chunkRows*outs)
	}
	from := c * chunkRows
	to := min(from+chunkRows, len(b.records))
	ch := &b.chunks[c]

	start := s.clock()
	for i := from; i < to; i++ {
		s.extract(b, ch, i, w.rows[(i-from)*cols:][:cols:cols])
	}
	extracted := s.clock()
	s.predict(b, ch, from, to, w)
	predicted := s.clock()
	s.encode(b, ch, from, to, w, scoredAt)
	if s.good == nil {
		ch.good = b.goodRow(from, to, w)
	}
	ch.stats.extract = extracted - start
	ch.stats.predict = predicted - extracted
	ch.stats.encode = s.clock() - predicted
}

// extract fills one row of the matrix and what is known of the event besides.
func (s *scorer) extract(b *batch, ch *chunk, i int, features []float64) {
	r, w := b.records[i], &b.rows[i]
	if b.kept(i) {
		w.reject = keptBack
		clear(features)
		return
	}
	w.entity = r.Key
	eventTime, recordTime := r.Timestamp.UnixMilli(), r.Timestamp.UnixMilli()
	if r.Value == nil {
		w.tombstone = true
		clear(features) // scored with the rest, and thrown away
	} else {
		f, err := b.deployment.Extractor.Extract(r.Value, features, ch.scratch)
		if err != nil {
			w.reject = rejectExtract(err)
			clear(features) // scored with the rest, and thrown away
			return
		}
		if s.entity {
			w.entity = f.Entity
		}
		if f.HasTime {
			eventTime = f.EventTime
		}
	}
	if len(w.entity) == 0 {
		w.entity = nil
	}
	var skewed bool
	w.eventTime, skewed = clampEventTime(eventTime, recordTime, maxSkew)
	if skewed {
		ch.stats.skewed++
	}
}

// predict scores the rows of a chunk. When the model fails on the whole, each row is
// tried alone to find those at fault.
func (s *scorer) predict(b *batch, ch *chunk, from, to int, w *worker) {
	cols, outs := len(b.deployment.Features), s.encoder.outputs
	n := to - from
	if predictSafely(b.deployment.Model, w.rows[:n*cols], w.scores[:n*outs]) == nil {
		return
	}
	for i := range n {
		if b.rows[from+i].reject != nil || b.rows[from+i].tombstone {
			continue
		}
		err := predictSafely(b.deployment.Model, w.rows[i*cols:][:cols], w.scores[i*outs:][:outs])
		if err != nil {
			b.rows[from+i].reject = &reject{stage: "predict", reason: reasonModel, err: err}
			ch.failed = err
		}
	}
}

// predictSafely turns a panic in a model into an error.
func predictSafely(m predictor.Model, in, out []float64) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the model panicked: %v", p)
		}
	}()
	failpoint("model")
	return m.Predict(in, out)
}

// encode writes predictions and cache values into the chunk's arena.
func (s *scorer) encode(b *batch, ch *chunk, from, to int, w *worker, scoredAt []byte) {
	outs := s.encoder.outputs
	runAt := 0
	for i := from; i < to; i++ {
		r, row, out := b.records[i], &b.rows[i], &b.out[i]
		if row.reject != nil {
			continue
		}
		for i >= b.runs[runAt].to {
			runAt++
		}
		src := b.runs[runAt].source
		if len(b.origins) > 0 {
			src = b.origins[i].source
		}
		scores := w.scores[(i-from)*outs:][:outs]
		out.Key, out.Headers, out.Timestamp = row.entity, r.Headers, b.scored
		w.times, w.outcome = s.encoder.times(w.times[:0], row.eventTime, scoredAt), w.outcome[:0]
		if !row.tombstone {
			ch.stats.score, ch.stats.scored = scores[0], true
			w.outcome = s.encoder.outcome(w.outcome, scores)
		}
		start := len(ch.arena)
		ch.arena = s.encoder.prediction(ch.arena, src.id, r.Offset, row.entity, w.outcome, w.times)
		if body := ch.arena[start:len(ch.arena):len(ch.arena)]; row.tombstone {
			out.Headers = append(r.Headers[:len(r.Headers):len(r.Headers)], kgo.RecordHeader{Key: tombstoneHeader, Value: body})
		} else {
			out.Value = body
		}
		if s.caching && row.entity != nil {
			v := newVersion(row.eventTime, r.Offset, src.hash)
			start := len(ch.arena)
			ch.arena = s.encoder.cacheValue(ch.arena, &v, src.id, r.Offset, w.outcome, w.times)
			b.cached[i] = cacheRow{entity: row.entity, version: v, value: ch.arena[start:len(ch.arena):len(ch.arena)],
				expireAt: expiry(row.eventTime, s.ttl)}
		}
	}
}

// goodRow is a copy of the first of some rows that was scored, nil when none was.
func (b *batch) goodRow(from, to int, w *worker) []float64 {
	cols := len(b.deployment.Features)
	for i := from; i < to; i++ {
		if b.rows[i].reject == nil && !b.rows[i].tombstone {
			return slices.Clone(w.rows[(i-from)*cols:][:cols])
		}
	}
	return nil
}

// blame decides whose fault model errors are: when a row that was good before is not good
// now, they are the model's. Until a row has been scored, one of nothing but missing values
// stands in.
func (s *scorer) blame(b *batch) error {
	var failed error
	for i := range b.chunkCount() {
		ch := &b.chunks[i]
		if ch.failed != nil {
			failed = ch.failed
		}
		if s.good == nil {
			s.good = ch.good
		}
	}
	if failed == nil {
		return nil
	}
	probe := s.good
	if probe == nil {
		probe = make([]float64, len(b.deployment.Features))
		for i := range probe {
			probe[i] = math.NaN()
		}
	}
	if predictSafely(b.deployment.Model, probe, make([]float64, s.encoder.outputs)) == nil {
		return nil
	}
	return fmt.Errorf("%w (%s/%s): %w", errModel, b.deployment.Name, b.deployment.Version, failed)
}
