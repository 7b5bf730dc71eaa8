package stream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"math/bits"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// cacheRow is one prediction on its way to the cache. Nothing of it is kept after
// write returns.
type cacheRow struct {
	entity   []byte // empty: nothing is written
	version  Version
	value    []byte // begins {"v":"<version>"
	expireAt int64  // Unix ms, see expiry; 0 never
}

// cacheResult counts keys, not rows: of the rows of one key only the newest is
// offered to the guard, and what it superseded is counted nowhere.
type cacheResult struct {
	written int
	same    int // of those written: Redis held that very value
	stale   int // Redis held a newer one
	expired int // past its expiry before it was written
}

const (
	// One pipeline carries so many keys or so many bytes of values, whichever comes
	// first: what it takes to keep Redis busy over a round trip, and little enough to
	// be through well within cacheTimeout.
	maxPipelineKeys  = 16 * maxGuardKeys
	maxPipelineBytes = 4 << 20

	cacheTimeout = 3 * time.Second
)

// cache is the Redis (single, cluster or watched by Sentinels) that holds each entity's newest prediction, under
// pred:<model>:<entity>. write is for one goroutine; the others are for any.
type cache struct {
	options *redis.UniversalOptions
	found   atomic.Pointer[redis.UniversalClient] // see redis
	prefix  []byte
	seed    maphash.Seed

	connected chan struct{} // holds one when a connection was made

	// Scratch of write.
	keep  []int32  // rows to write: the newest of each key
	slots []uint32 // open addressing over entities: 1 + an index of keep
	text  []byte   // the keys of one pipeline, back to back
	keys  []blob   // and where each is
	runs  [][]any
	cmds  []redis.Cmder
}

// blob is an argument that go-redis takes by pointer: a []byte put into an any
// would be allocated for each event.
type blob []byte

func (b *blob) MarshalBinary() ([]byte, error) { return *b, nil }

// String is what go-redis takes a key's slot from.
func (b *blob) String() string { return string(*b) }

// write offers the newest row of each key to the guard. On an error some keys may
// have been written and the result is empty; writing all rows again is harmless and
// counts them in full. An error that trying again cannot mend is Permanent. A
// cancelled ctx is seen between pipelines, its deadline at any time.
func (c *cache) write(ctx context.Context, rows []cacheRow) (cacheResult, error) {
	c.newest(rows)
	if len(c.keep) == 0 {
		return cacheResult{}, nil
	}
	client, err := c.redis(ctx)
	if err != nil {
		return cacheResult{}, cacheError(err)
	}
	var sum cacheResult
	for todo := c.keep; len(todo) > 0; {
		n, size := 0, 0
		for n < min(len(todo), maxPipelineKeys) && size < maxPipelineBytes {
			size += len(rows[todo[n]].value)
			n++
		}
		if err := c.pipeline(ctx, client, rows, todo[:n], &sum); err != nil {
			return cacheResult{}, failed(ctx, client, err)
		}
		todo = todo[n:]
	}
	return sum, nil
}

// newest fills keep with the newest row of each entity; of equal versions the last.
func (c *cache) newest(rows []cacheRow) {
	size := 1 << bits.Len(uint(2*len(rows)))
	if cap(c.slots) < size {
		c.slots = make([]uint32, size)
	}
	slots, mask := c.slots[:size], uint64(size-1)
	clear(slots)
	c.keep = c.keep[:0]
next:
	for i := range rows {
		row := &rows[i]
		if len(row.entity) == 0 {
			continue
		}
		at := maphash.Bytes(c.seed, row.entity) & mask
		for ; slots[at] != 0; at = (at + 1) & mask {
			kept := &c.keep[slots[at]-1]
			if old := &rows[*kept]; bytes.Equal(old.entity, row.entity) {
				if !row.version.less(&old.version) {
					*kept = int32(i)
				}
				continue next
			}
		}
		c.keep = append(c.keep, int32(i))
		slots[at] = uint32(len(c.keep))
	}
}

