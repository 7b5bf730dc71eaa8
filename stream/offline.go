package stream

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"scry/checkpoint"
	"scry/predictor"
)

// A Scorer scores events that come from files, on the path that Run's take: the same
// extraction, model, encoding and blame. It works on the goroutine that calls it and
// serves one at a time.
type Scorer struct {
	scorer     *scorer
	deployment *predictor.Deployment
	at         time.Time
}

// NewScorer makes a Scorer with d. Cache values are made too when c has a cache. at
// stands in for the timestamp that records of a topic have: it is the time of events
// that tell none, and none is believed to be more than an hour later.
func NewScorer(c Config, d *predictor.Deployment, at time.Time) *Scorer {
	c.Cache.From = "input" // there is no output topic to copy from
	s := newScorer(c)
	s.workers = s.workers[:1]
	s.current, s.encoder = d, newEncoder(d)
	return &Scorer{s, d, at}
}

// Events is a batch of events of one file, with the memory that scoring them takes. The
// zero value is empty and ready to use.
type Events struct {
	batch   batch
	records []kgo.Record
	scores  []float64
	outputs int
}

// Reset empties e for events of another batch, keeping its memory. Name is the file's:
// in ids it is the topic, of partition 0.
func (e *Events) Reset(name string) {
	e.records = e.records[:0]
	if len(e.batch.runs) == 0 || e.batch.runs[0].source.partition.Topic != name {
		e.batch.runs = []run{{source: newSource(checkpoint.Partition{Topic: name})}}
	}
}

// Add appends an event, which must stay as it is until e is reset. Position is its
// offset in ids and versions, such as its line.
func (e *Events) Add(event []byte, position int64) {
	if len(e.records) == cap(e.records) {
		e.records = append(e.records, kgo.Record{})
	} else {
		e.records = e.records[:len(e.records)+1] // one of an earlier batch, which nothing else was written to
	}
	r := &e.records[len(e.records)-1]
	r.Value, r.Offset = event, position
}

// Len is the number of events.
func (e *Events) Len() int { return len(e.records) }

// Score scores all of e. An error is the model's, not an event's.
func (s *Scorer) Score(e *Events) error {
	b := &e.batch
	b.records = grow(b.records, len(e.records))
	for i := range e.records {
		e.records[i].Timestamp = s.at
		b.records[i] = &e.records[i]
	}
	b.runs[0].to = len(e.records)
	b.scored = time.Now()
	b.reset(len(e.records), s.deployment, s.scorer.caching)
	e.outputs = s.scorer.encoder.outputs
	e.scores = grow(e.scores, len(e.records)*e.outputs)
	return s.scorer.keep(b, e.scores)
}

// keep scores b on this goroutine and copies what the model gave each row into scores.
func (s *scorer) keep(b *batch, scores []float64) error {
	w, scoredAt := &s.workers[0], formatTime(b.scored)
	for c := range b.chunkCount() {
		s.chunk(b, c, w, scoredAt)
		copy(scores[c*chunkRows*s.encoder.outputs:], w.scores)
	}
	return s.blame(b)
}

// Prediction returns the output topic's value for event i; nil when it was rejected.
func (e *Events) Prediction(i int) []byte { return e.batch.out[i].Value }

// A Scored is what became of one event. It aliases its Events.
type Scored struct {
	Event    []byte
	Position int64

	// Of an event that was rejected: where, which of a bounded set of reasons, and why.
	Stage, Reason string
	Err           error // nil: there is a prediction

	Prediction []byte // the output topic's value
	Entity     []byte // nil: none
	Scores     []float64
	Score      float64 // the prediction's
	Class      int     // and the position of its label
	EventTime  time.Time
	ScoredAt   time.Time
}

// Scored returns what became of event i.
func (e *Events) Scored(i int) Scored {
	b, row := &e.batch, &e.batch.rows[i]
	s := Scored{Event: e.records[i].Value, Position: e.records[i].Offset}
	if j := row.reject; j != nil {
		s.Stage, s.Reason, s.Err = j.stage, j.reason, j.err
		return s
	}
	s.Prediction, s.Entity = b.out[i].Value, row.entity
	s.Scores = e.scores[i*e.outputs:][:e.outputs]
	s.Score, s.Class = decide(s.Scores, b.deployment.Threshold)
	s.EventTime, s.ScoredAt = time.UnixMilli(row.eventTime).UTC(), b.scored.UTC()
	return s
}

// A CacheWriter writes the predictions of scored events to the cache, under the guard
// that Run's pass. For one goroutine.
type CacheWriter struct {
	cache *cache
	retry Retry
}

// OpenCacheWriter makes a CacheWriter for the predictions of d. It connects at the first
// write. Report is told when Redis has been failing for a while, and when it is back.
func OpenCacheWriter(c CacheConfig, d *predictor.Deployment, report func(dependency string, err error)) (*CacheWriter, error) {
	if c.URL == "" {
		return nil, ErrNoCache
	}
	cache, err := newCache(c, d.Name, nil)
	if err != nil {
		return nil, err
	}
	return &CacheWriter{cache, Retry{Loud: 2 * time.Second, Report: report}}, nil
}

// CacheCounts says what became of predictions on their way to the cache, by key: of a
// batch's predictions for one key only the newest is offered.
type CacheCounts struct {
	Written int
	Stale   int // a newer one was there
	Expired int // past its time to live already
}

// Write writes e's predictions, for as long as it takes or until ctx ends.
func (w *CacheWriter) Write(ctx context.Context, e *Events) (CacheCounts, error) {
	var r cacheResult
	err := w.retry.Do(ctx, "redis", func(ctx context.Context) (err error) {
		r, err = w.cache.write(ctx, e.batch.cached)
		return err
	})
	return CacheCounts{r.written, r.stale, r.expired}, err
}

// Close ends the connections.
func (w *CacheWriter) Close() error { return w.cache.close() }
