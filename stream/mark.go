package stream

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"

	"github.com/redis/go-redis/v9"
)

// markKey is pred:<model>, which is no entity's: those have a colon behind the model.
func (c *cache) markKey() []byte { return bytes.TrimSuffix(c.prefix, []byte(":")) }

// mark returns what lies under markKey: a random text without a TTL, which the first
// process that misses it writes. While the keys beside it are there it stays the same; so
// every process sees once that they are gone, whoever was the first to write it again.
// Empty: Redis does not tell.
func (c *cache) mark(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, cacheTimeout)
	defer cancel()
	client, err := c.redis(ctx)
	if err != nil {
		return ""
	}
	key := string(c.markKey())
	for range 2 {
		mark, err := client.Get(ctx, key).Result()
		if !errors.Is(err, redis.Nil) {
			return mark
		}
		// Nil again: another process was faster.
		if err := client.SetArgs(ctx, key, rand.Text(), redis.SetArgs{Mode: "NX"}).Err(); err != nil && !errors.Is(err, redis.Nil) {
			return ""
		}
	}
	return ""
}
