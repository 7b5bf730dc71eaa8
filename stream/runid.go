package stream

import (
	"context"
	"time"
)

// watchRedis looks at Redis' run id after each connection and every ten seconds, until
// ctx ends. Another id means another process or another server: what the last one had
// acknowledged may be gone, and only somebody who knows can say. A server that does
// not tell its id (or whose user may not run INFO) is not watched.
func (c *Consumer) watchRedis(ctx context.Context) {
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	var known string
	for {
		id := c.cache.runID(ctx)
		if known != "" && id != "" && id != known {
			c.metrics.cacheLosses.Inc()
			c.log.Warn("Redis was restarted or replaced and may have lost predictions; if it keeps nothing on disk, run: scry cache rebuild -c scry.yaml",
				"run_id", id, "was", known)
		}
		if id != "" {
			known = id
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-c.cache.connected:
		}
	}
}

// runID is what names the server's process, empty when it does not say.
func (c *cache) runID(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, cacheTimeout)
	defer cancel()
	info, err := redisInfo(ctx, c)
	if err != nil {
		return ""
	}
	return info["run_id"]
}
