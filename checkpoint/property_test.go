package checkpoint

import (
	"flag"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// finish reads every log to its end: whatever happened before, no record may be
// missing. One more record wakes a partition whose last acknowledgement lied.
func (w *world) finish(t *rapid.T) {
	for _, l := range w.logs {
		l.write(t)
		if l.life == nil {
			w.assign(l)
		}
		for l.life.read < l.end {
			w.poll(t, l)
		}
		for _, b := range slices.Backward(l.life.batches) {
			if !b.done {
				w.done(l, b)
			}
		}
	}
	w.check(t)
	c := w.take(t)
	w.apply(c)
	w.acknowledge(c)
	w.check(t)
	for _, l := range w.logs {
		if l.committed.Next != l.end {
			t.Fatalf("%v: committed %d, the log ends at %d", l.p, l.committed.Next, l.end)
		}
		for _, o := range l.records {
			if !l.durable[o] {
				t.Fatalf("%v: record %d was never finished", l.p, o)
			}
		}
	}
	if m := w.tracker.Committable(); len(m) > 0 {
		t.Fatalf("all is committed, yet %v is committable", m)
	}
}

// The default of 30 steps rarely gets past the first batches; the flag still wins.
func init() {
	for name, value := range map[string]string{"rapid.steps": "300", "rapid.checks": "200"} {
		if err := flag.Set(name, value); err != nil {
			panic(err)
		}
	}
}

func TestTrackerAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld()
		poll := func(t *rapid.T) { w.poll(t, w.pick(t, assigned)) }
		done := func(t *rapid.T) { // now and then one that is done already
			l := w.pick(t, polled)
			w.done(l, l.life.batches[rapid.IntRange(0, len(l.life.batches)-1).Draw(t, "batch")])
		}
		t.Repeat(map[string]func(*rapid.T){
			"":          w.check,
			"write":     func(t *rapid.T) { w.pick(t, every).write(t) },
			"assign":    func(t *rapid.T) { w.assign(w.pick(t, unassigned)) },
			"poll":      poll,
			"poll more": poll, // twice as likely, or little is ever in flight
			"done":      done,
			"done more": done,
			"late done": func(t *rapid.T) {
				l := w.pick(t, hasDead)
				w.tracker.Done(l.dead[rapid.IntRange(0, len(l.dead)-1).Draw(t, "ticket")])
			},
			"revoke or lost": func(t *rapid.T) {
				l := w.pick(t, assigned)
				want := l.life.inFlight()
				if got := w.tracker.Revoke(l.p); got != want {
					t.Fatalf("Revoke(%v) = %d in flight, want %d", l.p, got, want)
				}
				l.endLife()
			},
			"assign anew": func(t *rapid.T) {
				l := w.pick(t, assigned)
				l.endLife()
				w.assign(l)
			},
			"another member reads": func(t *rapid.T) {
				l := w.pick(t, unassigned)
				for _, o := range l.records {
					l.durable[o] = true
				}
				l.committed.Next, l.stored = l.end, true
			},
			"rewind the group": func(t *rapid.T) {
				l := w.pick(t, unassigned)
				l.committed = Position{Next: int64(rapid.IntRange(0, int(l.committed.Next)).Draw(t, "to"))}
			},
			"take":                     func(t *rapid.T) { w.commits = append(w.commits, w.take(t)) },
			"apply":                    func(t *rapid.T) { w.apply(w.oldest(t, false)) },
			"fail":                     func(t *rapid.T) { w.drop(w.oldest(t, false)) },
			"lose the acknowledgement": func(t *rapid.T) { w.drop(w.oldest(t, true)) },
			"acknowledge":              func(t *rapid.T) { w.acknowledge(w.oldest(t, true)) }, // and perhaps again
			"acknowledge the newest": func(t *rapid.T) {
				w.oldest(t, true)
				for _, c := range slices.Backward(w.commits) {
					if c.applied {
						w.acknowledge(c)
						return
					}
				}
			},
			"crash": func(t *rapid.T) {
				if rapid.IntRange(0, 4).Draw(t, "luck") > 0 {
					t.Skip("not this time")
				}
				w.tracker, w.commits = NewTracker(), nil
				for _, l := range w.logs {
					if l.life != nil {
						l.endLife()
					}
				}
			},
		})
		w.finish(t)
	})
}

// oldest keeps requests in their order: a client has one commit under way at a time.
func (w *world) oldest(t *rapid.T, applied bool) *commit {
	for _, c := range w.commits {
		if c.applied == applied {
			return c
		}
	}
	t.Skip("no commit under way")
	return nil
}

func (w *world) drop(c *commit) {
	w.commits = slices.DeleteFunc(w.commits, func(x *commit) bool { return x == c })
}
