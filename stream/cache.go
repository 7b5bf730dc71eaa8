package stream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"math/bits"
	"net"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"
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
	stale   int // Redis held a newer one
	expired int // past its expiry before it was written
}

const (
	// One pipeline carries so many runs of the script or so many bytes of values,
	// whichever comes first: what it takes to keep Redis busy over a round trip,
	// and little enough to be through well within cacheTimeout.
	maxPipelineRuns  = 16
	maxPipelineBytes = 4 << 20

	cacheTimeout = 3 * time.Second
)

// cache is the Redis that holds each entity's newest prediction, under
// pred:<model>:<entity>. write is for one goroutine; the others are for any.
type cache struct {
	client redis.UniversalClient // a single server; a cluster would want one key a run
	prefix []byte
	seed   maphash.Seed

	connected chan struct{} // holds one when a connection was made

	// Scratch of write.
	keep  []int32  // rows to write: the newest of each key
	slots []uint32 // open addressing over entities: 1 + an index of keep
	text  []byte   // the keys of one pipeline, back to back
	keys  []blob   // and where each is
	runs  [maxPipelineRuns][]any
	cmds  []redis.Cmder
}

// blob is an argument that go-redis takes by pointer: a []byte put into an any
// would be allocated for each event.
type blob []byte

func (b *blob) MarshalBinary() ([]byte, error) { return *b, nil }

// go-redis writes to stderr what it returns as an error besides.
func init() { logging.Disable() }

// newCache connects to nothing yet. dial stands in for TCP in tests and the demo,
// without TLS; nil means the network.
func newCache(c CacheConfig, model string, dial func(ctx context.Context, network, addr string) (net.Conn, error)) (*cache, error) {
	if model == "" || strings.ContainsAny(model, ":{}") {
		return nil, Permanent(fmt.Errorf("model name %q: it becomes part of the cache's keys; give it a name without : { }", model))
	}
	o, err := redis.ParseURL(c.URL.Reveal())
	if err != nil {
		// Not err itself: it may quote the password.
		return nil, Permanent(errors.New("cache.url: not a Redis URL; write redis://user:password@host:6379/0, or rediss:// for TLS, with special characters of the password percent-encoded"))
	}
	if dial != nil {
		o.Dialer = dial
	}
	connected := make(chan struct{}, 1)
	o.OnConnect = func(context.Context, *redis.Conn) error {
		select {
		case connected <- struct{}{}:
		default:
		}
		return nil
	}
	o.ClientName = "scry"
	o.DisableIdentity = true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	// Trying again is Retry's, which backs off, counts and reports.
	o.MaxRetries, o.DialerRetries = -1, 1
	o.ContextTimeoutEnabled = true
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = cacheTimeout, cacheTimeout, cacheTimeout, cacheTimeout
	// One writer and now and then a ping or a lookup; no second pool for pipelines.
	o.PoolSize, o.PipelinePoolSize = 4, -1
	o.WriteBufferSize = 64 << 10
	return &cache{
		client: redis.NewClient(o), connected: connected,
		prefix: []byte("pred:" + model + ":"),
		seed:   maphash.MakeSeed(),
	}, nil
}

// write offers the newest row of each key to the guard. On an error some keys may
// have been written and the result is empty; writing all rows again is harmless and
// counts them in full. An error that trying again cannot mend is Permanent. A
// cancelled ctx is seen between pipelines, its deadline at any time.
func (c *cache) write(ctx context.Context, rows []cacheRow) (cacheResult, error) {
	c.newest(rows)
	var sum cacheResult
	for todo := c.keep; len(todo) > 0; {
		n, size := 0, 0
		for n < min(len(todo), maxPipelineRuns*maxGuardKeys) && size < maxPipelineBytes {
			size += len(rows[todo[n]].value)
			n++
		}
		if err := c.pipeline(ctx, rows, todo[:n], &sum); err != nil {
			return cacheResult{}, cacheError(err)
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
func (c *cache) pipeline(ctx context.Context, rows []cacheRow, which []int32, sum *cacheResult) error {
	c.text, c.keys, c.cmds = c.text[:0], c.keys[:0], c.cmds[:0]
	runs := 0
	for ; len(which) > 0; runs++ {
		n := min(len(which), maxGuardKeys)
		c.runs[runs] = c.arguments(c.runs[runs][:0], rows, which[:n])
		c.cmds = append(c.cmds, redis.NewIntSliceCmd(ctx, c.runs[runs]...))
		which = which[n:]
	}
	err := c.exec(ctx, c.cmds, sum)
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
func (c *cache) exec(ctx context.Context, cmds []redis.Cmder, sum *cacheResult) error {
	p := c.client.Pipeline()
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
		case len(counts) != 2:
			return fmt.Errorf("guard script: %d counts in the reply, want 2", len(counts))
		default:
			stale, expired := int(counts[0]), int(counts[1])
			sum.stale += stale
			sum.expired += expired
			sum.written += args[2].(int) - stale - expired
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	return c.exec(ctx, unknown, sum)
}

// get returns the value stored for entity, nil when there is none.
func (c *cache) get(ctx context.Context, entity []byte) ([]byte, error) {
	value, err := c.client.Get(ctx, string(c.prefix)+string(entity)).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	return value, cacheError(err)
}

// ping reports whether Redis is reachable and lets us in.
func (c *cache) ping(ctx context.Context) error { return cacheError(c.client.Ping(ctx).Err()) }

func (c *cache) close() error { return c.client.Close() }
