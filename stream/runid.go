package stream

import (
	"context"
	"slices"
	"time"
)

// watchRedis looks at the run id of Redis, of each master, after each connection and every ten seconds, until
// ctx ends. Another id means another process or another server: what the last one had
// acknowledged may be gone, and only somebody who knows can say. A server that does
// not tell its id (or whose user may not run INFO) is not watched.
func (c *Consumer) watchRedis(ctx context.Context) {
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	var known []string
	for {
		ids := c.cache.runIDs(ctx)
		if replaced(known, ids) {
			c.metrics.cacheLosses.Inc()
			c.log.Warn("Redis was restarted, replaced or failed over and may have lost predictions; unless it keeps all on disk, run: scry cache rebuild -c scry.yaml",
				"run_ids", ids, "were", known)
		}
		if ids != nil {
			known = ids
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-c.cache.connected:
		}
	}
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
