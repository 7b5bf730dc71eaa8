package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"scry/internal/testenv"
	"scry/predictor"
)

// editedBundle is a bundle with its features.yaml changed: old, new, old, new.
func editedBundle(t *testing.T, model string, edits ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), filepath.Base(model)) // its name is the model's
	if err := os.CopyFS(dir, os.DirFS(model)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "features.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for ; len(edits) > 0; edits = edits[2:] {
		if !bytes.Contains(text, []byte(edits[0])) {
			t.Fatalf("features.yaml has no %s", edits[0])
		}
		text = bytes.Replace(text, []byte(edits[0]), []byte(edits[1]), 1)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A past is a topic that was filled over some time: events of a span, and newer ones of
// every second user.
type past struct {
	*world
	from, to time.Time
	events   [][]byte
	of       map[string]int // id -> event
	poison   int
	newer    map[string]bool // users with an event after the span
}

func (w *world) past(n int) *past {
	w.t.Helper()
	p := &past{world: w, to: time.Now().Add(-time.Hour).UTC().Truncate(time.Second), of: map[string]int{}, newer: map[string]bool{}}
	p.from = p.to.Add(-time.Hour)
	shared, _ := sharedEvents(w.t)
	at := func(event []byte, when time.Time) []byte { // its own time is its record's
		ts := event[bytes.Index(event, []byte(`"ts":"`))+6:]
		ts = ts[:bytes.IndexByte(ts, '"')]
		return bytes.Replace(event, ts, when.AppendFormat(nil, time.RFC3339Nano), 1)
	}
	var records []*kgo.Record
	for i := range n {
		when := p.from.Add(p.to.Sub(p.from) * time.Duration(i) / time.Duration(n))
		e := at(shared[i%len(shared)], when)
		p.events = append(p.events, e)
		records = append(records, &kgo.Record{Topic: w.in, Key: []byte(user(e)), Value: e, Timestamp: when})
	}
	for i := range 30 {
		p.poison++
		records = append(records, &kgo.Record{Topic: w.in, Key: []byte(fmt.Sprint(i)), Value: poison, Timestamp: p.to.Add(-time.Millisecond)})
	}
	users := map[string]bool{}
	for i, e := range shared {
		if u := user(e); !users[u] {
			users[u] = true
			if len(users)%2 == 0 {
				p.newer[u] = true
				when := p.to.Add(time.Duration(i) * time.Millisecond)
				records = append(records, &kgo.Record{Topic: w.in, Key: []byte(u), Value: at(e, when), Timestamp: when})
			}
		}
	}
	if err := w.client.ProduceSync(context.Background(), records...).FirstErr(); err != nil {
		w.t.Fatal(err)
	}
	for i, r := range records[:n] {
		p.of[fmt.Sprintf("%s-%d-%d", r.Topic, r.Partition, r.Offset)] = i
	}
	return p
}

// span is the flags that mean it.
func (p *past) span() []string {
	return []string{"--from", p.from.Format(time.RFC3339), "--to", p.to.Format(time.RFC3339)}
}

// cached is every prediction that Redis holds.
func (p *past) cached() map[string]string {
	p.t.Helper()
	ctx, all := context.Background(), map[string]string{}
	keys, err := p.redis.Keys(ctx, "pred:osi-xgb:*").Result()
	if err != nil {
		p.t.Fatal(err)
	}
	for _, k := range keys {
		if all[k[strings.LastIndexByte(k, ':')+1:]], err = p.redis.Get(ctx, k).Result(); err != nil {
			p.t.Fatal(err)
		}
	}
	return all
}

// progress is how many records of the input replays have committed, and their groups.
func (p *past) progress() (n int64, groups []string) {
	p.t.Helper()
	adm, ctx := kadm.NewClient(p.client), context.Background()
	all, err := adm.ListGroups(ctx)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, g := range all.Groups() {
		if !strings.HasPrefix(g, p.in+".replay.") {
			continue
		}
		groups = append(groups, g)
		offsets, err := adm.FetchOffsets(ctx, g)
		if err != nil {
			p.t.Fatal(err)
		}
		offsets.Each(func(o kadm.OffsetResponse) { n += o.At })
	}
	return n, groups
}

func (p *past) lag() int64 {
	lag, err := kadm.NewClient(p.client).Lag(context.Background(), p.in)
	if err != nil || lag[p.in].FetchErr != nil {
		return -1
	}
	return lag[p.in].Lag.Total()
}

func (p *past) end(topic string) (n int64) {
	p.t.Helper()
	ends, err := kadm.NewClient(p.client).ListEndOffsets(context.Background(), topic)
	if err != nil {
		p.t.Fatal(err)
	}
	ends.Each(func(o kadm.ListedOffset) { n += o.Offset })
	return n
}

// slowly is the URL of a Redis that takes so much longer for each request.
func slowly(t *testing.T, addr string, by time.Duration) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("tcp", addr)
			if err != nil {
				from.Close()
				continue
			}
			go func() {
				defer from.Close()
				_, _ = io.Copy(from, to)
			}()
			go func() {
				defer to.Close()
				for b := make([]byte, 1<<20); ; {
					n, err := from.Read(b)
					if err != nil {
						return
					}
					time.Sleep(by) // the slowness itself
					if _, err := to.Write(b[:n]); err != nil {
						return
					}
				}
			}()
		}
	}()
	return "redis://" + l.Addr().String() + "/0"
}

