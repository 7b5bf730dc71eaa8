package stream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"hash/maphash"
	"net"
	"net/url"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// go-redis writes to stderr what it returns as an error besides.
func init() { logging.Disable() }

// newCache connects to nothing yet. dial stands in for TCP in tests and the demo; nil
// means the network.
func newCache(c CacheConfig, model string, dial func(ctx context.Context, network, addr string) (net.Conn, error)) (*cache, error) {
	if model == "" || strings.ContainsAny(model, ":{}") {
		return nil, Permanent(fmt.Errorf("model name %q: it becomes part of the cache's keys; give it a name without : { }", model))
	}
	o, err := c.options()
	if err != nil {
		// Not err itself: it may quote the password.
		return nil, Permanent(errors.New("cache.url: not a Redis URL; " + cacheURLMend))
	}
	if o.TLSConfig != nil {
		if dial, err = c.TLS.dialer(dial); err != nil {
			return nil, Permanent(err)
		}
	}
	connected := make(chan struct{}, 1)
	o.Dialer = dial
	o.OnConnect = func(ctx context.Context, conn *redis.Conn) error {
		// For CLIENT LIST. CLIENT SETNAME would do the same, but needs a right.
		var reply redis.Error // HELLO is unknown: no harm
		if err := conn.Do(ctx, "hello", 3, "setname", "scry").Err(); err != nil && !errors.As(err, &reply) {
			return err
		}
		select {
		case connected <- struct{}{}:
		default:
		}
		return nil
	}
	return &cache{
		options: o, connected: connected,
		prefix: []byte("pred:" + model + ":"),
		seed:   maphash.MakeSeed(),
	}, nil
}

const cacheURLMend = "write redis://user:password@host:6379/0 (rediss:// for TLS) with the password percent-encoded; further addresses as ?addr=host:port"

