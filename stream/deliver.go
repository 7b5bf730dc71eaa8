package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// framing is room for what a batch of one record holds besides key and value.
const framing = 1024

// deliver hands a scored batch to the topic and to the cache. It returns when every
// record is with the client; the batch completes when both are durable.
func (c *Consumer) deliver(ctx context.Context, b *batch) {
	b.delivered = time.Now()
	b.open.Store(2)
	b.unacked.Store(int32(len(b.records)))
	refused := b.transaction != nil && c.transactional.remembers()
	most := int(c.limits.of(c.cfg.Output.Topic)) - framing
	for i := range b.records {
		row, out := &b.rows[i], &b.out[i]
		keep := deadLetterValue
		if refused {
			if why, ok := c.transactional.refusalOf(b.records[i]); ok {
				row.reject, keep = why.reject, why.keep
			}
		}
		if row.reject == nil && len(out.Key)+len(out.Value) > most {
			row.reject = &reject{stage: "produce", reason: reasonTooLarge,
				err: fmt.Errorf("the prediction has %d bytes, a record at most %d", len(out.Key)+len(out.Value), most)}
		}
		if row.reject != nil {
			*out = c.deadLetter(b, i, keep)
			b.uncache(i)
		} else {
			out.Topic = c.cfg.Output.Topic
		}
	}
	// Once the first record is with the client its acknowledgement may come at any time,
	// so everything else is written before.
	if len(b.cached) > 0 {
		c.toCache <- b
	} else {
		b.open.Add(-1)
	}
	for i := range b.out {
		c.produce(ctx, b, i)
	}
	failpoint("produce")
}

// produce hands a row's record to the client. One without a topic has nowhere to go, and
// is done.
func (c *Consumer) produce(ctx context.Context, b *batch, i int) {
	if r := &b.out[i]; r.Topic != "" {
		c.client.Load().Produce(ctx, r, b.ack)
	} else {
		b.ack(r, nil)
	}
}

func (c *Consumer) deadLetter(b *batch, i, keep int) kgo.Record {
	if c.redrive != nil {
		return c.redrive.deadLetter(b, i, keep)
	}
	r := b.records[i]
	if c.rejects != nil {
		c.rejects.add(r, b.rows[i].reject)
		return kgo.Record{}
	}
	return deadLetter(c.cfg.Output.DeadLetterTopic, c.cfg.Kafka.Group, r, b.rows[i].reject, b.deployment, attemptsBefore(r)+1, keep)
}

// acknowledged is told by the client's goroutine what became of one produced record.
func (c *Consumer) acknowledged(b *batch, r *kgo.Record, err error) {
	if err != nil && c.refused(b, r, err) {
		return // produced again, as a dead letter
	}
	if b.unacked.Add(-1) == 0 {
		failpoint("flush")
		c.metrics.stage("produce", time.Since(b.delivered))
		c.part(b)
	}
}

// refused deals with a record the brokers did not take and reports whether it was
// replaced by a dead letter, whose acknowledgement the row then waits for. Otherwise
// the batch is dead: it is never done, and its events are read again.
func (c *Consumer) refused(b *batch, r *kgo.Record, err error) bool {
	i := b.index(r)
	switch {
	case errors.Is(err, kgo.ErrClientClosed), errors.Is(err, context.Canceled), errors.Is(err, kgo.ErrAborting):
		// The session is over: nothing of this batch is committed, it is read again.
	case errors.Is(err, kerr.MessageTooLarge), errors.Is(err, kerr.RecordListTooLarge), errors.Is(err, kerr.InvalidRecord):
		reason := reasonTooLarge
		if errors.Is(err, kerr.InvalidRecord) {
			reason = reasonRefused
		}
		if b.rows[i].reject == nil {
			why := &reject{stage: "produce", reason: reason, err: fmt.Errorf("topic %s: %w", r.Topic, err)}
			if b.transaction != nil {
				c.transactional.refuse(b.records[i], refusal{why, deadLetterValue})
				break
			}
			b.rows[i].reject = why
			b.out[i] = c.deadLetter(b, i, deadLetterValue)
			c.produce(c.work, b, i)
			return true
		}
		// The dead letter itself: keep the reason, give up the value. A redriven one's value
		// is in the topic already, and nothing must replace it by less.
		if len(r.Value) > 0 && c.redrive == nil {
			if b.transaction != nil {
				c.transactional.refuse(b.records[i], refusal{b.rows[i].reject, 0})
				break
			}
			b.out[i] = c.deadLetter(b, i, 0)
			c.produce(c.work, b, i)
			return true
		}
		c.fail(fmt.Errorf("topic %s refuses the dead letter of %s-%d offset %d even without its value: %w; raise its max.message.bytes",
			r.Topic, b.records[i].Topic, b.records[i].Partition, b.records[i].Offset, err))
	case errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, kerr.UnknownTopicID):
		c.fail(fmt.Errorf("topic %s does not exist (any more): %w; create it and start again", r.Topic, err))
	case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed):
		c.fail(writeRefused(r.Topic, err))
	case b.transaction != nil: // a new session mends it
	default:
		c.fail(fmt.Errorf("writing topic %s: %w", r.Topic, err))
	}
	c.abandoned(b, fmt.Errorf("writing topic %s: %w", r.Topic, err))
	return false
}

