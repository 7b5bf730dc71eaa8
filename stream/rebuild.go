package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"scry/predictor"
)

// A Rebuild says how RebuildCache goes about it.
type Rebuild struct {
	Since time.Time // read predictions made since; zero: as many as cache.ttl lets live
	Rate  int       // at most so many a second; 0: as fast as it goes
	// Progress is told, after each batch, how many offsets of how many are through.
	// It may be nil.
	Progress func(done, total int64)
}

// Rebuilt counts the records of the output topic by what became of them.
type Rebuilt struct {
	Written   int64 `json:"written"`   // keys; of several records of a key in a batch the newest counts
	Unchanged int64 `json:"unchanged"` // Redis held this one
	Stale     int64 `json:"stale"`     // Redis held a newer one
	Expired   int64 `json:"expired"`
	NoEntity  int64 `json:"no_entity"`
	Other     int64 `json:"other"` // of another model, or nothing that scry wrote
}

// RebuildCache replays the output topic, as far as it goes now, through the guard into
// Redis: afterwards each key holds its newest prediction, in the bytes that the
// consumer wrote. The guard makes it safe beside running consumers, and harmless to
// repeat. It waits for Redis for as long as it takes.
func RebuildCache(ctx context.Context, cfg Config, d *predictor.Deployment, o Rebuild, env Env) (sum Rebuilt, err error) {
	if cfg.Cache.URL == "" {
		return sum, ErrNoCache
	}
	c, err := newCache(cfg.Cache, d.Name, env.Dial)
	if err != nil {
		return sum, err
	}
	defer c.close()
	if o.Since.IsZero() {
		o.Since = oldestAlive(cfg.Cache.TTL)
	}
	r, err := openScan(ctx, cfg.Kafka, func(ctx context.Context, client *kgo.Client) (extent, error) {
		return heldSince(ctx, client, cfg.Output.Topic, o.Since)
	})
	if err != nil {
		return sum, err
	}
	defer r.close()

	retry := Retry{Loud: time.Second}
	if env.Log != nil {
		retry.Report = func(dependency string, err error) {
			if err != nil {
				env.Log.Warn("dependency is unreachable, retrying", "dependency", dependency, "error", err)
			}
		}
	}
	limit := pollRecords
	if o.Rate > 0 {
		limit = min(limit, max(o.Rate/10, 1))
	}
	began, read := time.Now(), 0
	for {
		records, err := r.poll(ctx, limit)
		if errors.Is(err, io.EOF) {
			return sum, nil
		}
		if err != nil {
			return sum, err
		}
		rows := sum.rows(nil, records, d.Name, cfg.Cache.TTL)
		var result cacheResult
		if err := retry.Do(ctx, "redis", func(ctx context.Context) (err error) {
			result, err = c.write(ctx, rows)
			return err
		}); err != nil {
			return sum, err
		}
		sum.Written += int64(result.written - result.same)
		sum.Unchanged += int64(result.same)
		sum.Stale += int64(result.stale)
		sum.Expired += int64(result.expired)
		if o.Progress != nil {
			o.Progress(r.total-r.left, r.total)
		}
		if read += len(records); o.Rate > 0 {
			due := began.Add(time.Duration(float64(read) / float64(o.Rate) * float64(time.Second)))
			select {
			case <-time.After(time.Until(due)):
			case <-ctx.Done():
				return sum, context.Cause(ctx)
			}
		}
	}
}

// oldestAlive is how far back in the output topic predictions can lie that have not
// expired; zero: to its start. One is made no more than maxSkew before its event's time,
// from which ttl counts.
func oldestAlive(ttl time.Duration) time.Time {
	if ttl == 0 {
		return time.Time{}
	}
	return time.Now().Add(-ttl - maxSkew)
}

// rows appends to rows the cache's rows of output records, as the consumer made them.
func (sum *Rebuilt) rows(rows []cacheRow, records []*kgo.Record, model string, ttl time.Duration) []cacheRow {
	for _, r := range records {
		row, name, err := cachedFrom(r, ttl)
		switch {
		case err != nil, name != model:
			sum.Other++
		case len(row.entity) == 0:
			sum.NoEntity++
		default:
			rows = append(rows, row)
		}
	}
	return rows
}

// tombstoneHeader holds what a prediction's body would, for a record that has none: the
// output of a tombstone. Without it the cache's "deleted" could not be rebuilt.
const tombstoneHeader = "scry-tombstone"

// cachedFrom makes the cache's row of an output record: the encoder's cacheValue from
// what its prediction wrote. Numbers and labels are copied as they stand.
func cachedFrom(r *kgo.Record, ttl time.Duration) (row cacheRow, model string, err error) {
	body := r.Value
	if body == nil {
		for _, h := range r.Headers {
			if h.Key == tombstoneHeader {
				body = h.Value
			}
		}
	}
	var p struct {
		ID        string
		Deleted   bool
		Score     json.RawMessage
		Label     json.RawMessage
		Scores    json.RawMessage
		Model     string `json:"model_name"`
		Version   string `json:"model_version"`
		Arm       string
		EventTime time.Time `json:"event_time"`
		ScoredAt  time.Time `json:"scored_at"`
	}
	if err := json.Unmarshal(body, &p); err != nil {
		return row, "", err
	}
	topic, partition, offset, err := parseID(p.ID)
	switch {
	case err != nil:
		return row, "", err
	case p.Arm != "champion", p.Model == "", p.Score == nil && !p.Deleted, p.EventTime.IsZero():
		return row, "", errors.New("not a prediction that is cached")
	}
	ms := min(max(p.EventTime.UnixMilli(), 0), maxEventTime)
	v := newVersion(ms, offset, sourceHash(topic, partition))
	b := make([]byte, 0, len(body)+len(v))
	b = append(append(append(b, `{"v":"`...), v[:]...), '"')
	if p.Deleted {
		b = append(b, `,"deleted":true`...)
	}
	for _, m := range []struct {
		name  string
		value json.RawMessage
	}{{"score", p.Score}, {"label", p.Label}, {"scores", p.Scores}} {
		if m.value != nil {
			b = append(append(append(append(b, ',', '"'), m.name...), '"', ':'), m.value...)
		}
	}
	b = appendString(append(b, `,"model":`...), []byte(p.Model+"/"+p.Version))
	b = append(appendTime(append(b, `,"event_time":"`...), ms), `","scored_at":"`...)
	b = append(appendTime(b, min(max(p.ScoredAt.UnixMilli(), 0), maxEventTime)), `","id":`...)
	b = append(appendString(b, []byte(p.ID)), '}')
	return cacheRow{entity: r.Key, version: v, value: b, expireAt: expiry(ms, ttl)}, p.Model, nil
}

// parseID takes a prediction's id apart: topic-partition-offset. A topic may hold hyphens.
func parseID(id string) (topic string, partition int32, offset int64, err error) {
	bad := fmt.Errorf("id %q is not topic-partition-offset", id)
	last := strings.LastIndexByte(id, '-')
	if last < 0 {
		return "", 0, 0, bad
	}
	first := strings.LastIndexByte(id[:last], '-')
	if first <= 0 {
		return "", 0, 0, bad
	}
	p, err1 := strconv.ParseUint(id[first+1:last], 10, 31)
	o, err2 := strconv.ParseUint(id[last+1:], 10, 63)
	if err1 != nil || err2 != nil {
		return "", 0, 0, bad
	}
	return id[:first], int32(p), int64(o), nil
}
