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
	file      string // of the tree, in which old is replaced by new
	old, new  string
	breaks    Invariant
	fault     fault
}

var sabotages = []sabotage{
	{
		name: "commit before delivery", guarantee: "at_least_once", file: "stream/poll.go",
		old:    "ticket, ok := c.tracker.Begin(src.partition, next)",
		new:    "ticket, ok := c.tracker.Begin(src.partition, next)\n\tc.tracker.Done(ticket)",
		breaks: K, fault: fault{strike: func(p *pipeline) { // commits pass what Redis does not take
			p.cache.on.Load().do("CONFIG", "SET", "maxmemory", "1")
			time.Sleep(2 * time.Second)
			p.cache.on.Load().do("CONFIG", "SET", "maxmemory", "0")
		}},
	},
	{
		name: "done after revoke honoured", guarantee: "at_least_once", file: "checkpoint/tracker.go",
		old:    "a != nil && a == tk.assignment",
		new:    "a != nil",
		breaks: K, fault: fault{alone: true, sets: []string{"delivery.drain_timeout=100ms", "delivery.commit_interval=10ms"}, strike: func(p *pipeline) {
			// What is in flight when partitions go waits for Redis; they come back, and are
			// read again from the last commit; then Redis goes on, slowly.
			p.cache.on.Load().do("CONFIG", "SET", "maxmemory", "1")
			time.Sleep(time.Second)
			m := p.join(p.sets("b")...)
			eventually(p.t, "the second member has partitions", func() bool { return p.members[0].says("how=revoked") })
			m.kill()
			eventually(p.t, "the first has them again", func() bool { return p.cluster.alone(p.group) })
			time.Sleep(time.Second)
			mend, err := poison(p.cache.proxy, toxic{Type: "latency", Stream: "downstream", Attributes: map[string]int{"latency": 100}})
			if err != nil {
				p.t.Fatal(err)
			}
			p.cache.on.Load().do("CONFIG", "SET", "maxmemory", "0")
			time.Sleep(4 * time.Second)
			mend()
		}},
	},
	{
		name: "cache without guard", guarantee: "at_least_once", file: "stream/guard.lua",
		old:    "elseif old and older(value, old) and find(old, prediction) then",
		new:    "elseif false then",
		breaks: C, fault: fault{strike: func(*pipeline) { time.Sleep(time.Second) }},
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
			if !slices.ContainsFunc(found, func(v Violation) bool { return v.Invariant == s.breaks }) {
				t.Errorf("%s is not found broken; found %v", s.breaks, found)
			} else {
				t.Logf("found %d violations, such as %v", len(found), found[0])
			}
		})
	}
}

// build compiles the tree with the replacement over it.
func (s *sabotage) build(t testing.TB) string {
	t.Helper()
	original, err := filepath.Abs(filepath.Join(root, s.file))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(original)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), s.old); n != 1 {
		t.Fatalf("%s holds %q %d times, not once", s.file, s.old, n)
	}
	dir := t.TempDir()
	replaced := filepath.Join(dir, filepath.Base(s.file))
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {original: replaced}})
	if err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string]string{
		replaced:                           strings.Replace(string(text), s.old, s.new, 1),
		filepath.Join(dir, "overlay.json"): string(overlay),
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return build(t, "-overlay", filepath.Join(dir, "overlay.json"))
}
