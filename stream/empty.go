package stream

import (
	"context"
	"strings"

	"github.com/redis/go-redis/v9"
)

// EmptyCache deletes all that Redis holds of a model. Besides scry's rights it needs +scan and
// +unlink.
func EmptyCache(ctx context.Context, cfg CacheConfig, model string) error {
	c, err := newCache(cfg, model, nil)
	if err != nil {
		return err
	}
	defer c.close()
	mark, prefix := string(c.markKey()), string(c.prefix)
	return c.eachMaster(ctx, func(ctx context.Context, one *redis.Client) error {
		for cursor := uint64(0); ; {
			keys, next, err := one.Scan(ctx, cursor, mark+"*", 1000).Result()
			if err != nil {
				return err
			}
			// A cluster takes no UNLINK of several slots.
			if _, err := one.Pipelined(ctx, func(p redis.Pipeliner) error {
				for _, key := range keys {
					if key == mark || strings.HasPrefix(key, prefix) {
						p.Unlink(ctx, key)
					}
				}
				return nil
			}); err != nil {
				return err
			}
			if cursor = next; cursor == 0 {
				return nil
			}
		}
	})
}
