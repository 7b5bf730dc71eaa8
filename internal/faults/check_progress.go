package faults

import (
	"slices"
	"time"
)

func (c Commit) partition() partition { return partition{c.Topic, c.Partition, c.Incarnation} }

// commits is K.
func (k *checker) commits() {
	last := make(map[partition]Commit)
	walks := make(map[partition]*walk)
	for _, c := range k.Commits {
		p := c.partition()
		if before, ok := last[p]; ok && c.Next < before.Next {
			k.violated(K, "the commit of %v fell from %d (%s) to %d (%s)", p, before.Next, clock(before.At), c.Next, clock(c.At))
		}
		last[p] = c
		if walks[p] == nil {
			walks[p] = &walk{left: k.partitions[p]}
		}
		if o := walks[p].ahead(c); o != nil {
			k.violated(K, "%v was committed (%d, %s) before it was delivered (%s)", o.Source, c.Next, clock(c.At), clock(o.appended()))
		}
	}
}

// A walk goes along a partition's outcomes as its commits rise.
type walk struct{ left []*outcome }

// ahead returns an outcome that c passes and that was not delivered by then, or nil.
// Each is looked at when it is first passed: later commits only leave it more time.
func (w *walk) ahead(c Commit) (undelivered *outcome) {
	for len(w.left) > 0 && w.left[0].Offset < c.Next {
		o := w.left[0]
		w.left = w.left[1:]
		if at := o.appended(); o.due() && (at.IsZero() || at.After(c.At)) {
			undelivered = o
		}
	}
	return undelivered
}

// progress is P: of each partition that had an event to be delivered when a fault ended,
// or got one after it, some is seen within Grace. A fault that begins meanwhile excuses
// it: that one's end counts.
func (k *checker) progress() {
	for _, f := range k.Faults {
		for p, os := range k.partitions {
			open := func(o *outcome) bool {
				at := o.seen()
				return o.due() && (at.IsZero() || at.After(f.End))
			}
			i := slices.IndexFunc(os, open)
			if i < 0 {
				continue
			}
			from := f.End
			if os[i].At.After(from) {
				from = os[i].At
			}
			due := from.Add(Grace)
			seen := func(o *outcome) bool { return open(o) && !o.seen().IsZero() && !o.seen().After(due) }
			if !slices.ContainsFunc(os[i:], seen) && !k.broken(f.End, due) {
				k.violated(P, "after %q ended (%s), %v waited for its next, %v, from %s on", f.Name, clock(f.End), p, os[i].Source, clock(from))
			}
		}
	}
}

// broken reports whether a fault began between from and to.
func (k *checker) broken(from, to time.Time) bool {
	return slices.ContainsFunc(k.Faults, func(f Fault) bool { return f.Begin.After(from) && f.Begin.Before(to) })
}
