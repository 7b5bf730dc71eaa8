package faults

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Check returns every violation in a history; none means that the promises were kept.
func Check(h *History) []Violation {
	k := newChecker(h)
	k.lost()
	k.repeated()
	k.order()
	k.cacheRises()
	k.cacheAtRest()
	k.commits()
	k.progress()
	k.poison()
	k.uncommitted()
	return k.found
}

type checker struct {
	*History
	events     map[Source]*outcome
	partitions map[partition][]*outcome // by offset
	strange    []string                 // output without input
	found      []Violation
}

// A partition is one of an incarnation of a topic.
type partition struct {
	topic       string
	id          int32
	incarnation string
}

func (p partition) String() string { return fmt.Sprintf("%s-%d", p.topic, p.id) }

// An outcome is what became of an event.
type outcome struct {
	Event
	predictions []*Prediction // in the output's order
	dead        []*DeadLetter
}

func (o *outcome) partition() partition { return partition{o.Topic, o.Partition, o.Incarnation} }

// due says whether the event must end as a prediction or a dead letter.
func (o *outcome) due() bool { return !o.Unread && !o.Hidden }

// appended is when the event was first delivered, seen when a reader could know it;
// zero: never.
func (o *outcome) appended() time.Time {
	return o.first(func(p *Prediction) time.Time { return p.Appended }, func(d *DeadLetter) time.Time { return d.Appended })
}

func (o *outcome) seen() time.Time {
	return o.first(func(p *Prediction) time.Time { return p.Seen }, func(d *DeadLetter) time.Time { return d.Seen })
}

func (o *outcome) first(predicted func(*Prediction) time.Time, died func(*DeadLetter) time.Time) (first time.Time) {
	note := func(at time.Time) {
		if first.IsZero() || at.Before(first) {
			first = at
		}
	}
	for _, p := range o.predictions {
		note(predicted(p))
	}
	for _, d := range o.dead {
		note(died(d))
	}
	return first
}

func newChecker(h *History) *checker {
	k := &checker{History: h, events: make(map[Source]*outcome, len(h.Input)), partitions: make(map[partition][]*outcome)}
	for _, e := range h.Input {
		o := &outcome{Event: e}
		k.events[e.Source] = o
		k.partitions[o.partition()] = append(k.partitions[o.partition()], o)
	}
	for _, os := range k.partitions {
		slices.SortFunc(os, func(a, b *outcome) int { return cmp.Compare(a.Offset, b.Offset) })
	}
	for i := range h.Output {
		p := &h.Output[i]
		if o := k.events[p.Source]; o != nil && o.Entity == p.Entity {
			o.predictions = append(o.predictions, p)
		} else {
			k.strange = append(k.strange, fmt.Sprintf("prediction %v of entity %q has no such event", p.Source, p.Entity))
		}
	}
	for i := range h.Dead {
		d := &h.Dead[i]
		if o := k.events[d.Source]; o != nil {
			o.dead = append(o.dead, d)
		} else {
			k.violated(X, "dead letter %v is of no poison event", d.Source)
		}
	}
	return k
}

func (k *checker) violated(i Invariant, format string, args ...any) {
	k.found = append(k.found, Violation{i, fmt.Sprintf(format, args...)})
}

// lost is L.
func (k *checker) lost() {
	for _, os := range k.partitions {
		for _, o := range os {
			if o.due() && !o.Poison && len(o.predictions)+len(o.dead) == 0 {
				k.violated(L, "%v has no prediction", o.Source)
			}
		}
	}
}

// repeated is D.
func (k *checker) repeated() {
	for _, what := range k.strange {
		k.violated(D, "%s", what)
	}
	for p, os := range k.partitions {
		at := k.committedAt(p)
		for _, o := range os {
			if o.Hidden && len(o.predictions)+len(o.dead) > 0 {
				k.violated(D, "%v was of an aborted transaction and has an outcome", o.Source)
			}
			if k.ExactlyOnce && len(o.predictions) > 1 {
				k.violated(D, "%v has %d predictions", o.Source, len(o.predictions))
			}
			if k.ExactlyOnce || k.Expired || len(o.predictions) < 2 {
				continue
			}
			committed := at(o.Offset)
			for _, p := range o.predictions[1:] {
				if !committed.IsZero() && p.ScoredAt.After(committed.Add(Slack)) {
					k.violated(D, "%v was committed by %s and scored again at %s", o.Source, clock(committed), clock(p.ScoredAt))
				}
			}
		}
	}
}

// committedAt returns a function that tells when an offset was first committed past.
func (k *checker) committedAt(p partition) func(offset int64) time.Time {
	var rises []Commit
	for _, c := range k.Commits {
		if c.partition() == p && (len(rises) == 0 || c.Next > rises[len(rises)-1].Next) {
			rises = append(rises, c)
		}
	}
	return func(offset int64) time.Time {
		i, _ := slices.BinarySearchFunc(rises, offset+1, func(c Commit, next int64) int { return cmp.Compare(c.Next, next) })
		if i == len(rises) {
			return time.Time{}
		}
		return rises[i].At
	}
}

// order is O. A repeat starts further back, which is no disorder: whoever drops every
// later record of an id reads each partition in order.
func (k *checker) order() {
	type stream struct {
		from partition
		out  int32
	}
	last := make(map[stream]*Prediction)
	seen := make(map[Source]bool, len(k.events))
	for i := range k.Output {
		p := &k.Output[i]
		o := k.events[p.Source]
		if o == nil || seen[p.Source] {
			continue
		}
		seen[p.Source] = true
		s := stream{o.partition(), p.OutPartition}
		if before := last[s]; before != nil && before.Offset > p.Offset {
			k.violated(O, "%v comes after %v in partition %d of the output", p.Source, before.Source, p.OutPartition)
			continue
		}
		last[s] = p
	}
}

// poison is X.
func (k *checker) poison() {
	for _, os := range k.partitions {
		for _, o := range os {
			switch n := len(o.dead); {
			case !o.due():
			case o.Poison && n == 0:
				k.violated(X, "%v is poison and no dead letter", o.Source)
			case o.Poison && n > 1 && k.ExactlyOnce:
				k.violated(X, "%v is %d dead letters", o.Source, n)
			case o.Poison && len(o.predictions) > 0:
				k.violated(X, "%v is poison and has a prediction", o.Source)
			case o.Refused && n > 0 && n+len(o.predictions) > 1 && k.ExactlyOnce:
				k.violated(X, "%v has %d predictions and is %d dead letters", o.Source, len(o.predictions), n)
			case !o.Poison && !o.Refused && n > 0:
				k.violated(X, "%v is a dead letter and no poison", o.Source)
			}
		}
	}
}

func clock(t time.Time) string { return t.UTC().Format("15:04:05.000") }
