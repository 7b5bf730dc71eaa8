package stream

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// BenchmarkCacheWrite writes 200-byte values of distinct, known entities to a real
// Redis. cpu-ns/row is what this process spends, redis-ns/row what Redis does.
func BenchmarkCacheWrite(b *testing.B) {
	s := startRedis(b)
	tick := int64(1_764_000_000_000)
	for _, n := range []int{1, 16, 128, 512, 4096} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			c := s.cache(b)
			ctx := context.Background()
			rows := benchRows(n)
			if _, err := c.write(ctx, rows); err != nil {
				b.Fatal(err)
			}
			redis, own := redisCPU(b, c), ownCPU()
			b.ReportAllocs()
			for b.Loop() {
				tick++
				later := newVersion(tick, 0, 0)
				for i := range rows {
					copy(rows[i].version[:12], later[:12])
					copy(rows[i].value[6:18], later[:12])
				}
				r, err := c.write(ctx, rows)
				if err != nil || r.written != n {
					b.Fatal(r, err)
				}
			}
			events := float64(b.N) * float64(n)
			b.ReportMetric(float64(ownCPU()-own)/events, "cpu-ns/row")
			b.ReportMetric(float64(redisCPU(b, c)-redis)/events, "redis-ns/row")
		})
	}
}

func benchRows(n int) []cacheRow {
	rows := make([]cacheRow, n)
	now := time.Now().UnixMilli()
	for i := range rows {
		v := newVersion(1_764_000_000_000, int64(i), 7)
		value := fmt.Sprintf(`{"v":"%s","score":0.8312345678901234,"label":"buy","model":"buyer-intent/7","event_time":"2026-11-24T10:00:00.123Z","scored_at":"2026-11-24T10:00:00.125Z","id":"web.events-3-%08d"}`, v[:], i)
		rows[i] = cacheRow{
			entity: []byte(fmt.Sprintf("user-%08d", i)), version: v,
			value: []byte(value), expireAt: expiry(now, 24*time.Hour),
		}
	}
	return rows
}

func ownCPU() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func redisCPU(b *testing.B, c *cache) time.Duration {
	info, err := c.client.Info(context.Background(), "cpu").Result()
	if err != nil {
		b.Fatal(err)
	}
	var sum float64
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name == "used_cpu_user" || name == "used_cpu_sys" {
			seconds, err := strconv.ParseFloat(value, 64)
			if err != nil {
				b.Fatal(err)
			}
			sum += seconds
		}
	}
	return time.Duration(sum * float64(time.Second))
}
