package stream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"scry/predictor"
)

// What a Cached may be.
const (
	Fresh   = "fresh"   // by the live model, and within its time to live
	Stale   = "stale"   // by another model version, or past cache.ttl
	Deleted = "deleted" // the entity's newest event was a tombstone
	Missing = "missing" // never predicted, expired, or no prediction of scry's
)

// ErrNoCache is the answer to a lookup where no cache is configured.
var ErrNoCache = errors.New("there is no cache to look into: cache.url is empty")

// Cached is what the cache holds for an entity.
type Cached struct {
	Entity string          `json:"entity"`
	State  string          `json:"state"`           // Fresh, Stale, Deleted or Missing
	Why    string          `json:"why,omitempty"`   // of Stale, and of Missing where something is there
	Value  json.RawMessage `json:"value,omitempty"` // as stored; absent when Missing
}

// Lookup returns what the cache holds for entity, judged by the live model. Safe for
// concurrent use, until Run returns.
func (c *Consumer) Lookup(ctx context.Context, entity string) (Cached, error) {
	if c.cache == nil {
		return Cached{}, ErrNoCache
	}
	return (&CacheReader{c.cache, c.live.Load(), c.cfg.Cache.TTL}).Lookup(ctx, entity)
}

// A CacheReader looks into the cache without a consumer. Safe for concurrent use.
type CacheReader struct {
	cache *cache
	model *predictor.Deployment
	ttl   time.Duration
}

// OpenCache makes a CacheReader that takes d for the live model. It connects at the
// first lookup.
func OpenCache(cfg CacheConfig, d *predictor.Deployment) (*CacheReader, error) {
	if cfg.URL == "" {
		return nil, ErrNoCache
	}
	c, err := newCache(cfg, d.Name, nil)
	if err != nil {
		return nil, err
	}
	return &CacheReader{c, d, cfg.TTL}, nil
}

// Lookup returns what the cache holds for entity. An error is Redis'.
func (r *CacheReader) Lookup(ctx context.Context, entity string) (Cached, error) {
	value, err := r.cache.get(ctx, []byte(entity))
	if err != nil {
		return Cached{}, err
	}
	return judgeCached(entity, value, r.model, r.ttl, time.Now()), nil
}

// Close ends the connections.
func (r *CacheReader) Close() error { return r.cache.close() }

func judgeCached(entity string, value []byte, live *predictor.Deployment, ttl time.Duration, now time.Time) Cached {
	if value == nil {
		return Cached{Entity: entity, State: Missing}
	}
	var p struct {
		Model     string
		EventTime time.Time `json:"event_time"`
		Deleted   bool
	}
	if !bytes.HasPrefix(value, []byte(`{"v":"`)) || json.Unmarshal(value, &p) != nil {
		return Cached{Entity: entity, State: Missing, Why: "the key holds something else, which the next prediction overwrites"}
	}
	c := Cached{Entity: entity, State: Fresh, Value: value}
	switch model, age := live.Name+"/"+live.Version, now.Sub(p.EventTime); {
	case p.Deleted:
		c.State = Deleted
	case p.Model != model:
		c.State, c.Why = Stale, fmt.Sprintf("predicted by %s, the live model is %s", p.Model, model)
	case ttl > 0 && age > ttl:
		c.State, c.Why = Stale, fmt.Sprintf("its event is %v old, cache.ttl is %v", age.Round(time.Second), ttl)
	}
	return c
}
