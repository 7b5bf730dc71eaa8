package stream

import (
	"sync"
	"time"
)

// Stats are the consumer's totals since its start. Safe for concurrent use.
type Stats struct {
	mu       sync.Mutex
	totals   Totals
	unchosen int64        // dead letters that a redrive did not choose
	recent   [512]float64 // latencies of the last sampled events, seconds
	n        int
	sample   []byte
}

// Totals counts what is durable.
type Totals struct {
	Predicted   uint64
	Tombstones  uint64
	DeadLetters uint64
}

// done takes in a completed batch.
func (s *Stats) done(b *batch) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range b.rows {
		switch w := &b.rows[i]; {
		case b.kept(i):
			s.unchosen++
		case w.reject != nil:
			s.totals.DeadLetters++
		case w.tombstone:
			s.totals.Tombstones++
		default:
			s.totals.Predicted++
		}
	}
	last := len(b.records) - 1
	s.recent[s.n%len(s.recent)] = now.Sub(b.records[last].Timestamp).Seconds()
	s.n++
	if b.rows[last].reject == nil {
		s.sample = append(s.sample[:0], b.out[last].Value...)
	}
}

// Totals returns the counts so far.
func (s *Stats) Totals() Totals {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.totals
}

func (s *Stats) notChosen() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unchosen
}

// Sample returns a copy of a recent prediction, nil before the first.
func (s *Stats) Sample() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]byte(nil), s.sample...)
}

// Latencies returns some recent times from append to acknowledged, in seconds, in no
// order: one a batch.
func (s *Stats) Latencies() []float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]float64(nil), s.recent[:min(s.n, len(s.recent))]...)
}
