package stream

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// watchRedis looks at Redis after each connection and every ten seconds, until ctx ends: that
// it is away is told while nothing is written, too.
func (c *Consumer) watchRedis(ctx context.Context) {
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	w := redisWatch{cache: c.cache}
	for {
		// What it refuses for good is told by the first write.
		_ = c.retry.Do(ctx, "redis", c.cache.ping)
		if loss := w.look(ctx); loss != "" {
			c.metrics.cacheLosses.Inc()
			c.log.Warn(loss+"; run: scry cache rebuild -c scry.yaml", "run_ids", w.runs, "mark", string(c.cache.markKey()))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-c.cache.connected:
		}
	}
}

// A redisWatch tells when Redis may have lost what it had acknowledged. Another run id,
// of any master, means another process or another server, which only somebody who knows
// it can vouch for. Another mark (see cache.mark) means that the keys are gone: it was
// emptied, or evicts. What a server does not tell, or its user may not ask, is not watched.
type redisWatch struct {
	cache *cache
	runs  []string // as last seen, as is mark
	mark  string
}

// look returns what was lost since the last look, empty: nothing.
func (w *redisWatch) look(ctx context.Context) (loss string) {
	runs, mark := w.cache.runIDs(ctx), w.cache.mark(ctx)
	switch {
	case replaced(w.runs, runs):
		loss = "Redis was restarted, replaced or failed over and may have lost predictions, unless it keeps all on disk"
	case w.mark != "" && mark != "" && w.mark != mark:
		loss = "Redis was emptied (FLUSHALL, FLUSHDB) or evicts keys, and has lost predictions"
	default:
		if runs != nil {
			w.runs = runs
		}
		w.mark = cmp.Or(mark, w.mark)
		return ""
	}
	w.runs, w.mark = runs, mark // what is unknown now is no second loss later
	return loss
}

// replaced reports whether another master has taken the place of a known one. A cluster
// that only grows or only shrinks hands its slots over first.
func replaced(known, ids []string) bool {
	missing := func(from []string) func(string) bool {
		return func(id string) bool { return !slices.Contains(from, id) }
	}
	return slices.ContainsFunc(known, missing(ids)) && slices.ContainsFunc(ids, missing(known))
}

// runIDs are what names the processes of the masters, nil when one does not say.
func (c *cache) runIDs(ctx context.Context) (ids []string) {
	ctx, cancel := context.WithTimeout(ctx, cacheTimeout)
	defer cancel()
	masters, err := c.masters(ctx)
	if err != nil {
		return nil
	}
	for _, m := range masters {
		if m.info["run_id"] == "" {
			return nil
		}
		ids = append(ids, m.info["run_id"])
	}
	slices.Sort(ids)
	return ids
}
