package stream

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"scry/internal/testenv"
)

// BenchmarkCacheWrite writes 200-byte values of distinct, known entities to a real
// Redis. cpu-ns/row is what this process spends, redis-ns/row what Redis does.
func BenchmarkCacheWrite(b *testing.B) {
	for _, mode := range []struct{ name, addr string }{
		{"single", startRedis(b).Addr},
		{"cluster", testenv.StartRedisCluster(b).Masters[0].Addr},
	} {
		b.Run(mode.name, func(b *testing.B) { benchCacheWrite(b, mode.addr) })
	}
}

func benchCacheWrite(b *testing.B, addr string) {
	tick := int64(1_764_000_000_000)
	for _, n := range []int{1, 16, 128, 512, 4096} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			c := dialCache(b, "redis://"+addr, nil)
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

// BenchmarkCacheClient is the same without a network or a Redis: what go-redis and
// write cost in user space.
func BenchmarkCacheClient(b *testing.B) {
	for _, n := range []int{1, 128, 512, 4096} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			c := dialCache(b, "redis://nowhere", agreeable)
			rows := benchRows(n)
			own := ownCPU()
			b.ReportAllocs()
			for b.Loop() {
				if r, err := c.write(b.Context(), rows); err != nil || r.written != n {
					b.Fatal(r, err)
				}
			}
			b.ReportMetric(float64(ownCPU()-own)/float64(b.N)/float64(n), "cpu-ns/row")
		})
	}
}

func TestCacheWriteAllocatesByTheRunAndKeepsNothing(t *testing.T) {
	c := dialCache(t, "redis://nowhere", agreeable)
	rows := benchRows(4 * maxGuardKeys)
	n := testing.AllocsPerRun(20, func() {
		if _, err := c.write(context.Background(), rows); err != nil {
			t.Error(err)
		}
	})
	if n > 40 {
		t.Errorf("%v allocations for %d rows in 4 runs of the script, want at most 40", n, len(rows))
	}
	for _, args := range c.runs {
		for _, arg := range args {
			if arg != nil {
				t.Fatalf("holds on to %T after the write", arg)
			}
		}
	}
}

// agreeable dials a Redis that accepts whatever it is sent.
func agreeable(context.Context, string, string) (net.Conn, error) { return &agreeableConn{}, nil }

type agreeableConn struct {
	net.Conn
	reply string // to the handshake; then always the guard's
}

func (c *agreeableConn) Write(b []byte) (int, error) {
	switch start := string(b[:min(len(b), 64)]); {
	case strings.Contains(start, "hello"):
		c.reply = "%0\r\n"
	case strings.Contains(start, "setname"):
		c.reply = "+OK\r\n"
	default:
		c.reply = "*3\r\n:0\r\n:0\r\n:0\r\n"
	}
	return len(b), nil
}

func (c *agreeableConn) Read(b []byte) (int, error)       { return copy(b, c.reply), nil }
func (c *agreeableConn) SetDeadline(time.Time) error      { return nil }
func (c *agreeableConn) SetReadDeadline(time.Time) error  { return nil }
func (c *agreeableConn) SetWriteDeadline(time.Time) error { return nil }
func (c *agreeableConn) Close() error                     { return nil }

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
	masters, err := c.masters(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	var sum float64
	for _, m := range masters {
		for _, name := range []string{"used_cpu_user", "used_cpu_sys"} {
			seconds, err := strconv.ParseFloat(m.info[name], 64)
			if err != nil {
				b.Fatal(err)
			}
			sum += seconds
		}
	}
	return time.Duration(sum * float64(time.Second))
}
