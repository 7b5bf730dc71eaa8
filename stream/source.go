package stream

import (
	"strconv"
	"sync"
	"sync/atomic"

	"scry/checkpoint"
)

// A source is what is the same for all records of one assigned partition.
type source struct {
	partition checkpoint.Partition
	id        []byte        // `"id":"web.events-3-`: a prediction's id up to the offset
	hash      uint16        // a version's last digits
	position  int64         // the next offset to read; the loop's
	eventTime int64         // highest record timestamp before it; the loop's
	revoked   chan struct{} // closed when the partition is no longer ours

	highWatermark atomic.Int64 // as last heard of
	lastAppend    atomic.Int64 // timestamp of the last record done, Unix ms; 0: none yet
}

func newSource(p checkpoint.Partition) *source {
	id := appendString([]byte(`"id":`), []byte(p.Topic))
	id = append(id[:len(id)-1], '-')
	id = append(strconv.AppendInt(id, int64(p.ID), 10), '-')
	return &source{partition: p, id: id, hash: sourceHash(p.Topic, p.ID), revoked: make(chan struct{})}
}

// endsAt raises the high watermark. A fetch may have heard of a later one meanwhile.
func (s *source) endsAt(offset int64) {
	for {
		known := s.highWatermark.Load()
		if offset <= known || s.highWatermark.CompareAndSwap(known, offset) {
			return
		}
	}
}

type topicPartition struct {
	topic     string
	partition int32
}

// sources holds what is known of the assigned partitions.
type sources struct {
	mu sync.Mutex
	m  map[topicPartition]*source
}

func (s *sources) get(topic string, partition int32) *source {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.m[topicPartition{topic, partition}]
}

func (s *sources) add(src *source) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m == nil {
		s.m = make(map[topicPartition]*source)
	}
	s.m[topicPartition{src.partition.Topic, src.partition.ID}] = src
}

func (s *sources) remove(topic string, partition int32) *source {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := topicPartition{topic, partition}
	src := s.m[k]
	delete(s.m, k)
	if src != nil {
		close(src.revoked)
	}
	return src
}

func (s *sources) removeAll() {
	for _, src := range s.all() {
		s.remove(src.partition.Topic, src.partition.ID)
	}
}

func (s *sources) all() []*source {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*source, 0, len(s.m))
	for _, src := range s.m {
		all = append(all, src)
	}
	return all
}
