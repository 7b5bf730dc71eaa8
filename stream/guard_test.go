package stream

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"pgregory.net/rapid"

	"scry/internal/config"
)

// guardModel is what Redis should hold, by the rule in Go.
type guardModel struct {
	stored map[string]cacheRow
	now    func() int64
}

func newGuardModel(now func() int64) guardModel {
	return guardModel{stored: map[string]cacheRow{}, now: now}
}

// write is cache.write, one key after the other.
func (m guardModel) write(rows []cacheRow) (r cacheResult) {
	newest := map[string]cacheRow{}
	for _, row := range rows {
		if old, ok := newest[string(row.entity)]; !ok || string(row.version[:]) >= string(old.version[:]) {
			newest[string(row.entity)] = row
		}
	}
	for entity, row := range newest {
		var stored *Version
		if old, ok := m.stored[entity]; ok {
			stored = &old.version
		}
		switch judge(stored, row.version, m.now(), row.expireAt) {
		case verdictWrite:
			r.written++
			if string(m.stored[entity].value) == string(row.value) {
				r.same++
			}
			m.stored[entity] = row
		case verdictStale:
			r.stale++
		case verdictExpired:
			r.expired++
		}
	}
	return r
}

// expire forgets what the clock has passed.
func (m guardModel) expire() {
	for entity, row := range m.stored {
		if row.expireAt != 0 && m.now() >= row.expireAt {
			delete(m.stored, entity)
		}
	}
}

var entities = []string{"u1", "u2", "u3", "u4", "kåre:{5}\r\n"}

// drawRows draws a batch of few entities and fewer times, so that it has duplicates,
// ties and versions that differ in their last digits only. times are relative to now.
func drawRows(t *rapid.T, now int64, ttl time.Duration, times ...time.Duration) []cacheRow {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) cacheRow {
		record := now - 1000
		event := now + rapid.SampledFrom(times).Draw(t, "time").Milliseconds()
		if rapid.IntRange(0, 9).Draw(t, "negative") == 0 {
			event = -event
		}
		ms, _ := clampEventTime(event, record, time.Hour)
		partition := rapid.Int32Range(0, 2).Draw(t, "partition")
		version := newVersion(ms, rapid.Int64Range(0, 4).Draw(t, "offset"), sourceHash("web.events", partition))
		return row(rapid.SampledFrom(entities).Draw(t, "entity"), version, expiry(ms, ttl),
			rapid.SampledFrom([]string{`"score":0.5`, `"score":0.25`, `"deleted":true`}).Draw(t, "body"))
	}), 1, 40).Draw(t, "rows")
}

func row(entity string, v Version, expireAt int64, body string) cacheRow {
	return cacheRow{
		entity: []byte(entity), version: v, expireAt: expireAt,
		value: fmt.Appendf(nil, `{"v":"%s",%s}`, v[:], body),
	}
}

// A TTL of a day and event times that lie a minute or more off their expiry, so that
// model and Redis agree on what has expired however slow the machine is.
func TestGuardEqualsItsModel(t *testing.T) {
	c := startRedis(t).cache(t)
	ctx := context.Background()
	now := func() int64 { return time.Now().UnixMilli() }
	hour := time.Hour
	times := []time.Duration{-48 * hour, -25 * hour, -24*hour - time.Minute, -23 * hour, -time.Minute, -time.Millisecond, 0, time.Minute, 59 * time.Minute, 90 * time.Minute, 1e6 * hour}
	rapid.Check(t, func(t *rapid.T) {
		if err := clientOf(t, c).FlushAll(ctx).Err(); err != nil {
			t.Fatal(err)
		}
		start, model := now(), newGuardModel(now)
		ttl := rapid.SampledFrom([]time.Duration{0, 24 * hour}).Draw(t, "ttl")
		for range rapid.IntRange(1, 6).Draw(t, "batches") {
			before := map[string]Version{}
			for entity, row := range model.stored {
				before[entity] = row.version
			}
			rows := drawRows(t, start, ttl, times...)
			got, err := c.write(ctx, rows)
			if want := model.write(rows); err != nil || got != want {
				t.Fatalf("write: %+v, %v, want %+v", got, err, want)
			}
			checkStored(t, c, model, before)
		}
	})
}

