package stream

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"
)

// projected reports whether the cache is filled from the output topic.
func (c CacheConfig) projected() bool { return c.URL != "" && c.From == "output" }

// besideProjector is for a Consumer beside the pipeline's own: where that has a projector,
// what is written to the output topic reaches the cache from there.
func (c CacheConfig) besideProjector() CacheConfig {
	if c.projected() {
		c.URL = ""
	}
	return c
}

func projectorGroup(c Config) string { return c.Kafka.Group + ".cache" }

// A projector copies the predictions of the output topic to the cache once they are
// committed there, so that Redis never shows one that no reader of the topic can see. It
// is a Consumer whose input is the output topic, in a group of its own: what it does with a
// batch instead of scoring and producing is copy, and all the rest, from the window to the
// last commit, is the ordinary path. At least once: offsets are committed after Redis took
// the writes, and the guard makes repeats harmless.
//
// It runs beside the Consumer it belongs to, which neither waits for it nor writes to the
// cache. When it cannot go on, that one stops.
func newProjector(c *Consumer, dial func(ctx context.Context, network, address string) (net.Conn, error)) (*Consumer, error) {
	p, err := New(projectorConfig(c.cfg), c.live.Load(), Env{Log: c.log.With("group", projectorGroup(c.cfg)), Dial: dial})
	if err != nil {
		return nil, err
	}
	p.projects = true
	// The brokers are the same: of their outages the Consumer tells.
	p.health.log = slog.New(slog.DiscardHandler)
	c.health.beside = p.health
	p.retry.Count = c.metrics.retried
	p.retry.Report = func(dependency string, err error) {
		p.health.report(dependency, err)
		c.health.report(dependency, err)
	}
	ours, its := c.metrics, p.metrics
	its.cacheWrites, its.cachePassed, its.lost = ours.cacheWrites, ours.cachePassed, ours.cachePassed["lost"]
	its.cacheLosses, its.commitErrors, its.stages["cache"] = ours.cacheLosses, ours.commitErrors, ours.stages["cache"]
	return p, nil
}

// projectorConfig is the pipeline's Config with its output as input. Where the group has no
// offsets, it starts with the oldest prediction that has not expired. What retention took
// is lost to the cache either way: stopping would not bring it back.
func projectorConfig(c Config) Config {
	c.Kafka.Group = projectorGroup(c)
	c.Input = InputConfig{Topics: []string{c.Output.Topic}, Start: "earliest", OnDataLoss: "earliest"}
	if since := oldestAlive(c.Cache.TTL); !since.IsZero() {
		c.Input.Start = since.UTC().Format(time.RFC3339)
	}
	c.Output.Topic, c.Output.DeadLetterTopic = "", "" // it produces nothing
	c.Cache.From = "input"
	c.Delivery.Guarantee = "at_least_once"
	c.Delivery.DrainTimeout = min(c.Delivery.DrainTimeout, 4*time.Second) // what Redis has not taken, the next copies
	return c
}

// project runs the projector until ctx ends, and fails with it.
func (c *Consumer) project(ctx context.Context) {
	if err := c.projector.Run(ctx); err != nil {
		c.fail(fmt.Errorf("cache projector: %w", err))
	}
}

// copy hands the predictions of a batch to the cache.
func (c *Consumer) copy(b *batch) {
	var sum Rebuilt
	b.cached = sum.rows(b.cached[:0], b.records, c.live.Load().Name, c.cfg.Cache.TTL)
	c.metrics.cachePassed["no_entity"].Add(float64(sum.NoEntity))
	c.metrics.cachePassed["other"].Add(float64(sum.Other))
	b.open.Store(1)
	if len(b.cached) > 0 {
		c.toCache <- b
	} else {
		c.part(b)
	}
}
