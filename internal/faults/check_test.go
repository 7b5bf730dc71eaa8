package faults

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

var t0 = time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time { return t0.Add(time.Duration(seconds * float64(time.Second))) }

func source(partition int32, offset int64) Source {
	return Source{"in", partition, offset, t0.UnixMilli() + offset}
}

// kept is a history that keeps every promise: two partitions of ten events, one a
// second, each delivered a tenth of a second later and committed at the next second.
// The event at offset 3 is poison; entity u0 has the even offsets of partition 0, u1
// the odd ones, u2 and u3 those of partition 1.
func kept() *History {
	h := &History{AtRest: map[string]Cached{}, Faults: []Fault{{"outage", at(4.5), at(5.5)}}}
	for second := range int64(10) {
		now := float64(second)
		for p := range int32(2) {
			e := Event{Source: source(p, second), Entity: fmt.Sprint("u", int64(2*p)+second%2), At: at(now), Poison: second == 3}
			h.Input = append(h.Input, e)
			h.Commits = append(h.Commits, Commit{At: at(now), Seen: at(now), Topic: "in", Partition: p, Next: second})
			if e.Poison {
				h.Dead = append(h.Dead, DeadLetter{e.Source, at(now + .1), at(now + .2)})
				continue
			}
			h.Output = append(h.Output, Prediction{Source: e.Source, Entity: e.Entity, Score: "0.5", OutPartition: p,
				ScoredAt: at(now), Appended: at(now + .1), Committed: at(now + .1), Seen: at(now + .2)})
			h.Cache = append(h.Cache, CacheSample{at(now + .1), at(now + .1), "redis", e.Entity, version(e.Source)})
			h.AtRest[e.Entity] = Cached{version(e.Source), e.Source.String(), "0.5"}
		}
	}
	return h
}

// find is the index of a prediction.
func (h *History) find(partition int32, offset int64) int {
	return slices.IndexFunc(h.Output, func(p Prediction) bool { return p.Source == source(partition, offset) })
}

// again adds a prediction's repeat to the end of the output.
func (h *History) again(partition int32, offset int64, scored time.Time) {
	p := h.Output[h.find(partition, offset)]
	p.ScoredAt, p.Appended, p.Seen = scored, scored, scored
	h.Output = append(h.Output, p)
}

func remove[T any](s []T, i int) []T { return append(s[:i:i], s[i+1:]...) }

