package stream

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"scry/predictor"
)

func redisPreflight(ctx context.Context, cfg CacheConfig, d *predictor.Deployment) []Finding {
	if cfg.URL == "" {
		return []Finding{{Level: OK, What: "redis", Detail: "no cache: cache.url is empty"}}
	}
	ctx, cancel := context.WithTimeout(ctx, preflightTimeout)
	defer cancel()
	where := cfg.URL.MaskedURL()
	model := "model"
	if d != nil {
		model = d.Name
	}
	c, err := newCache(cfg, model, nil)
	if err != nil {
		return []Finding{{Level: Fail, What: "redis", Detail: err.Error()}}
	}
	defer c.close()
	err = c.ping(ctx)
	if err == nil { // a ping is answered by a broken cluster, and to whoever may read nothing
		_, err = c.get(ctx, nil)
	}
	if err != nil {
		return []Finding{{Level: Fail, What: "redis", Detail: where + ": " + err.Error()}}
	}
	masters, err := c.masters(ctx)
	if err != nil {
		return []Finding{{Level: OK, What: "redis", Detail: where + " answers; it does not say how it is set up: " + err.Error()}}
	}
	if len(masters) == 1 && cfg.Sentinel.Master != "" {
		where = cfg.Sentinel.Master + ", named by the Sentinels at " + where
	}
	return judgeRedis(where, masters, cfg.TTL)
}

// redisInfo reads what INFO says, by its names.
func redisInfo(ctx context.Context, client *redis.Client) (map[string]string, error) {
	text, err := client.Info(ctx).Result()
	if err != nil {
		return nil, err
	}
	info := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			info[name] = value
		}
	}
	return info, nil
}

// nearly is the share of maxmemory from which it counts as close.
const nearly = 0.8

// judgeRedis says what the INFO of the masters means for the cache.
func judgeRedis(where string, masters []redisNode, ttl time.Duration) []Finding {
	if len(masters) == 1 && masters[0].info["cluster_enabled"] != "1" {
		return judgeNode(where, masters[0].info, ttl)
	}
	findings := []Finding{{Level: OK, What: "redis", Detail: fmt.Sprintf("%s answers, a cluster with %s", where, plural(len(masters), "master"))}}
	for _, m := range masters {
		findings = append(findings, judgeNode(m.addr, m.info, ttl)...)
	}
	return findings
}

// judgeNode says what a server's INFO means for the cache.
func judgeNode(where string, info map[string]string, ttl time.Duration) (findings []Finding) {
	add := func(level Level, mend, format string, args ...any) {
		findings = append(findings, Finding{Level: level, What: "redis", Mend: mend, Detail: fmt.Sprintf(format, args...)})
	}
	server := where + " answers"
	if v := info["redis_version"]; v != "" {
		server += ", Redis " + v
	}
	if n, _ := strconv.Atoi(info["connected_slaves"]); n > 0 {
		server += ", " + plural(n, "replica")
	}
	if info["aof_enabled"] == "1" {
		server += ", append-only file on"
	} else if info["aof_enabled"] == "0" {
		server += ", append-only file off: after a crash, what it had not yet saved is gone"
	}
	add(OK, "", "%s", server)
	if major, minor := versionOf(info["redis_version"]); major > 0 && (major < 6 || major == 6 && minor < 2) {
		add(Fail, "use Redis 6.2 or later", "%s is version %s, whose SET has no PXAT", where, info["redis_version"])
	}
	if info["role"] == "slave" {
		add(Fail, "write the primary's address in cache.url", "%s is a replica: it refuses writes", where)
	}
	used, _ := strconv.ParseFloat(info["used_memory"], 64)
	most, _ := strconv.ParseFloat(info["maxmemory"], 64)
	policy := info["maxmemory_policy"]
	evicts := strings.HasPrefix(policy, "allkeys-") || strings.HasPrefix(policy, "volatile-") && ttl > 0
	switch full := fmt.Sprintf("%s of %s MiB used", mebibytes(used), mebibytes(most)); {
	case most <= 0:
	case evicts:
		add(Warn, "set maxmemory-policy noeviction, and maxmemory above what all entities need",
			"maxmemory-policy is %s (%s): when it is full, predictions vanish, and an older one may take the place of a newer that has", policy, full)
	case used >= nearly*most:
		add(Warn, "raise maxmemory, or shorten cache.ttl", "%s: when it is full, writes are refused and the stream waits", full)
	}
	return findings
}

func versionOf(text string) (major, minor int) {
	parts := strings.SplitN(text, ".", 3)
	if len(parts) < 2 {
		return 0, 0
	}
	major, _ = strconv.Atoi(parts[0])
	minor, _ = strconv.Atoi(parts[1])
	return major, minor
}

func mebibytes(bytes float64) string { return strconv.FormatFloat(bytes/(1<<20), 'f', 0, 64) }
