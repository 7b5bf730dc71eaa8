// Package stream is an event's path from the source topic to its prediction:
//
//	poll -> score (extract, predict, encode) -> deliver (topic and cache, side by side) -> done -> commit
//
// [Consumer.Run] is the loop. The unit of work is a batch: the records of one poll.
// A batch takes the live model once, scores its rows (a large batch on all cores),
// and hands itself to the output topic and to the cache; when both are durable it is
// done, and the tracker lets the commit move past it.
//
// # What is promised
//
// At least once: an offset is committed only when everything before it is durable,
// as a prediction or as a dead letter. A crash, a rebalance past its deadline or an
// unreachable dependency makes events be read again, never skipped; the id of a
// prediction (topic, partition, offset) lets a reader drop the repeat. The cache
// never goes backwards, whatever is repeated or overtaken: see guard.go.
//
// # Who runs what
//
// One goroutine runs the loop and owns a batch from poll to delivery. The client's
// own goroutine reports what the brokers acknowledged, one goroutine writes the
// cache in batch order, and one commits on a timer. Whichever of topic and cache
// finishes last completes the batch. The group's callbacks run on the client's
// goroutine while no poll is being taken apart (see assign.go).
package stream
