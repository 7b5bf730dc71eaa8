package stream

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

// cacheMends are the replies that stay the same until somebody acts, by what is in
// them: an error inside a script comes wrapped differently by each version of Redis.
// Whatever is not here mends itself or may: LOADING, READONLY, OOM, MASTERDOWN,
// CLUSTERDOWN, BUSY, too many clients, every fault of the network.
var cacheMends = []struct{ reply, mend string }{
	{"NOAUTH", "put user and password into cache.url"},
	{"WRONGPASS", "check user and password in cache.url"},
	{"NOPERM", cacheRights},
	{"The user executing the script can't", cacheRights},
	{"DENIED", "set a password in Redis, or let it listen to this host"},
	{"DB index is out of range", "check the database number at the end of cache.url"},
	{"SELECT is not allowed", "take the database number out of cache.url"},
	{"MOVED", "point cache.url to a single Redis; a cluster is not supported"},
	{"CROSSSLOT", "point cache.url to a single Redis; a cluster is not supported"},
	{"unknown command", "use Redis 6.2 or later, with EVAL and EVALSHA enabled"},
	{"syntax error", "use Redis 6.2 or later: SET with PXAT"},
}

const cacheRights = "allow the Redis user of cache.url ~pred:* +eval +evalsha +mget +time +set +get +ping"

// cacheError says whose error it is and marks as Permanent, with the mend, what no
// retry mends.
func cacheError(err error) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("cache: %w", err)
	var reply redis.Error
	if errors.As(err, &reply) {
		for _, m := range cacheMends {
			if strings.Contains(reply.Error(), m.reply) {
				return Permanent(fmt.Errorf("%w; %s", err, m.mend))
			}
		}
		return err
	}
	var untrusted *tls.CertificateVerificationError
	var notTLS tls.RecordHeaderError
	switch {
	case errors.As(err, &untrusted):
		return Permanent(fmt.Errorf("%w; use the name in the server's certificate in cache.url, and an authority this system trusts", err))
	case errors.As(err, &notTLS):
		return Permanent(fmt.Errorf("%w; the server speaks no TLS there: write redis:// in cache.url, or its TLS port", err))
	case strings.Contains(err.Error(), "redis: can't parse"), strings.Contains(err.Error(), "redis: invalid reply"):
		return Permanent(fmt.Errorf("%w; what answers at cache.url is no Redis: check host and port", err))
	}
	return err
}
