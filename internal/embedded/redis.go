package embedded

import (
	"fmt"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
)

const (
	usualRedis = "127.0.0.1:6379"
	// A sweep sorts and walks all keys while clients wait, 44 ms for the 50,000 of a
	// demo, so it is rare. The demo's keys live for a day.
	expireEvery = 30 * time.Second
)

// Redis is a server in memory. Its keys expire up to half a minute early.
type Redis struct {
	server  *miniredis.Miniredis
	url     string
	stop    func()
	expired chan struct{}
}

// StartRedis starts a server on addr (host:port); empty: 127.0.0.1:6379, or a free
// port of this machine when that is taken.
func StartRedis(addr string) (*Redis, error) { return startRedis(addr, expireEvery) }

func startRedis(addr string, every time.Duration) (*Redis, error) {
	r := &Redis{expired: make(chan struct{})}
	err := open(addr, usualRedis, func(addr string) error {
		r.server = miniredis.NewMiniRedis()
		return r.server.StartAddr(addr)
	})
	if err != nil {
		return nil, fmt.Errorf("embedded Redis: %w", err)
	}
	// INFO is answered here: miniredis' own answer, one line, races with its Close.
	r.server.Server().SetPreHook(func(c *server.Peer, cmd string, _ ...string) bool {
		if cmd != "INFO" {
			return false
		}
		c.WriteBulk("# Server\r\n")
		return true
	})
	r.url = "redis://" + r.server.Addr() + "/0"
	stop := make(chan struct{})
	r.stop = sync.OnceFunc(func() { close(stop) })
	go func() {
		defer close(r.expired)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for last := time.Now(); ; {
			select {
			case <-stop:
				return
			case <-tick.C:
				// miniredis stores how long a key has left and leaves it to its user
				// to let that time pass. It can also do so before each command, which
				// is exact and costs a walk over all keys a command.
				now := time.Now()
				r.server.FastForward(now.Sub(last))
				last = now
			}
		}
	}()
	return r, nil
}

// URL returns the address to connect to, as redis://host:port/0.
func (r *Redis) URL() string { return r.url }

// Close stops the server and drops its connections. Close the clients first: they
// take it for an outage. A second Close does nothing.
func (r *Redis) Close() {
	r.stop()
	<-r.expired
	r.server.Close()
}
