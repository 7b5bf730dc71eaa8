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
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"scry/checkpoint"
	"scry/predictor"
)

// A Consumer scores the events of its input topics until it is stopped. Make one with
// New, run it once.
type Consumer struct {
	cfg     Config
	log     *slog.Logger
	live    atomic.Pointer[predictor.Deployment]
	connect []kgo.Opt                  // how to reach the brokers
	client  atomic.Pointer[kgo.Client] // the session's
	cache   *cache                     // nil: none
	retry   Retry
	tracker *checkpoint.Tracker
	sources sources
	window  *window
	free    freeList
	metrics *metrics
	health  *Health
	stats   Stats
	born    atomic.Int64 // when the group was born, Unix ms
	limits  limits       // the loop's; each session's client has its own

	committing    sync.Mutex // one commit at a time: a slower, older one must not overtake
	transactional transactional

	scorer  *scorer
	brake   brake
	redrive *redrive // nil: the records are events, not dead letters
	ending  *ending  // nil: it goes on until it is stopped
	rejects *rejects // takes in what is rejected; nil: it becomes a dead letter

	projector *Consumer // fills the cache from the output topic; nil: this one does
	projects  bool      // this is one: the records are predictions

	toCache   chan *batch
	skipUntil time.Time // writeCache's: with on_failure: skip, when Redis is tried again
	// work outlives a stop by the drain deadline; what is in flight runs on it.
	work       context.Context
	cancelWork context.CancelFunc
	// cancelLoop ends the loop with a cause: fail calls it.
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
		cfg:           cfg,
		log:           env.Log,
		tracker:       checkpoint.NewTracker(),
		window:        newWindow(int64(cfg.Delivery.MaxInFlight)),
		scorer:        newScorer(cfg),
		transactional: newTransactional(cfg.Kafka),
		brake:         brake{share: cfg.Output.HoldWhenRejected},
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
	// How fast a moved leader or a new topic is noticed, and an added partition.
	c.connect = append(c.connect, kgo.MetadataMinAge(100*time.Millisecond), kgo.MetadataMaxAge(30*time.Second))
	if cfg.Cache.projected() {
		if c.projector, err = newProjector(c, env.Dial); err != nil {
			return nil, fmt.Errorf("cache: %w", err)
		}
	}
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

	c.limitWork(loop)
	c.toCache = make(chan *batch, maxBatches)
	var wg sync.WaitGroup
	wg.Go(c.writeCache)
	switch {
	case c.projector != nil:
		wg.Go(func() { c.project(loop) })
	case c.cache != nil && c.ending == nil: // else the running consumer's task
		wg.Go(func() { c.watchRedis(c.work) })
	}
	err := c.sessions(loop)
	cancel(err) // of the projector
	c.cancelWork()
	close(c.toCache)
	if c.cache != nil {
		c.cache.close()
	}
	wg.Wait()
	if cause := context.Cause(loop); cause != nil { // stopped, or failed
		err = cause
	}
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// batches polls, scores and delivers until ctx ends, or the session must.
func (s *session) batches(ctx context.Context) error {
	c := s.consumer
	s.identify(ctx)
	for {
		if err := c.window.wait(ctx); err != nil {
			return nil
		}
		b := c.poll(ctx, true)
		err := s.replaced()
		s.client.AllowRebalance()
		if err != nil {
			if b != nil {
				c.window.leave(b)
			}
			return err
		}
		if b == nil {
			if ctx.Err() != nil {
				return nil
			}
			continue
		}
		if c.projects {
			c.copy(b)
			continue
		}
		if err := c.score(b); err != nil {
			c.hold(ctx, b, err)
			continue
		}
		c.deliver(c.work, b)
	}
}

// identify gets the client its producer id before it has anything to write. Asked for with
// the first records, the client fails those when a broker closes the connection at once, as
// one does that comes up behind a proxy, and writes the ones behind them.
func (s *session) identify(ctx context.Context) {
	c := s.consumer
	if c.projects {
		return
	}
	_ = c.retry.Do(ctx, "kafka", func(ctx context.Context) error { // else the loop ends, too
		_, _, err := s.client.ProducerID(ctx)
		if errors.As(err, new(*kerr.Error)) { // what brokers refuse is told with the first records
			return nil
		}
		return err
	})
}

// score scores a batch. An error says why it must not be delivered.
func (c *Consumer) score(b *batch) error {
	if err := c.scorer.score(b); err != nil {
		return err
	}
	c.metrics.scored(b)
	return c.brake.observe(b.rows)
}

// hold keeps a batch that must not be delivered: nothing is committed, the consumer is
// not ready and says why, and stays in the group until it is stopped. If all of the
// batch's partitions go to other members, it is dropped and the loop goes on.
func (c *Consumer) hold(ctx context.Context, b *batch, why error) {
	if c.ending != nil { // somebody waits for it
		c.fail(why)
	}
	c.health.hold(why)
	c.window.held()
	c.metrics.held.Set(1)
	for i := range b.runs {
		select {
		case <-ctx.Done():
		case <-b.runs[i].source.revoked:
		}
	}
	c.health.hold(nil)
	c.metrics.held.Set(0)
	c.window.leave(b)
}

// fail stops the consumer with an error nothing will mend.
func (c *Consumer) fail(err error) { c.cancelLoop(err) }
