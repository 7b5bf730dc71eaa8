package stream

import (
	"strconv"
	"sync/atomic"

	"scry/checkpoint"
)

// A source is what is the same for all records of one assigned partition.
type source struct {
	partition checkpoint.Partition
	id        []byte        // `"id":"web.events-3-`: a prediction's id up to the offset
	hash      uint16        // a version's last digits
	position  int64         // the next offset to read; the loop's
	revoked   chan struct{} // closed when the partition is no longer ours

	highWatermark atomic.Int64 // as of the last fetch
	lastAppend    atomic.Int64 // timestamp of the last record done, Unix ms; 0: none yet
}

func newSource(p checkpoint.Partition) *source {
	id := appendString([]byte(`"id":`), []byte(p.Topic))
	id = append(id[:len(id)-1], '-')
	id = append(strconv.AppendInt(id, int64(p.ID), 10), '-')
	return &source{partition: p, id: id, hash: sourceHash(p.Topic, p.ID), revoked: make(chan struct{})}
}
