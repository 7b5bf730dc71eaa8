package stream

import (
	"cmp"
	"fmt"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestVersionOrdersLikeTheEvents(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		near := rapid.Int64Range(0, 3) // ties, or the first part decides everything
		time := rapid.OneOf(near, rapid.Int64Range(0, maxEventTime))
		offset := rapid.OneOf(near, rapid.Int64Range(0, math.MaxInt64))
		source := rapid.Uint16()
		t1, o1, s1 := time.Draw(t, "time"), offset.Draw(t, "offset"), source.Draw(t, "source")
		t2, o2, s2 := time.Draw(t, "time"), offset.Draw(t, "offset"), source.Draw(t, "source")
		v, w := newVersion(t1, o1, s1), newVersion(t2, o2, s2)

		if want := fmt.Sprintf("%012x%016x%04x", t1, o1, s1); string(v[:]) != want {
			t.Fatalf("newVersion(%d, %d, %d) = %s, want %s", t1, o1, s1, v[:], want)
		}
		order := cmp.Or(cmp.Compare(t1, t2), cmp.Compare(o1, o2), cmp.Compare(s1, s2))
		if v.less(&w) != (order < 0) {
			t.Fatalf("%s less %s: %v, want %v", v[:], w[:], v.less(&w), order < 0)
		}
	})
}

func TestVersionBounds(t *testing.T) {
	if last := time.UnixMilli(maxEventTime).UTC().Format(time.RFC3339Nano); last != "9999-12-31T23:59:59.999Z" {
		t.Errorf("maxEventTime is %s", last)
	}
	for _, c := range []struct {
		time int64
		want string
	}{
		{-1, "000000000000"},
		{math.MinInt64, "000000000000"},
		{maxEventTime, "e677d21fdbff"},
		{maxEventTime + 1, "e677d21fdbff"},
		{math.MaxInt64, "e677d21fdbff"},
	} {
		if v := newVersion(c.time, 1, 2); string(v[:]) != c.want+"00000000000000010002" {
			t.Errorf("newVersion(%d, 1, 2) = %s", c.time, v[:])
		}
	}
}

// Versions are stored: these values must stay.
func TestSourceHashStays(t *testing.T) {
	for _, c := range []struct {
		topic     string
		partition int32
		want      uint16
	}{
		{"", 0, 0x1cd9},
		{"web.events", 0, 0x311c},
		{"web.events", 1, 0x311d},
		{"clicks", 65536, sourceHash("clicks", 0)},
	} {
		if got := sourceHash(c.topic, c.partition); got != c.want {
			t.Errorf("sourceHash(%q, %d) = %#04x, want %#04x", c.topic, c.partition, got, c.want)
		}
	}
}

func TestClampEventTime(t *testing.T) {
	const record, hour = int64(1_764_000_000_000), int64(3_600_000)
	for _, c := range []struct {
		name          string
		event, record int64
		ms            int64
		replaced      bool
	}{
		{"as it is", record - 5, record, record - 5, false},
		{"long ago", 1, record, 1, false},
		{"before 1970", -1, record, 0, false},
		{"the least", math.MinInt64, record, 0, false},
		{"a little ahead", record + hour, record, record + hour, false},
		{"too far ahead", record + hour + 1, record, record, true},
		{"the most", math.MaxInt64, record, record, true},
		{"no record timestamp", record, -1, record, false},
		{"no record timestamp, the most", math.MaxInt64, -1, maxEventTime, false},
		{"record after the year 9999", maxEventTime + 5, maxEventTime + 5, maxEventTime, false},
		{"record at 0", hour + 1, 0, 0, true},
	} {
		if ms, replaced := clampEventTime(c.event, c.record, time.Hour); ms != c.ms || replaced != c.replaced {
			t.Errorf("%s: clampEventTime(%d, %d) = %d, %v, want %d, %v", c.name, c.event, c.record, ms, replaced, c.ms, c.replaced)
		}
	}
}

func TestExpiry(t *testing.T) {
	for _, c := range []struct {
		event int64
		ttl   time.Duration
		want  int64
	}{
		{1000, 0, 0},
		{1000, time.Second, 2000},
		{0, time.Microsecond, 1}, // not 0, which is never
		{maxEventTime, math.MaxInt64, maxEventTime + math.MaxInt64/1_000_000},
	} {
		if got := expiry(c.event, c.ttl); got != c.want {
			t.Errorf("expiry(%d, %v) = %d, want %d", c.event, c.ttl, got, c.want)
		}
	}
}

func TestVersionAllocatesNothing(t *testing.T) {
	var v Version
	if n := testing.AllocsPerRun(100, func() { v = newVersion(1_764_000_000_000, 991, 7) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
	_ = v
}

func BenchmarkVersion(b *testing.B) {
	b.ReportAllocs()
	var v Version
	for i := int64(0); b.Loop(); i++ {
		v = newVersion(1_764_000_000_000+i, i, 7)
	}
	_ = v
}
