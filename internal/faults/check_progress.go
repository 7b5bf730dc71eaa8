package faults

import (
	"maps"
	"slices"
	"time"
)

func (c Commit) partition() partition { return partition{c.Topic, c.Partition, c.Incarnation} }

// commits is K.
func (k *checker) commits() {
	last := make(map[partition]Commit)
	left := maps.Clone(k.partitions) // what no commit has passed
	held := newHolding(k)
	for _, c := range k.Commits {
		held.until(c.Seen)
		p := c.partition()
		if before, ok := last[p]; ok && c.Next < before.Next {
			k.violated(K, "the commit of %v fell from %d (%s) to %d (%s)", p, before.Next, clock(before.At), c.Next, clock(c.At))
		}
		last[p] = c
		// Each event is looked at when it is first passed: later commits only leave it more time.
		for ; len(left[p]) > 0 && left[p][0].Offset < c.Next; left[p] = left[p][1:] {
			o := left[p][0]
			if !o.due() {
				continue
			}
			if at := o.appended(); at.IsZero() || at.After(c.At) {
				k.violated(K, "%v was committed (%d, %s) before it was delivered (%s)", o.Source, c.Next, clock(c.At), clock(at))
			}
			if !k.Projected {
				held.require(o)
			}
		}
	}
	held.until(time.Time{})
}

// A holding sets the cache against the commits: what was committed is in it.
type holding struct {
	*checker
	left     []CacheSample
	required map[string]*outcome // by entity, the newest committed
}

func newHolding(k *checker) *holding {
	return &holding{checker: k, left: k.Cache, required: make(map[string]*outcome)}
}

func (h *holding) require(o *outcome) {
	if r := h.required[o.Entity]; o.Entity != "" && len(o.predictions) > 0 && (r == nil || version(r.Source) < version(o.Source)) {
		h.required[o.Entity] = o
	}
}

// until looks at the samples up to a time; zero: all.
func (h *holding) until(at time.Time) {
	for ; len(h.left) > 0 && (at.IsZero() || !h.left[0].At.After(at)); h.left = h.left[1:] {
		s := h.left[0]
		if r := h.required[s.Entity]; r != nil && s.Server == h.Cache[0].Server && s.Version < version(r.Source) {
			h.violated(K, "%v was committed before %s was cached: %q at %s", r.Source, s.Entity, s.Version, clock(s.At))
			delete(h.required, s.Entity) // said once
		}
	}
}

// progress is P: of each partition that had an event to be delivered when a fault ended,
// or got one after it, some is seen within Grace. Another fault meanwhile excuses it:
// that one's end counts.
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

// broken reports whether a fault lasted after from and before to.
func (k *checker) broken(from, to time.Time) bool {
	return slices.ContainsFunc(k.Faults, func(f Fault) bool { return f.End.After(from) && f.Begin.Before(to) })
}
