package stream

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

type cacheMend struct {
	reply, mend string
	final       bool
}

// cacheMends tell what to do about replies, by what is in them: an error inside a script
// comes wrapped differently by each version of Redis. A final one stays the same until
// somebody acts. All else mends itself or may, as does every fault of the network.
var cacheMends = []cacheMend{
	{"NOAUTH", "put user and password into cache.url", true},
	{"WRONGPASS", "check user and password in cache.url", true},
	{"NOPERM", cacheRights, true},
	{"The user executing the script can't", cacheRights, true},
	{"DENIED", "set a password in Redis, or let it listen to this host", true},
	{"DB index is out of range", "check the database number at the end of cache.url", true},
	{"SELECT is not allowed", "a cluster has database 0 only: take the number out of cache.url", true},
	{"MOVED", "what was a single Redis has become a node of a cluster: start scry again", true},
	{"CROSSSLOT", "what was a single Redis has become a node of a cluster: start scry again", true},
	{"unknown command", "use Redis 6.2 or later, with EVAL and EVALSHA enabled", true},
	{"syntax error", "use Redis 6.2 or later: SET with PXAT", true},

	{"READONLY", "if no failover is under way, write the master's address in cache.url", false},
	{"OOM", "raise maxmemory of Redis, or shorten cache.ttl", false},
	{"LOADING", "Redis reads its data from disk, which may take minutes", false},
	{"MASTERDOWN", "the replica at cache.url has lost its master: bring that back", false},
	{"CLUSTERDOWN", "slots have no master: see redis-cli --cluster check, and bring the node back or promote its replica", false},
	{"TRYAGAIN", "a slot is being moved", false},
	{"NOREPLICAS", "too few replicas are in step for min-replicas-to-write: bring them back", false},
	{"MISCONF", "Redis cannot write to its disk: see its log", false},
}

const cacheRights = "allow the Redis user of cache.url ~pred:* +eval +evalsha +mget +time +set +get +ping +info (+select for another database than 0), in a cluster +cluster|slots +asking too, on every node"

// sentinelMends are of the Sentinels' replies, cacheMends of the master's that they name.
var sentinelMends = []cacheMend{
	{"NOAUTH", "put their user and password into cache.sentinel", true},
	{"WRONGPASS", "check cache.sentinel.user and cache.sentinel.password; those in cache.url are for Redis", true},
	{"NOPERM", "allow the user of cache.sentinel +sentinel|get-master-addr-by-name +sentinel|sentinels +subscribe +ping &+switch-master &+replica-reconf-done", true},
	{"unknown command", "what answers at cache.url is no Sentinel: correct its port (26379), or take cache.sentinel out", true},
	{"redis: nil", "they know no such master: check cache.sentinel.master against SENTINEL MASTERS", false},
}

// cacheError says whose error it is and marks as Permanent, with the mend, what no
// retry mends.
func cacheError(err error) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("cache: %w", err)
	var reply redis.Error
	if errors.As(err, &reply) {
		mends := cacheMends
		if strings.Contains(err.Error(), "all sentinels specified") { // go-redis' words
			mends = sentinelMends
		}
		for _, m := range mends {
			if !strings.Contains(reply.Error(), m.reply) {
				continue
			}
			if err = fmt.Errorf("%w; %s", err, m.mend); m.final {
				return Permanent(err)
			}
			return err
		}
		return err
	}
	var notTLS tls.RecordHeaderError
	switch {
	case errors.As(err, &notTLS):
		return Permanent(fmt.Errorf("%w; the server speaks no TLS there: write redis:// in cache.url, or its TLS port", err))
	case strings.Contains(err.Error(), "redis: can't parse"), strings.Contains(err.Error(), "redis: invalid reply"):
		return Permanent(fmt.Errorf("%w; what answers at cache.url is no Redis: check host and port", err))
	}
	if mend := tlsMend(err, "Redis", "cache.url", "cache.tls"); mend != "" {
		return fmt.Errorf("%w; %s", err, mend)
	}
	if unreachable(err) {
		return fmt.Errorf("%w; start Redis, or correct cache.url", err)
	}
	return err
}