// checkStored compares all that Redis holds with the model, to the millisecond of
// the expiry, and with what it held before.
func checkStored(t *rapid.T, c *cache, model guardModel, before map[string]Version) {
	ctx := context.Background()
	for _, entity := range entities {
		want := model.stored[entity]
		value, err := c.get(ctx, []byte(entity))
		if err != nil || string(value) != string(want.value) {
			t.Fatalf("%q holds %q, %v, want %q", entity, value, err, want.value)
		}
		if want.value == nil {
			continue
		}
		expireAt := want.expireAt
		if expireAt == 0 {
			expireAt = -1 // PEXPIRETIME's never, in go-redis' duration a nanosecond
		} else {
			expireAt *= int64(time.Millisecond)
		}
		if got, err := clientOf(t, c).PExpireTime(ctx, "pred:buyer:"+entity).Result(); err != nil || int64(got) != expireAt {
			t.Fatalf("%q expires at %v, %v, want %v", entity, got, err, want.expireAt)
		}
		if old := before[entity]; string(value[6:38]) < string(old[:]) {
			t.Fatalf("%q went back from %s to %s", entity, old[:], value[6:38])
		}
	}
}

// The demo's Redis is miniredis, and its clock can be moved: here time passes, and
// keys expire, between the batches.
func TestGuardAsTimePasses(t *testing.T) {
	ctx := context.Background()
	rapid.Check(t, func(t *rapid.T) {
		server := miniredis.NewMiniRedis()
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		c, err := newCache(CacheConfig{URL: config.Secret("redis://" + server.Addr())}, "buyer", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()

		clock := time.UnixMilli(1_764_000_000_000)
		server.SetTime(clock)
		model := newGuardModel(func() int64 { return clock.UnixMilli() })
		ttl := rapid.SampledFrom([]time.Duration{0, 10 * time.Second}).Draw(t, "ttl")
		highest := map[string]Version{} // ever, expired or not
		for range rapid.IntRange(1, 8).Draw(t, "batches") {
			rows := drawRows(t, clock.UnixMilli(), ttl, -11*time.Second, -10*time.Second, -9*time.Second, -1*time.Second, -time.Millisecond, 0, time.Second)
			got, err := c.write(ctx, rows)
			if want := model.write(rows); err != nil || got != want {
				t.Fatalf("write: %+v, %v, want %+v", got, err, want)
			}
			for _, entity := range entities {
				value, err := c.get(ctx, []byte(entity))
				if want := model.stored[entity].value; err != nil || string(value) != string(want) {
					t.Fatalf("%q holds %q, %v, want %q", entity, value, err, want)
				}
				if value == nil {
					continue
				}
				v := Version(value[6:38])
				if old := highest[entity]; v.less(&old) {
					t.Fatalf("%q: expiry let %s in after %s", entity, v[:], old[:])
				}
				highest[entity] = v
			}
			passed := rapid.SampledFrom([]time.Duration{0, time.Millisecond, time.Second, 10 * time.Second}).Draw(t, "passed")
			clock = clock.Add(passed)
			server.SetTime(clock)
			server.FastForward(passed)
			model.expire()
		}
	})
}

// Expiry as Redis itself does it, which no clock of ours can move.
func TestExpiryLetsNothingOlderIn(t *testing.T) {
	c := startRedis(t).cache(t)
	ctx := context.Background()
	const ttl = time.Hour
	event := time.Now().Add(-ttl).UnixMilli() + 100 // 100 ms to live
	newer := row("u1", newVersion(event, 2, 0), expiry(event, ttl), `"score":2`)
	older := row("u1", newVersion(event-1, 1, 0), expiry(event-1, ttl), `"score":1`)
	if r, err := c.write(ctx, []cacheRow{newer}); err != nil || r != (cacheResult{written: 1}) {
		t.Fatalf("%+v, %v", r, err)
	}
	sawIt, patience := false, time.Now().Add(5*time.Second)
	for {
		r, err := c.write(ctx, []cacheRow{older})
		if err != nil || r.written != 0 || time.Now().After(patience) {
			t.Fatalf("the older one: %+v, %v, want it refused", r, err)
		}
		sawIt = sawIt || r.stale == 1
		if r.expired == 1 {
			break
		}
	}
	if !sawIt {
		t.Skip("the machine slept through the 100 ms")
	}
	for gone := false; !gone; {
		value, err := c.get(ctx, []byte("u1"))
		if err != nil || time.Now().After(patience) {
			t.Fatalf("still holds %s, %v", value, err)
		}
		gone = value == nil
	}
	if r, err := c.write(ctx, []cacheRow{older, newer}); err != nil || r != (cacheResult{expired: 1}) {
		t.Errorf("after expiry: %+v, %v, want it refused", r, err)
	}
}

func TestGuardOverwritesWhatIsNoPrediction(t *testing.T) {
	c := startRedis(t).cache(t)
	ctx := context.Background()
	v := newVersion(1_764_000_000_000, 1, 1)
	mine := row("u1", v, 0, `"score":0.5`)
	for _, foreign := range []string{
		"", "zzz", "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz",
		`{"v":"ffff`, `{"v":"ffffffffffffffffffffffffffffffff`, // cut short
		`{"v":"gggggggggggggggggggggggggggggggg","score":1}`,
		`{"v":"FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF","score":1}`,
		`{"v":"ffffffffffffffffffffffffffffffffff","score":1}`,
		`{"w":"ffffffffffffffffffffffffffffffff","score":1}`,
		`{"v":"           ffffffffffffffffffffff","score":1}`,
	} {
		clientOf(t, c).Set(ctx, "pred:buyer:u1", foreign, 0)
		if r, err := c.write(ctx, []cacheRow{mine}); err != nil || r.written != 1 {
			t.Errorf("over %q: %+v, %v", foreign, r, err)
		}
		if value, err := c.get(ctx, mine.entity); string(value) != string(mine.value) {
			t.Errorf("over %q: holds %q, %v", foreign, value, err)
		}
	}
	clientOf(t, c).Del(ctx, "pred:buyer:u1")
	clientOf(t, c).LPush(ctx, "pred:buyer:u1", "a list")
	if r, err := c.write(ctx, []cacheRow{mine}); err != nil || r.written != 1 {
		t.Errorf("over a list: %+v, %v", r, err)
	}
	// And a prediction with every digit up is one.
	clientOf(t, c).Set(ctx, "pred:buyer:u1", `{"v":"ffffffffffffffffffffffffffffffff"}`, 0)
	if r, err := c.write(ctx, []cacheRow{mine}); err != nil || r.stale != 1 {
		t.Errorf("over the newest there can be: %+v, %v", r, err)
	}
}

// Redis takes the order of Lua's strings from its environment: in Danish "aa" sorts
// after "z", so 01aa… would seem newer than 01b0….
func TestGuardComparesDigitsInAnyLocale(t *testing.T) {
	if _, err := exec.LookPath("localedef"); err != nil {
		t.Skip("no localedef to make a Danish locale with")
	}
	dir := t.TempDir()
	if out, err := exec.Command("localedef", "-i", "da_DK", "-f", "UTF-8", filepath.Join(dir, "da_DK.UTF-8")).CombinedOutput(); err != nil {
		t.Skipf("no Danish locale: %v: %s", err, out)
	}
	for name, value := range map[string]string{"LOCPATH": dir, "LC_ALL": "da_DK.UTF-8"} {
		t.Setenv(name, value)
	}
	c := startRedis(t).cache(t)
	ctx := context.Background()
	if danish, err := clientOf(t, c).Eval(ctx, "return 'aa' > 'b'", nil).Bool(); err != nil || !danish {
		t.Skipf("Redis speaks no Danish: %v", err)
	}
	var rows []cacheRow
	for _, time := range []int64{0x01aa00000000, 0x01ab00000000, 0x01b000000000, 0x0aa000000000} {
		rows = append(rows, row("u1", newVersion(time, 1, 0), 0, `"score":0.5`))
	}
	for i := range rows {
		if r, err := c.write(ctx, rows[i:i+1]); err != nil || r.written != 1 {
			t.Errorf("%s, the newest so far: %+v, %v", rows[i].version[:], r, err)
		}
		if i == 0 {
			continue
		}
		if r, err := c.write(ctx, rows[i-1:i]); err != nil || r.stale != 1 {
			t.Errorf("%s after %s: %+v, %v", rows[i-1].version[:], rows[i].version[:], r, err)
		}
	}
}