// TestReplayBesideRun replays a span with another model while the pipeline runs, kills
// the replay, hard, midway, and lets it go on: each event of the span has its prediction
// in the other topic, no newer prediction in Redis is touched, and the pipeline's group and
// dead letters are as they were.
func TestReplayBesideRun(t *testing.T) {
	const n = 20_000
	p := newWorld(t, 4).past(n)
	model := filepath.Join(testenv.Shared(t), "models", "osi-xgb")
	other := editedBundle(t, model, "page.bounce_rate", "page.bounces")
	d, err := predictor.Load(other, predictor.Config{Threshold: 0.5, Entity: "user_id"})
	if err != nil {
		t.Fatal(err)
	}
	live := p.scry("run", "-c", p.config(model))
	total := int64(n + p.poison + len(p.newer))
	p.eventually("the pipeline has read all", func() bool { return p.lag() == 0 && p.end(p.out)+p.end(p.dlq) == total })
	before := p.cached()

	adm := kadm.NewClient(p.client)
	again := p.in + ".again"
	if _, err := adm.CreateTopic(context.Background(), 4, 1, nil, again); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = adm.DeleteTopics(context.Background(), again) })
	args := append([]string{"replay", "-c", p.config(other), "--topic", again, "--set", "delivery.max_in_flight=1MiB", "--set", "kafka.session_timeout=6s",
		"--set", "cache.url=" + slowly(t, p.redis.Options().Addr, 200*time.Millisecond)}, p.span()...)
	cut := p.scry(args...)
	p.eventually("the replay has come somewhere", func() bool { at, _ := p.progress(); return at > 0 })
	_ = cut.Process.Kill()
	_ = cut.Wait()
	came, groups := p.progress()
	if came <= 0 || came >= int64(n) || len(groups) != 1 {
		t.Fatalf("killed at %d of %d, groups %v", came, n, groups)
	}
	// The next one is let in when the group has given up the killed one.
	code, out, log := scryNow(t, append(args, "--json")...)
	var r replayReport
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != 0 {
		t.Fatalf("exit %d, %v\n%s%s", code, err, out, log)
	}
	if r.Read != int64(n+p.poison)-came || !r.Resumed || r.Read != r.Predictions+r.Rejected || r.Model.Version != d.Version || r.Topic != again {
		t.Errorf("after %d of %d: %+v", came, n+p.poison, r)
	}

	seen := map[string]bool{}
	p.read(again, time.Minute, func(rec *kgo.Record) bool {
		var got prediction
		if err := json.Unmarshal(rec.Value, &got); err != nil {
			t.Fatal(err)
		}
		i, ok := p.of[got.ID]
		if !ok {
			t.Fatalf("%s is not of the span", got.ID)
		}
		if !seen[got.ID] && i%50 == 0 {
			if direct, err := d.Score(p.events[i]); err != nil || direct[0] != got.Score {
				t.Errorf("%s: score %v, a direct call gives %v, %v", got.ID, got.Score, direct, err)
			}
		}
		seen[got.ID] = true
		return len(seen) == n
	})
	after := p.cached()
	if len(after) != len(before) {
		t.Errorf("%d keys, were %d", len(after), len(before))
	}
	for u, was := range before {
		if p.newer[u] && after[u] != was {
			t.Errorf("the newer prediction of %s, %s, was replaced by %s", u, was, after[u])
		}
		if !p.newer[u] && !strings.Contains(after[u], d.Name+"/"+d.Version) {
			t.Errorf("%s, who has no newer event, still has %s", u, after[u])
		}
	}
	if _, groups := p.progress(); len(groups) != 0 {
		t.Errorf("groups %v are left", groups)
	}
	if p.lag() != 0 || p.end(p.out)+p.end(p.dlq) != total || live.ProcessState != nil {
		t.Errorf("the pipeline: lag %d, %d predictions and dead letters, want %d", p.lag(), p.end(p.out)+p.end(p.dlq), total)
	}
}

