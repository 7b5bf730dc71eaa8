package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"scry/checkpoint"
	"scry/predictor"
)

// pollRecords bounds one batch, so that scoring the next overlaps with the brokers'
// acknowledgement of the last.
const pollRecords = 2048

// A Consumer scores the events of its input topics until it is stopped. Make one with
// New, run it once.
type Consumer struct {
	cfg     Config
	log     *slog.Logger
	live    atomic.Pointer[predictor.Deployment]
	connect []kgo.Opt   // how to reach the brokers
	client  *kgo.Client // from joined on
	joined  chan struct{}
	cache   *cache // nil: none
	retry   Retry
	tracker *checkpoint.Tracker
	sources sources
	window  *window
	free    freeList
	metrics *metrics
	health  *Health
	stats   Stats
	born    atomic.Int64 // when the group was born, Unix ms

	committing sync.Mutex // one commit at a time: a slower, older one must not overtake

	scorer *scorer
	brake  brake

	toCache   chan *batch
	skipUntil time.Time // writeCache's: with on_failure: skip, when Redis is tried again
	// work outlives a stop by the drain deadline; what is in flight runs on it.
	work       context.Context
	cancelWork context.CancelFunc
	// stopping ends the loop: cancelled from outside, or by fail with its cause.
	cancelLoop context.CancelCauseFunc
}

// Env is what a Consumer is given by whoever runs it. The zero value serves.
type Env struct {
	Log        *slog.Logger          // nil: nothing is logged
	Registerer prometheus.Registerer // nil: metrics are kept and not registered
	// Dial connects to brokers and Redis; nil: the network.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// New makes a Consumer of a valid Config. It connects to nothing yet.
func New(cfg Config, d *predictor.Deployment, env Env) (*Consumer, error) {
	if env.Log == nil {
		env.Log = slog.New(slog.DiscardHandler)
	}
	c := &Consumer{
		cfg:     cfg,
		log:     env.Log,
		joined:  make(chan struct{}),
		tracker: checkpoint.NewTracker(),
		window:  newWindow(int64(cfg.Delivery.MaxInFlight)),
		scorer:  newScorer(cfg),
		brake:   brake{share: cfg.Output.HoldWhenRejected},
	}
	c.health = newHealth(env.Log, c.window, cfg.Cache)
	c.live.Store(d)
	c.metrics = newMetrics(env.Registerer, c, d)
	c.retry = Retry{Min: 50 * time.Millisecond, Max: 5 * time.Second, Loud: time.Second,
		Report: c.health.report, Count: c.metrics.retried}
	if cfg.Cache.URL != "" {
		var err error
		if c.cache, err = newCache(cfg.Cache, d.Name, env.Dial); err != nil {
			return nil, fmt.Errorf("cache: %w", err)
		}
	}
	var err error
	if c.connect, err = cfg.Kafka.clientOpts(env.Dial); err != nil {
		return nil, err
	}
	// How fast a moved leader or a new topic is noticed.
	c.connect = append(c.connect, kgo.MetadataMinAge(100*time.Millisecond))
	return c, nil
}

// Health tells how the consumer is.
func (c *Consumer) Health() *Health { return c.health }

// Stats returns the consumer's totals.
func (c *Consumer) Stats() *Stats { return &c.stats }

// Run consumes until ctx ends, then drains: work in flight has drain_timeout to become
// durable, what is durable is committed, and the group is left. It returns nil after
// such a stop, and otherwise why it cannot go on.
func (c *Consumer) Run(ctx context.Context) error {
	c.work, c.cancelWork = context.WithCancel(context.WithoutCancel(ctx))
	defer c.cancelWork()
	loop, cancel := context.WithCancelCause(ctx)
	c.cancelLoop = cancel
	defer cancel(nil)

	if err := c.await(loop); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	c.toCache = make(chan *batch, maxBatches)
	if err := c.join(); err != nil {
		return err
	}
	var wg sync.WaitGroup
	wg.Go(c.writeCache)
	commits, stopCommits := context.WithCancel(c.work)
	wg.Go(func() { c.commitLoop(commits) })

	c.loop(loop)
	c.health.stopping()
	c.drain()
	stopCommits()
	c.close()
	wg.Wait()
	if cause := context.Cause(loop); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// loop polls, scores and delivers until ctx ends.
func (c *Consumer) loop(ctx context.Context) {
	for {
		if err := c.window.wait(ctx); err != nil {
			return
		}
		b := c.poll(ctx)
		if b == nil {
			if ctx.Err() != nil {
				return
			}
			continue
		}
		if err := c.scorer.score(b); err != nil {
			c.hold(ctx, b, err)
			continue
		}
		c.metrics.scored(b)
		if err := c.brake.observe(b.rows); err != nil {
			c.hold(ctx, b, err)
			continue
		}
		c.deliver(c.work, b)
	}
}

// poll waits for records and makes a batch of them, with a ticket for each partition.
// nil: there were none. While the fetches are taken apart no rebalance can happen;
// after that the tickets know to which assignment each record belongs.
func (c *Consumer) poll(ctx context.Context) *batch {
	start := time.Now()
	fetches := c.client.PollRecords(ctx, pollRecords)
	defer c.client.AllowRebalance()
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
		for i := range b.runs {
			c.tracker.Done(b.runs[i].ticket)
		}
		b.release()
		c.free.put(b)
		return nil
	}
	b.polled = time.Now()
	b.reset(len(b.records), c.live.Load(), c.cache != nil)
	c.window.enter(b)
	return b
}

// take adds a partition's records to the batch. Control records and compacted holes
// have no row, but the position moves past them.
func (c *Consumer) take(b *batch, p kgo.FetchTopicPartition) {
	if len(p.Records) == 0 {
		return
	}
	src := c.sources.get(p.Topic, p.Partition)
	last := p.Records[len(p.Records)-1]
	next := checkpoint.Position{Next: last.Offset + 1, LeaderEpoch: last.LeaderEpoch}
	from := len(b.records)
	if src == nil {
		recycle(p.Records)
		return
	}
	src.highWatermark.Store(p.HighWatermark)
	src.position = next.Next
	for _, r := range p.Records {
		next.EventTime = max(next.EventTime, r.Timestamp.UnixMilli())
		if r.Attrs.IsControl() {
			r.Recycle()
			continue
		}
		b.records = append(b.records, r)
		b.bytes += size(r)
	}
	ticket, ok := c.tracker.Begin(src.partition, next)
	if !ok {
		recycle(b.records[from:])
		b.records = b.records[:from]
		return
	}
	if len(b.records) == from {
		c.tracker.Done(ticket)
		return
	}
	b.runs = append(b.runs, run{from: from, to: len(b.records), source: src, ticket: ticket, next: next})
}

// hold keeps a batch that must not be delivered: nothing is committed, the consumer is
// not ready and says why, and stays in the group until it is stopped. If all of the
// batch's partitions go to other members, it is dropped and the loop goes on.
func (c *Consumer) hold(ctx context.Context, b *batch, why error) {
	c.health.hold(why)
	c.metrics.held.Set(1)
	for i := range b.runs {
		select {
		case <-ctx.Done():
		case <-b.runs[i].source.revoked:
		}
	}
	c.health.hold(nil)
	c.metrics.held.Set(0)
	b.dead.Store(true)
	c.window.leave(b)
}

// fail stops the consumer with an error nothing will mend.
func (c *Consumer) fail(err error) { c.cancelLoop(err) }

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