func writeRefused(topic string, err error) error {
	return fmt.Errorf("not allowed to write topic %s: %w; grant WRITE (and IDEMPOTENT_WRITE on old brokers) to this user", topic, err)
}

// abandoned notes that some row of a batch will not be durable in this session.
func (c *Consumer) abandoned(b *batch, why error) {
	b.dead.Store(true)
	if b.transaction != nil {
		b.transaction.fail(why)
	}
}

// uncache takes back what the cache was to hold for a row that has no prediction.
func (b *batch) uncache(i int) {
	if i < len(b.cached) {
		b.cached[i] = cacheRow{}
	}
}

// index finds a produced record's row. Only refused records are looked for.
func (b *batch) index(r *kgo.Record) int {
	for i := range b.out {
		if &b.out[i] == r {
			return i
		}
	}
	panic("stream: a record of no batch was acknowledged")
}

// writeCache is the goroutine that writes the batches' cache rows in order.
func (c *Consumer) writeCache() {
	for b := range c.toCache {
		start := time.Now()
		c.cacheBatch(b)
		failpoint("cache")
		c.metrics.stage("cache", time.Since(start))
		c.part(b)
	}
}

// cacheBatch writes a batch's cache rows, for as long as it takes, or as its transaction
// waits for them.
func (c *Consumer) cacheBatch(b *batch) {
	ctx := c.work
	if b.transaction != nil {
		ctx = b.transaction.ctx
	}
	var result cacheResult
	write := func(ctx context.Context) (err error) {
		result, err = c.cache.write(ctx, b.cached)
		return err
	}
	if c.cfg.Cache.OnFailure == "skip" {
		if time.Now().Before(c.skipUntil) {
			c.metrics.cacheSkipped(b.cached)
			return
		}
		err := write(c.work)
		c.health.report("redis", err)
		if err != nil { // not each batch shall wait for a time-out
			c.skipUntil = time.Now().Add(time.Second)
			c.metrics.cacheSkipped(b.cached)
			return
		}
	} else if err := c.retry.Do(ctx, "redis", write); err != nil {
		err = fmt.Errorf("writing the cache: %w", err)
		if ctx.Err() == nil {
			c.fail(err)
		}
		c.abandoned(b, err)
		return
	} else if c.health.isDown("redis") { // says a write that was cut short
		c.retry.Report("redis", nil)
	}
	c.metrics.cacheWrote(result)
}

// part is called by topic and cache when their side of a batch is durable; the later
// one completes it, or tells its transaction.
func (c *Consumer) part(b *batch) {
	switch {
	case b.open.Add(-1) > 0:
	case b.transaction != nil: // which completes it
		b.transaction.settle()
	case b.dead.Load():
		c.window.leave(b)
	default:
		b.done(c.tracker)
		c.complete(b)
	}
}

// complete counts a batch that is delivered and keeps its memory for another.
func (c *Consumer) complete(b *batch) {
	for i := range b.runs {
		run := &b.runs[i]
		run.source.lastAppend.Store(b.records[run.to-1].Timestamp.UnixMilli())
	}
	if !c.projects {
		c.metrics.done(b)
		c.stats.done(b)
	}
	c.window.leave(b)
	b.release()
	c.free.put(b)
}