// TestReplayForPeople: without --topic and --no-cache, and what is said.
func TestReplayForPeople(t *testing.T) {
	p := newWorld(t, 2).past(500)
	config := p.config(filepath.Join(testenv.Shared(t), "models", "osi-xgb"))
	code, out, log := scryNow(t, append([]string{"replay", "-c", config, "--no-cache"}, p.span()...)...)
	for _, want := range []string{"530 events: 500 predictions, 0 tombstones, 30 rejected, in ", "30 malformed, such as " + p.in + "-"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("exit %d, it does not say %q:\n%s%s", code, want, out, log)
		}
	}
	if p.end(p.out) != 500 || p.end(p.dlq) != 0 || len(p.cached()) != 0 {
		t.Errorf("%d predictions, %d dead letters, %d keys", p.end(p.out), p.end(p.dlq), len(p.cached()))
	}
	if code, out, _ = scryNow(t, append([]string{"replay", "-c", config}, p.span()...)...); code != 0 || !strings.Contains(out, "cache: "+count(len(p.cached()))+" keys written") {
		t.Errorf("exit %d:\n%s", code, out)
	}
	for _, bad := range []struct {
		args []string
		says string
	}{
		{[]string{"--from", "2h", "--topic", p.in}, "is an input topic"},
		{[]string{"--from", "2h", "--topic", p.dlq}, "is the output topic too"},
		{[]string{"--to", "2h"}, "give --from"},
		{[]string{"--from", "1h", "--to", "2h"}, "begin before it ends"},
		{[]string{"--from", "yesterday"}, "write a time such as"},
		{[]string{"--from", "2h", "--against", "x", "--topic", "y"}, "writes nothing"},
	} {
		if code, _, log := scryNow(t, append([]string{"replay", "-c", config}, bad.args...)...); code != exitUsage || !strings.Contains(log, bad.says) {
			t.Errorf("%v: exit %d, %s", bad.args, code, log)
		}
	}
}

// TestReplayAgainst compares two models on real events: the differences are those that
// direct calls give, and nothing is written.
func TestReplayAgainst(t *testing.T) {
	p := newWorld(t, 3).past(4000)
	model := filepath.Join(testenv.Shared(t), "models", "osi-xgb")
	other := editedBundle(t, model, "page.bounce_rate", "page.bounces", "page.value, missing: nan", "page.value")
	champion, err := predictor.Load(model, predictor.Config{Threshold: 0.5, Entity: "user_id"})
	if err != nil {
		t.Fatal(err)
	}
	challenger, err := predictor.Load(other, predictor.Config{Threshold: 0.5, Entity: "user_id"})
	if err != nil {
		t.Fatal(err)
	}
	var rejected, compared, agreed int64
	var total float64
	deltas := map[string]float64{}
	for id, i := range p.of {
		a, err := champion.Score(p.events[i])
		if err != nil {
			t.Fatal(err)
		}
		b, err := challenger.Score(p.events[i])
		if err != nil {
			rejected++
			continue
		}
		compared++
		deltas[id] = b[0] - a[0]
		total += b[0] - a[0]
		if (a[0] >= 0.5) == (b[0] >= 0.5) {
			agreed++
		}
	}
	args := append([]string{"replay", "-c", p.config(model), "--against", other}, p.span()...)
	code, out, log := scryNow(t, append(args, "--json")...)
	var c comparison
	if err := json.Unmarshal([]byte(out), &c); err != nil || code != 0 {
		t.Fatalf("exit %d, %v\n%s%s", code, err, out, log)
	}
	if c.Read != int64(4000+p.poison) || c.Events != compared || c.RejectedBoth != int64(p.poison) || c.RejectedChampion.Events != 0 ||
		c.RejectedChallenger.Events != rejected || c.RejectedChallenger.Reasons["missing_feature"] != rejected || rejected == 0 {
		t.Errorf("%s\nwant %d compared, %d rejected by the challenger", out, compared, rejected)
	}
	if c.Champion.Version != champion.Version || c.Challenger.Version != challenger.Version || c.Labelled != 0 {
		t.Errorf("%+v", c)
	}
	sizes := slices.SortedFunc(maps.Values(deltas), func(a, b float64) int { return cmp.Compare(math.Abs(b), math.Abs(a)) })
	if d := c.Deltas; math.Abs(d.Mean-total/float64(compared)) > 1e-9 || d.MaxAbs != math.Abs(sizes[0]) || d.MaxAbs == 0 {
		t.Errorf("deltas %+v, want mean %v, greatest %v", d, total/float64(compared), sizes[0])
	}
	for i, w := range c.Worst {
		if w.Delta != deltas[w.ID] || math.Abs(w.Delta) != math.Abs(sizes[i]) {
			t.Errorf("worst %d: %+v, want %v", i, w, sizes[i])
		}
	}
	_, out, _ = scryNow(t, args...)
	t.Log(out)
	for _, want := range []string{count(compared) + " compared", count(rejected) + " rejected by the challenger alone", "GREATEST DIFFERENCES", c.Worst[0].ID} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	if _, groups := p.progress(); p.end(p.out)+p.end(p.dlq) != 0 || len(p.cached())+len(groups) != 0 {
		t.Errorf("something was written, or committed: groups %v", groups)
	}
}