// pipeline runs the guard on one pipelineful of rows and adds what came of it to sum.
func (c *cache) pipeline(ctx context.Context, client redis.UniversalClient, rows []cacheRow, which []int32, sum *cacheResult) error {
	perRun := maxGuardKeys
	if _, ok := client.(*redis.ClusterClient); ok {
		// Its keys share a slot too rarely to be worth sorting, and while a slot moves a
		// run of several is refused until the last of them has.
		perRun = 1
	}
	c.text, c.keys, c.cmds = c.text[:0], c.keys[:0], c.cmds[:0]
	runs := 0
	for ; len(which) > 0; runs++ {
		n := min(len(which), perRun)
		if runs == len(c.runs) {
			c.runs = append(c.runs, nil)
		}
		c.runs[runs] = c.arguments(c.runs[runs][:0], rows, which[:n])
		c.cmds = append(c.cmds, redis.NewIntSliceCmd(ctx, c.runs[runs]...))
		which = which[n:]
	}
	err := c.exec(ctx, client, c.cmds, sum)
	for _, args := range c.runs[:runs] {
		clear(args) // else they hold on to the batch
	}
	clear(c.cmds)
	return err
}

// arguments appends to args one run of the guard. They point into rows.
func (c *cache) arguments(args []any, rows []cacheRow, which []int32) []any {
	args = append(args, "evalsha", guardSHA, len(which))
	for _, i := range which {
		from := len(c.text)
		c.text = append(append(c.text, c.prefix...), rows[i].entity...)
		c.keys = append(c.keys, c.text[from:])
		args = append(args, &c.keys[len(c.keys)-1])
	}
	for _, i := range which {
		args = append(args, (*blob)(&rows[i].value), &rows[i].expireAt)
	}
	return args
}

// exec sends cmds in one pipeline. Redis forgets scripts when it restarts, fails
// over or is told to, so those it does not know are sent again with the script.
func (c *cache) exec(ctx context.Context, client redis.UniversalClient, cmds []redis.Cmder, sum *cacheResult) error {
	p := client.Pipeline()
	if err := p.BatchProcess(ctx, cmds...); err != nil {
		return err
	}
	// Its error, if any, is the first command's that failed, or the connection's.
	if _, err := p.Exec(ctx); err != nil && !redis.HasErrorPrefix(err, "NOSCRIPT") {
		return err
	}
	unknown := cmds[:0]
	for _, cmd := range cmds {
		counts, err := cmd.(*redis.IntSliceCmd).Result()
		args := cmd.Args()
		switch {
		case redis.HasErrorPrefix(err, "NOSCRIPT") && args[0] == "evalsha":
			args[0], args[1] = "eval", guardScript
			unknown = append(unknown, redis.NewIntSliceCmd(ctx, args...))
		case err != nil:
			return err
		case len(counts) != 3:
			return fmt.Errorf("guard script: %d counts in the reply, want 3", len(counts))
		default:
			stale, expired := int(counts[0]), int(counts[1])
			sum.same += int(counts[2])
			sum.stale += stale
			sum.expired += expired
			sum.written += args[2].(int) - stale - expired
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	return c.exec(ctx, client, unknown, sum)
}

// get returns the value stored for entity, nil when there is none.
func (c *cache) get(ctx context.Context, entity []byte) ([]byte, error) {
	client, err := c.redis(ctx)
	if err != nil {
		return nil, cacheError(err)
	}
	value, err := client.Get(ctx, string(c.prefix)+string(entity)).Bytes()
	if errors.Is(err, redis.Nil) && err.Error() == redis.Nil.Error() { // else a Sentinel's, which knows no such master
		return nil, nil
	}
	return value, failed(ctx, client, err)
}

// ping reports whether Redis is reachable and lets us in.
func (c *cache) ping(ctx context.Context) error {
	client, err := c.redis(ctx)
	if err != nil {
		return cacheError(err)
	}
	return failed(ctx, client, client.Ping(ctx).Err())
}

func (c *cache) close() error {
	if found := c.found.Load(); found != nil {
		return (*found).Close()
	}
	return nil
}