// TestEachBreachIsFound breaks one promise at a time: the checker names exactly that one.
func TestEachBreachIsFound(t *testing.T) {
	for _, c := range []struct {
		name string
		want []Invariant
		once bool // exactly once; else at least once
		do   func(h *History)
	}{
		{"all kept", nil, false, func(*History) {}},
		{"all kept, exactly once", nil, true, func(*History) {}},

		{"never predicted, never committed", []Invariant{L}, false, func(h *History) {
			i := h.find(0, 7) // one that is neither the newest of its entity nor next after the fault
			h.Output = remove(h.Output, i)
			h.Commits = slices.DeleteFunc(h.Commits, func(c Commit) bool { return c.Partition == 0 && c.Next > 7 })
		}},
		{"lost and committed past", []Invariant{L, K}, true, func(h *History) { h.Output = remove(h.Output, h.find(0, 7)) }},
		{"gone before it could be read", nil, false, func(h *History) {
			h.Output = remove(h.Output, h.find(0, 7))
			h.Input[14].Unread = true
		}},

		{"a repeat of committed work", []Invariant{D}, false, func(h *History) { h.again(0, 2, at(8)) }},
		{"a repeat of uncommitted work", nil, false, func(h *History) { h.again(0, 9, at(11)) }},
		{"a repeat by one that was taken for dead", nil, false, func(h *History) { h.again(0, 2, at(8)); h.Expired = true }},
		{"any repeat, exactly once", []Invariant{D}, true, func(h *History) { h.again(0, 9, at(11)) }},
		{"a repeat by one that was taken for dead, exactly once", []Invariant{D}, true, func(h *History) { h.again(0, 2, at(8)); h.Expired = true }},
		{"a prediction of nothing", []Invariant{D}, false, func(h *History) {
			h.Output = append(h.Output, Prediction{Source: source(0, 77), Entity: "u0", Appended: at(9), Seen: at(9)})
		}},
		{"a prediction under another entity", []Invariant{L, D, Q}, false, func(h *History) {
			h.Commits = nil // what has no prediction was not committed
			h.Output[h.find(0, 8)].Entity = "u3"
		}},
		{"the prediction of an aborted event", []Invariant{D}, false, func(h *History) { h.Input[14].Hidden = true }},

		{"two swapped", []Invariant{O}, false, func(h *History) {
			i, j := h.find(1, 6), h.find(1, 7)
			h.Output[i], h.Output[j] = h.Output[j], h.Output[i]
		}},
		{"two swapped, of two output partitions", nil, true, func(h *History) {
			i, j := h.find(1, 6), h.find(1, 7)
			h.Output[i].OutPartition = 5
			h.Output[i], h.Output[j] = h.Output[j], h.Output[i]
		}},

		{"a version that falls", []Invariant{C}, false, func(h *History) {
			h.Commits = nil // K wants what was committed
			h.Cache = append(h.Cache, CacheSample{at(11), at(11), "redis", "u0", version(source(0, 6))})
		}},
		{"a version that falls with Redis' memory", nil, false, func(h *History) {
			h.Cache = append(h.Cache, CacheSample{at(11), at(11), "another life", "u0", version(source(0, 6))})
		}},

		{"cached: an older one", []Invariant{Q}, false, func(h *History) {
			h.AtRest["u0"] = Cached{version(source(0, 6)), source(0, 6).String(), "0.5"}
		}},
		{"cached: nothing", []Invariant{Q}, false, func(h *History) { delete(h.AtRest, "u0") }},
		{"cached: another score", []Invariant{Q}, false, func(h *History) {
			h.AtRest["u0"] = Cached{version(source(0, 8)), source(0, 8).String(), "0.7"}
		}},
		{"cached: what was never output", []Invariant{Q}, true, func(h *History) { h.AtRest["u9"] = h.AtRest["u0"] }},
		{"no cache", nil, false, func(h *History) { h.AtRest = nil }},

		{"a commit that falls", []Invariant{K}, false, func(h *History) {
			h.Commits = append(h.Commits, Commit{At: at(10), Seen: at(10), Topic: "in", Partition: 0, Next: 8})
		}},
		{"a commit of another incarnation", nil, false, func(h *History) {
			h.Commits = append(h.Commits, Commit{At: at(10), Seen: at(10), Topic: "in", Partition: 0, Incarnation: "new", Next: 0})
		}},
		{"a commit before delivery", []Invariant{K}, false, func(h *History) { h.Commits[14].Next = 8 }},
		{"a commit before the cache", []Invariant{K}, false, cacheLate},
		{"a commit before the cache, which is filled from the output", nil, false, func(h *History) {
			h.Projected = true
			cacheLate(h)
		}},
		{"a commit before its dead letter", []Invariant{K}, false, func(h *History) { h.Commits[6].Next = 4 }},

		{"no progress after the fault", []Invariant{P}, false, func(h *History) { late(h, at(17)) }},
		{"late, but in time", nil, false, func(h *History) { late(h, at(16)) }},
		{"no progress because of the next fault", nil, false, func(h *History) {
			late(h, at(17))
			h.Faults = append(h.Faults, Fault{"next", at(7), at(8)})
		}},
		{"no progress because of another fault that lasts", nil, false, func(h *History) {
			late(h, at(17))
			h.Faults = append(h.Faults, Fault{"other", at(5), at(8)})
		}},
		{"written in time, seen by no reader", []Invariant{P}, true, func(h *History) {
			for i := range h.Output {
				if p := &h.Output[i]; p.Partition == 1 && p.Offset > 5 {
					p.Seen = at(20)
				}
			}
		}},

		{"poison without a dead letter", []Invariant{X}, false, func(h *History) {
			h.Dead = remove(h.Dead, 0)
			h.Commits = nil
		}},
		{"poison twice", nil, false, func(h *History) { h.Dead = append(h.Dead, h.Dead[0]) }},
		{"poison twice, exactly once", []Invariant{X}, true, func(h *History) { h.Dead = append(h.Dead, h.Dead[0]) }},
		{"refused, and a dead letter", nil, true, func(h *History) { refuse(h, 8) }},
		{"refused, and a dead letter twice", []Invariant{X}, true, func(h *History) {
			refuse(h, 8)
			h.Dead = append(h.Dead, h.Dead[len(h.Dead)-1])
		}},
		{"refused, then predicted", nil, true, func(h *History) { h.Input[16].Refused = true }},
		{"refused, predicted and a dead letter", []Invariant{X}, true, func(h *History) {
			h.Input[16].Refused = true
			h.Dead = append(h.Dead, DeadLetter{source(0, 8), at(8.1), at(8.2)})
		}},
		{"poison with a prediction", []Invariant{X}, true, func(h *History) {
			h.Input[12].Poison = true
			h.Dead = append(h.Dead, DeadLetter{h.Input[12].Source, at(7), at(7)})
		}},
		{"a good event among the dead", []Invariant{X}, false, func(h *History) { h.Dead = append(h.Dead, DeadLetter{h.Input[12].Source, at(7), at(7)}) }},
		{"a dead letter of nothing", []Invariant{X}, false, func(h *History) { h.Dead = append(h.Dead, DeadLetter{source(0, 99), at(7), at(7)}) }},

		{"cached before it was committed", []Invariant{U}, true, func(h *History) {
			h.Projected = true
			h.Output[h.find(0, 6)].Committed = at(6.2)
		}},
		{"cached and never committed", []Invariant{U}, true, func(h *History) {
			h.Projected = true
			h.Cache = append(h.Cache, CacheSample{at(10), at(10), "redis", "u0", version(source(0, 10))})
		}},
		{"cached before it was committed, beside the output", nil, true, func(h *History) { h.Output[h.find(0, 6)].Committed = at(6.2) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := kept()
			h.ExactlyOnce = c.once
			c.do(h)
			var got []Invariant
			found := Check(h)
			for _, i := range Invariants {
				if slices.ContainsFunc(found, func(v Violation) bool { return v.Invariant == i }) {
					got = append(got, i)
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("violated %v, want %v: %v", got, c.want, found)
			}
		})
	}
}

// refuse makes a dead letter of an event of partition 0 that was cached already.
func refuse(h *History, offset int64) {
	h.Input[2*offset].Refused = true
	h.Output = remove(h.Output, h.find(0, offset))
	h.Dead = append(h.Dead, DeadLetter{source(0, offset), at(8.1), at(8.2)})
}

// cacheLate has the prediction of offset 6 committed when Redis still holds that of 4.
func cacheLate(h *History) {
	i := slices.IndexFunc(h.Cache, func(s CacheSample) bool { return s.Version == version(source(0, 6)) })
	h.Cache[i].Version = version(source(0, 4))
	h.Cache[i].At, h.Cache[i].Answered = at(7), at(7)
	h.Commits[14].Seen = at(6.9)
	slices.SortFunc(h.Cache, func(a, b CacheSample) int { return a.At.Compare(b.At) })
}

// late moves what partition 0 delivers after the fault to a time, and its commits with it.
func late(h *History, to time.Time) {
	for i := range h.Output {
		if p := &h.Output[i]; p.Partition == 0 && p.Offset > 5 {
			p.Appended, p.Seen = to, to
		}
	}
	h.Commits = slices.DeleteFunc(h.Commits, func(c Commit) bool { return c.Partition == 0 && c.Next > 6 })
}

// TestVersionIsTheDocumented takes the example of docs/cache.md.
func TestVersionIsTheDocumented(t *testing.T) {
	at := time.Date(2026, 11, 24, 10, 0, 0, 123e6, time.UTC)
	if v := version(Source{"web.events", 3, 991, at.UnixMilli()}); v != "01a20cff7d7b00000000000003df311f" {
		t.Errorf("version %q", v)
	}
}
