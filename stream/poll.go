package stream

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"scry/checkpoint"
)

// pollRecords bounds one batch, so that scoring the next overlaps with the brokers'
// acknowledgement of the last.
const pollRecords = 2048

// poll waits for records and makes a batch of them, with a ticket for each partition.
// nil: there were none; unless told to wait it takes what is there. From a poll on no
// rebalance can happen until the client allows it; after that the tickets know to which
// assignment each record belongs.
func (c *Consumer) poll(ctx context.Context, wait bool) *batch {
	start := time.Now()
	var until context.Context // nil: the client returns what it has
	if wait {
		until = ctx
	}
	fetches := c.client.Load().PollRecords(until, pollRecords)
	c.metrics.stage("fetch", time.Since(start))
	fetches.EachError(func(topic string, partition int32, err error) { c.fetchError(ctx, topic, partition, err) })
	if fetches.Empty() {
		return nil
	}
	b := c.free.get()
	if b == nil {
		b = &batch{}
		b.ack = func(r *kgo.Record, err error) { c.acknowledged(b, r, err) }
	}
	fetches.EachPartition(func(p kgo.FetchTopicPartition) { c.take(b, p) })
	if len(b.records) == 0 { // control records only, or partitions no longer ours
		c.free.put(b)
		return nil
	}
	b.polled = time.Now()
	b.reset(len(b.records), c.live.Load(), c.scorer.caching)
	c.window.enter(b)
	failpoint("poll")
	return b
}

// take adds a partition's records to the batch. Control records and compacted holes
// have no row, but the position moves past them.
func (c *Consumer) take(b *batch, p kgo.FetchTopicPartition) {
	if c.ending != nil {
		p.Records = c.cut(p)
	}
	if len(p.Records) == 0 {
		return
	}
	last := p.Records[len(p.Records)-1]
	src := c.sources.get(p.Topic, p.Partition)
	if src == nil {
		recycle(p.Records)
		return
	}
	for _, r := range p.Records {
		src.eventTime = max(src.eventTime, r.Timestamp.UnixMilli())
	}
	next := checkpoint.Position{Next: last.Offset + 1, LeaderEpoch: last.LeaderEpoch, EventTime: src.eventTime}
	ticket, ok := c.tracker.Begin(src.partition, next)
	if !ok {
		recycle(p.Records)
		return
	}
	src.highWatermark.Store(p.HighWatermark)
	src.position = next.Next
	from := len(b.records)
	for _, r := range p.Records {
		if r.Attrs.IsControl() {
			r.Recycle()
			continue
		}
		if c.redrive != nil && !c.redrive.restore(b, r) {
			r.Recycle()
			continue
		}
		b.records = append(b.records, r)
		b.bytes += size(r)
	}
	if len(b.records) == from {
		c.tracker.Done(ticket)
		return
	}
	b.runs = append(b.runs, run{from: from, to: len(b.records), source: src, ticket: ticket, next: next})
}

// perEvent is what the consumer keeps for an event besides its bytes while it is in
// flight: two records, a result, the encoded prediction and cache value.
const perEvent = 1536

func size(r *kgo.Record) int64 {
	n := perEvent + len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return int64(n)
}

func recycle(rs []*kgo.Record) {
	for _, r := range rs {
		r.Recycle()
	}
}