// options are those of every client of cache.url. Its error may quote the password.
func (c CacheConfig) options() (*redis.UniversalOptions, error) {
	u, err := url.Parse(c.URL.Reveal())
	if err != nil {
		return nil, err
	}
	if c.Sentinel.Master != "" && u.Port() == "" {
		u.Host += ":26379"
	}
	query := u.Query()
	more := query["addr"] // as go-redis writes several, which its ParseURL does not take
	query.Del("addr")
	u.RawQuery = query.Encode()
	one, err := redis.ParseURL(u.String())
	if err != nil {
		return nil, err
	}
	for _, addr := range more {
		if problem := addressProblem(addr); problem != "" {
			return nil, fmt.Errorf("%s %s", addr, problem)
		}
	}
	o := &redis.UniversalOptions{
		Addrs: append([]string{one.Addr}, more...), DB: one.DB, Username: one.Username, Password: one.Password,
		MasterName: c.Sentinel.Master, SentinelUsername: c.Sentinel.User, SentinelPassword: c.Sentinel.Password.Reveal(),

		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		// Trying again is Retry's, which backs off, counts and reports. What a cluster has
		// moved is followed at once: to its new node, and to where a slot is just going.
		MaxRetries: -1, DialerRetries: 1, MaxRedirects: 2,
		ContextTimeoutEnabled: true,
		DialTimeout:           cacheTimeout, ReadTimeout: cacheTimeout, WriteTimeout: cacheTimeout, PoolTimeout: cacheTimeout,
		// One writer and now and then a ping or a lookup; no second pool for pipelines.
		PoolSize: 4, PipelinePoolSize: -1,
		WriteBufferSize: 64 << 10,
	}
	if one.TLSConfig != nil || c.TLS.Enabled {
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return o, nil
}

// dialer replaces go-redis' own where TLS is wanted: files are read again for each connection.
func (c TLSConfig) dialer(dial func(ctx context.Context, network, addr string) (net.Conn, error)) (func(ctx context.Context, network, addr string) (net.Conn, error), error) {
	if dial == nil {
		dial = (&net.Dialer{Timeout: cacheTimeout}).DialContext
	}
	_, err := c.load("cache.tls")
	return c.over("cache.tls", dial), err
}

// redis returns the connections to what cache.url leads to. Whether that is a single server or
// a node of a cluster is asked at first use.
func (c *cache) redis(ctx context.Context) (redis.UniversalClient, error) {
	if found := c.found.Load(); found != nil {
		return *found, nil
	}
	client, err := c.find(ctx)
	if err != nil {
		return nil, err
	}
	if !c.found.CompareAndSwap(nil, &client) { // another goroutine asked too
		client.Close()
		return *c.found.Load(), nil
	}
	return client, nil
}

func (c *cache) find(ctx context.Context) (redis.UniversalClient, error) {
	o := c.options
	if o.MasterName != "" {
		return redis.NewFailoverClient(o.Failover()), nil
	}
	var failures error
	for _, addr := range o.Addrs {
		single := o.Simple()
		single.Addr = addr
		client := redis.NewClient(single)
		mode, err := redisMode(ctx, client)
		if err == nil && mode != "cluster" && mode != "sentinel" && len(o.Addrs) == 1 {
			return client, nil
		}
		client.Close()
		switch {
		case failures != nil && err != nil:
			failures = fmt.Errorf("%w; %w", failures, err)
		case err != nil:
			failures = err // the next may answer
		case mode == "cluster":
			return redis.NewClusterClient(o.Cluster()), nil
		case mode == "sentinel":
			return nil, Permanent(fmt.Errorf("%s is a Sentinel; write the name of its master in cache.sentinel.master, as SENTINEL MASTERS shows it", addr))
		default:
			return nil, Permanent(fmt.Errorf("%s is a single Redis, and cache.url has several addresses; write one, or name the master in cache.sentinel.master", addr))
		}
	}
	return nil, failures
}

// redisMode is standalone, cluster or sentinel, empty when the server does not say. HELLO needs
// no rights.
func redisMode(ctx context.Context, client *redis.Client) (string, error) {
	hello, err := client.Do(ctx, "hello", 3).Result()
	if redis.HasErrorPrefix(err, "ERR") || redis.HasErrorPrefix(err, "NOPROTO") {
		return "", nil // a proxy, or an old one
	}
	if err != nil {
		return "", err
	}
	fields, _ := hello.(map[any]any)
	mode, _ := fields["mode"].(string)
	return mode, nil
}

// failed is what becomes of an error of client.
func failed(ctx context.Context, client redis.UniversalClient, err error) error {
	cluster, ok := client.(*redis.ClusterClient)
	if err == nil || !ok {
		return cacheError(err)
	}
	// Else one whose master has died would be asked for up to a minute.
	cluster.ReloadState(ctx)
	if redis.HasErrorPrefix(err, "MOVED") || redis.HasErrorPrefix(err, "ASK") {
		return fmt.Errorf("cache: %w; slots move faster than they can be followed", err)
	}
	return cacheError(err)
}

// redisNode is what INFO says of a server, by its names.
type redisNode struct {
	addr string
	info map[string]string
}

// masters asks each server that takes writes; of a cluster there are several.
func (c *cache) masters(ctx context.Context) (nodes []redisNode, err error) {
	var mu sync.Mutex
	err = c.eachMaster(ctx, func(ctx context.Context, one *redis.Client) error {
		info, err := redisInfo(ctx, one)
		mu.Lock()
		defer mu.Unlock()
		nodes = append(nodes, redisNode{one.Options().Addr, info})
		return err
	})
	return nodes, err
}

// eachMaster calls f for each server that takes writes, for those of a cluster at once.
func (c *cache) eachMaster(ctx context.Context, f func(context.Context, *redis.Client) error) error {
	client, err := c.redis(ctx)
	if err != nil {
		return cacheError(err)
	}
	switch client := client.(type) {
	case *redis.ClusterClient:
		err = client.ForEachMaster(ctx, f)
	case *redis.Client:
		err = f(ctx, client)
	}
	return failed(ctx, client, err)
}
