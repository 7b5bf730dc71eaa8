package stream

import (
	"sync"
	"unsafe"

	"github.com/twmb/franz-go/pkg/kgo"
)

// recordPools keep the memory of fetched records from one fetch to the next; a batch
// gives it back when it is released. What they hold idle is bounded: about one fetch.
type recordPools struct {
	bytes   slicePool[byte]
	records slicePool[kgo.Record]
}

func newRecordPools() *recordPools {
	return &recordPools{bytes: slicePool[byte]{room: 8 << 20}, records: slicePool[kgo.Record]{room: 4 << 20}}
}

// GetDecompressBytes is of kgo.PoolDecompressBytes.
func (p *recordPools) GetDecompressBytes(compressed []byte, _ kgo.CompressionCodecType) []byte {
	return p.bytes.get(4 * len(compressed)) // as much as web events in JSON shrink
}

// PutDecompressBytes is of kgo.PoolDecompressBytes.
func (p *recordPools) PutDecompressBytes(b []byte) { p.bytes.put(b) }

// GetRecords is of kgo.PoolRecords.
func (p *recordPools) GetRecords(n int) []kgo.Record { return p.records.get(n) }

// PutRecords is of kgo.PoolRecords.
func (p *recordPools) PutRecords(r []kgo.Record) { p.records.put(r) }

// A slicePool keeps slices for reuse, as many as fit its room. Safe for concurrent
// use. Elements are as their last user left them.
type slicePool[T any] struct {
	mu   sync.Mutex
	room int // bytes it may still take
	free [][]T
}

func sizeOf[T any](s []T) int {
	var t T
	return cap(s) * int(unsafe.Sizeof(t))
}

// get returns a slice of length 0 with room for n, a kept one when any fits.
func (p *slicePool[T]) get(n int) []T {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(p.free) - 1; i >= 0; i-- {
		if s := p.free[i]; cap(s) >= n {
			last := len(p.free) - 1
			p.free[i], p.free[last] = p.free[last], nil
			p.free = p.free[:last]
			p.room += sizeOf(s)
			return s[:0]
		}
	}
	return make([]T, 0, n)
}

func (p *slicePool[T]) put(s []T) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := sizeOf(s); n > 0 && n <= p.room {
		p.room -= n
		p.free = append(p.free, s)
	}
}
