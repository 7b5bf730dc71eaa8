//go:build faults

package faults

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// A sabotage is a build of scry that breaks a promise, and the fault under which it shows.
type sabotage struct {
	name      string
	guarantee string
	edits     []edit
	breaks    Invariant // "": none
	fault     fault
}

// An edit replaces a text of a file of the tree.
type edit struct{ file, old, new string }

// unknownEnd makes the end of the fifth transaction succeed and look as if it had not.
var unknownEnd = edit{"stream/transaction.go",
	"if err := client.EndTransaction(t.ctx, kgo.TryCommit); err != nil {",
	"err := client.EndTransaction(t.ctx, kgo.TryCommit)\n\tif ends++; ends == 5 {\n\t\terr = errors.New(\"no answer\")\n\t}\n\tif err != nil {"}

func theEndIsUnknown(p *pipeline) {
	eventually(p.t, "a transaction has no known end", func() bool { return p.members[0].says("no answer") })
}

var sabotages = []sabotage{
	{
		name: "commit before delivery", guarantee: "at_least_once",
		edits: []edit{{"stream/poll.go",
			"ticket, ok := c.tracker.Begin(src.partition, next)",
			"ticket, ok := c.tracker.Begin(src.partition, next)\n\tc.tracker.Done(ticket)"}},
		breaks: K, fault: fault{strike: func(p *pipeline) { // commits pass what Redis does not take
			p.cache.on.Load().do("CONFIG", "SET", "maxmemory", "1")
			time.Sleep(2 * time.Second)
			p.cache.on.Load().do("CONFIG", "SET", "maxmemory", "0")
		}},
	},
	{
		name: "done after revoke honoured", guarantee: "at_least_once",
		edits: []edit{{"checkpoint/tracker.go",
			"a != nil && a == tk.assignment {",
			"a != nil {\n\t\tif a != tk.assignment {\n\t\t\ttk.seq = a.first\n\t\t}"}},
		breaks: K, fault: fault{alone: true, sets: []string{"delivery.drain_timeout=100ms", "delivery.commit_interval=10ms"}, strike: func(p *pipeline) {
			// What is in flight when partitions go waits for Redis; they come back, and are
			// read again, in one batch; then Redis goes on, slowly.
			p.cache.on.Load().do("CONFIG", "SET", "maxmemory", "1")
			time.Sleep(time.Second)
			p.load.pause()
			m := p.join(p.sets("b")...)
			eventually(p.t, "the second member has partitions", func() bool { return p.members[0].says("how=revoked") })
			m.kill()
			eventually(p.t, "the first has them again", func() bool { return p.cluster.alone(p.group) })
			time.Sleep(time.Second)
			mend, err := poison(p.cache.proxy, toxic{Type: "latency", Stream: "downstream", Attributes: map[string]int{"latency": 200}})
			if err != nil {
				p.t.Fatal(err)
			}
			p.cache.on.Load().do("CONFIG", "SET", "maxmemory", "0")
			eventually(p.t, "Redis is tried again", func() bool { return p.members[0].says("dependency is back") })
			time.Sleep(3 * time.Second)
			mend()
			p.load.start()
		}},
	},
	{
		name: "cache without guard", guarantee: "at_least_once",
		edits: []edit{{"stream/guard.lua",
			"elseif old and older(value, old) and find(old, prediction) then",
			"elseif false then"}},
		breaks: C, fault: fault{strike: func(*pipeline) { time.Sleep(time.Second) }},
	},
	{
		name: "commit before it is copied to the cache", guarantee: "exactly_once",
		edits: []edit{{"stream/poll.go",
			"ticket, ok := c.tracker.Begin(src.partition, next)",
			"ticket, ok := c.tracker.Begin(src.partition, next)\n\tif c.projects {\n\t\tc.tracker.Done(ticket)\n\t}"}},
		breaks: Q, fault: killProjecting,
	},
	{
		name: "cache filled from what is uncommitted", guarantee: "exactly_once",
		edits:  []edit{{"stream/client.go", "kgo.FetchIsolationLevel(kgo.ReadCommitted())", "kgo.FetchIsolationLevel(kgo.ReadUncommitted())"}},
		breaks: U, fault: projected(killAt("flush", 20)),
	},
	{
		name: "an unknown end of a transaction", guarantee: "exactly_once", // no sabotage: what the next one needs
		edits: []edit{unknownEnd, {"stream/transaction.go",
			"// settle notes that topic", "var ends int\n\n// settle notes that topic"}},
		fault: fault{alone: true, strike: theEndIsUnknown},
	},
	{
		name: "unknown end of a transaction retried", guarantee: "exactly_once",
		edits: []edit{unknownEnd, {"stream/transaction.go",
			"// settle notes that topic", "var (\n\tends int\n\tagain = map[topicPartition]int64{}\n)\n\n// settle notes that topic"},
			{"stream/transaction.go",
				`return fmt.Errorf("end: %w", err)`, `for _, b := range t.batches {
			for _, run := range b.runs {
				p := topicPartition{run.source.partition.Topic, run.source.partition.ID}
				if _, ok := again[p]; !ok {
					again[p] = b.records[run.from].Offset
				}
			}
		}
		return fmt.Errorf("end: %w", err)`},
			{"stream/resume.go",
				"from := checkpoint.Position{Next: d.Next, LeaderEpoch: -1}",
				`if next, ok := again[topicPartition{topic, id}]; ok {
				d.Next = next
				delete(again, topicPartition{topic, id})
			}
			from := checkpoint.Position{Next: d.Next, LeaderEpoch: -1}`}},
		breaks: D, fault: fault{alone: true, strike: theEndIsUnknown},
	},
	{
		name: "produce promise not looked at", guarantee: "exactly_once",
		edits:  []edit{{"stream/deliver.go", "if err != nil && c.refused(b, r, err) {", "if false {"}},
		breaks: L, fault: fault{alone: true, strike: func(p *pipeline) { // the brokers refuse some
			p.cluster.limitMessages(p.t, p.out, "100")
			time.Sleep(2 * time.Second)
			p.cluster.limitMessages(p.t, p.out, "1000000")
		}},
	},
}

