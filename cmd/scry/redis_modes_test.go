package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"scry/internal/testenv"
)

// Validate says what kind of Redis it found, and lookup reads from it.
func TestValidateAndLookupInEachKindOfRedis(t *testing.T) {
	cluster, sentinels := testenv.StartRedisCluster(t), testenv.StartRedisSentinels(t)
	for _, c := range []struct {
		addr, says string
		args       []string
		client     redis.UniversalClient
	}{
		{cluster.Replicas[0].Addr, `a cluster with 3 masters`, nil,
			redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{cluster.Masters[0].Addr}})},
		{sentinels.Sentinels[2].Addr, `named by the Sentinels at redis://`, []string{"--set", "cache.sentinel.master=" + sentinels.Name},
			redis.NewClient(&redis.Options{Addr: sentinels.Master.Addr})},
	} {
		defer c.client.Close()
		file := pipeline(t, "127.0.0.1:1", "redis://"+c.addr)
		_, out, _ := check(append(c.args, "-c", file)...)
		line(t, out, `ok    redis .*`+c.says)

		value := `{"v":"` + strings.Repeat("0", 32) + `","score":0.5,"model":"buyer-intent/1","event_time":"` + time.Now().UTC().Format(time.RFC3339) + `"}`
		for _, user := range []string{"a", "b", "c", "d"} {
			if err := c.client.Set(context.Background(), "pred:buyer-intent:"+user, value, 0).Err(); err != nil {
				t.Fatal(err)
			}
		}
		var found, errs bytes.Buffer
		if code := run(append([]string{"lookup", "-c", file, "a", "b", "c", "d"}, c.args...), &found, &errs); code != 0 || strings.Count(found.String(), " 0.5 ") != 4 {
			t.Errorf("lookup in %s: exit code %d\n%s%s", c.says, code, &found, &errs)
		}
	}
}
