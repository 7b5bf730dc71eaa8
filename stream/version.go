package stream

import (
	"hash/fnv"
	"time"
)

// Version orders a key's predictions: 32 lower-case hex digits that compare as
// bytes in the order of the events. 12 digits of event time in Unix ms, 16 of the
// source offset, 4 of sourceHash. Two events share a version only when time,
// offset and hash all agree, which takes two topics; the guard accepts equals, so
// the last one written stays.
type Version [32]byte

// maxEventTime is the latest event time, 9999-12-31T23:59:59.999Z: no later one can be
// written in RFC 3339, and it fits 12 hex digits.
const maxEventTime = 253_402_300_799_999

// newVersion makes the version of the event at offset of the partition that source
// is the sourceHash of. Times outside 0 to maxEventTime count as the nearest.
func newVersion(eventTimeMs, offset int64, source uint16) Version {
	const digits = "0123456789abcdef"
	eventTimeMs = min(max(eventTimeMs, 0), maxEventTime)
	high := uint64(eventTimeMs)<<16 | uint64(offset)>>48
	low := uint64(offset)<<16 | uint64(source)
	var v Version
	for i := range 16 { // encoding/hex takes half as long again
		v[15-i], v[31-i] = digits[high&15], digits[low&15]
		high, low = high>>4, low>>4
	}
	return v
}

// less reports whether v is older than w.
func (v *Version) less(w *Version) bool { return string(v[:]) < string(w[:]) }

// sourceHash tells partitions apart in a Version: FNV-1a (32 bits) of the topic,
// its halves folded by exclusive or, plus the partition modulo 65,536. Partitions
// of one topic thus never collide. It must not change: stored versions hold it.
func sourceHash(topic string, partition int32) uint16 {
	h := fnv.New32a()
	h.Write([]byte(topic))
	sum := h.Sum32()
	return (uint16(sum>>16) ^ uint16(sum)) + uint16(partition)
}

// clampEventTime brings an event's time into what a Version can hold and the cache
// can live with: a time further than maxSkew ahead of its record's own timestamp
// would shut out every later event of the key, so the record's timestamp stands in
// for it, and replaced says so. Both are in Unix ms; a negative recordMs means the
// record has none, and then only the bounds 0 and maxEventTime apply.
func clampEventTime(eventMs, recordMs int64, maxSkew time.Duration) (ms int64, replaced bool) {
	if recordMs >= 0 && eventMs > recordMs && eventMs-recordMs > maxSkew.Milliseconds() {
		eventMs, replaced = recordMs, true
	}
	return min(max(eventMs, 0), maxEventTime), replaced
}

// expiry is when a prediction stops being worth keeping, in Unix ms: ttl after the
// event. 0, for a ttl of 0, means never. It grows with the event's time, which is
// why an expired prediction cannot let an older one in.
func expiry(eventMs int64, ttl time.Duration) int64 {
	if ttl <= 0 {
		return 0
	}
	return eventMs + max(ttl.Milliseconds(), 1)
}