// TestSabotage shows that the checker finds what it is there to find.
func TestSabotage(t *testing.T) {
	c := world(t)
	for _, s := range sabotages {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			p := newPipeline(t, c, combination{s.guarantee, "classic"}, s.build(t))
			p.run(s.fault)
			found := Check(p.rest())
			if s.breaks == "" {
				if len(found) > 0 {
					t.Errorf("%d violations, such as %v", len(found), found[0])
				}
				return
			}
			i := slices.IndexFunc(found, func(v Violation) bool { return v.Invariant == s.breaks })
			if i < 0 {
				t.Fatalf("%s is not found broken; found %v", s.breaks, found)
			}
			t.Logf("found %d violations, such as %v", len(found), found[i])
		})
	}
}

// build compiles the tree with the edits over it.
func (s *sabotage) build(t testing.TB) string {
	t.Helper()
	dir, texts, replace := t.TempDir(), map[string]string{}, map[string]string{}
	for _, e := range s.edits {
		original, err := filepath.Abs(filepath.Join(root, e.file))
		if err != nil {
			t.Fatal(err)
		}
		if texts[original] == "" {
			text, err := os.ReadFile(original)
			if err != nil {
				t.Fatal(err)
			}
			texts[original] = string(text)
		}
		if n := strings.Count(texts[original], e.old); n != 1 {
			t.Fatalf("%s holds %q %d times, not once", e.file, e.old, n)
		}
		texts[original] = strings.Replace(texts[original], e.old, e.new, 1)
		replace[original] = filepath.Join(dir, filepath.Base(e.file))
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	texts["overlay"], replace["overlay"] = string(overlay), filepath.Join(dir, "overlay.json")
	for original, text := range texts {
		if err := os.WriteFile(replace[original], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return build(t, "-overlay", replace["overlay"])
}
