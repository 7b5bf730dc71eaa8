// Package checkpoint knows what is safe to commit and where to resume. It is pure:
// it knows no Kafka client and no model, and blocks on nothing but its own lock.
//
// A Tracker says what is safe: the contiguous prefix, by poll order, of the batches
// whose work is durable. The codec keeps a Position's story in the commit's
// metadata. Resume decides what a stored position means against a log's bounds.
package checkpoint

// Partition names a source partition of one incarnation of a topic.
type Partition struct {
	Topic   string
	TopicID [16]byte // zero when the broker tells none
	ID      int32
}

// Position is where to resume: Kafka's convention, the next offset to read.
type Position struct {
	Next        int64
	LeaderEpoch int32
	EventTime   int64 // highest seen, Unix ms; 0 when unknown
}
