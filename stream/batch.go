package stream

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"scry/checkpoint"
	"scry/predictor"
	"scry/predictor/feature"
)

// chunkRows is how many rows one goroutine scores at a time: enough for the trees'
// fast layout, few enough that rows and scores stay in the first cache.
const chunkRows = 128

// A batch is the records of one poll, in partition order, with one slot a record in
// every slice. The loop owns it until deliver; from then on topic and cache hold it
// together, and the later of the two recycles it, or lets its transaction do so.
type batch struct {
	records    []*kgo.Record
	runs       []run // records of one partition, in order
	bytes      int64
	polled     time.Time
	scored     time.Time // the predictions' scored_at and timestamp
	delivered  time.Time // when it was handed to topic and cache
	deployment *predictor.Deployment

	rows    []result
	origins []origin     // what each record was, when dead letters are redriven; else empty
	chunks  []chunk      // memory of the scoring, chunkRows rows each
	out     []kgo.Record // what is produced for each record
	cached  []cacheRow   // what is written to Redis for each record; empty without a cache

	transaction *transaction // that it is delivered in; nil: at least once
	unacked     atomic.Int32 // rows no broker has acknowledged yet
	open        atomic.Int32 // of topic and cache, those not yet durable
	dead        atomic.Bool  // abandoned: some row will never be durable in this session
	ack         func(*kgo.Record, error)
}

// A run is the records of one partition in a batch.
type run struct {
	from, to int // in records
	source   *source
	ticket   checkpoint.Ticket
	next     checkpoint.Position // after its last record
}

// A result is what scoring found out about one record.
type result struct {
	reject    *reject // nil: it has a prediction
	entity    []byte  // aliases the record or its chunk; nil: not cached
	eventTime int64   // Unix ms, as versions count it
	tombstone bool
}

// A chunk is the memory that the results of some rows live in until delivered.
type chunk struct {
	scratch *feature.Scratch
	arena   []byte // encoded predictions and cache values
	stats   chunkStats
	failed  error     // the model's, on one of its rows
	good    []float64 // a row that the model scored, looked for while the scorer has none
}

// chunkStats is what one chunk's scoring adds to the metrics.
type chunkStats struct {
	extract, predict, encode time.Duration
	skewed                   int     // event times replaced by the record's timestamp
	score                    float64 // of one of its rows, when any was scored
	scored                   bool
}

// reset makes room for n records of a deployment, keeping the memory.
func (b *batch) reset(n int, d *predictor.Deployment, caching bool) {
	b.deployment = d
	b.rows = grow(b.rows, n)
	b.out = grow(b.out, n)
	b.cached = b.cached[:0]
	if caching {
		b.cached = grow(b.cached, n)
	}
	chunks := (n + chunkRows - 1) / chunkRows
	for len(b.chunks) < chunks {
		b.chunks = append(b.chunks, chunk{scratch: feature.NewScratch(len(d.Features))})
	}
	for i := range chunks {
		c := &b.chunks[i]
		if len(c.scratch.Missing) != len(d.Features) {
			c.scratch = feature.NewScratch(len(d.Features))
		}
		c.scratch.Reset()
		c.arena = c.arena[:0]
		c.stats = chunkStats{}
		c.failed, c.good = nil, nil
	}
}

// done tells the tracker that the batch is durable.
func (b *batch) done(t *checkpoint.Tracker) {
	for i := range b.runs {
		t.Done(b.runs[i].ticket)
	}
}

func (b *batch) chunkCount() int { return (len(b.records) + chunkRows - 1) / chunkRows }

// release gives the records' memory back to the client and forgets what pointed to it.
func (b *batch) release() {
	for _, r := range b.records {
		r.Recycle()
	}
	clear(b.records)
	clear(b.rows)
	clear(b.out)
	clear(b.cached)
	clear(b.origins)
	b.records, b.runs, b.cached, b.origins, b.bytes = b.records[:0], b.runs[:0], b.cached[:0], b.origins[:0], 0
	b.transaction = nil
}

// grow returns s with length n and zeroed elements, keeping its memory where it suffices.
func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	s = s[:n]
	clear(s)
	return s
}

// A freeList keeps the memory of completed batches for the next ones.
type freeList struct {
	mu sync.Mutex
	b  []*batch
}

const freeBatches = 16

func (f *freeList) get() *batch {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := len(f.b) - 1
	if n < 0 {
		return nil
	}
	b := f.b[n]
	f.b = f.b[:n]
	return b
}

func (f *freeList) put(b *batch) {
	f.mu.Lock()
	if len(f.b) < freeBatches {
		f.b = append(f.b, b)
	}
	f.mu.Unlock()
}
