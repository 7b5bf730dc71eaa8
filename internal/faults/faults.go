// Package faults judges what a consumer did while things around it broke: Check holds
// a History against what docs/delivery.md promises. It is pure: whoever injects faults
// collects the history, from kfake, from real brokers or by hand.
package faults

import (
	"fmt"
	"time"
)

// An Invariant is one of the promises, by its letter.
type Invariant string

// The invariants.
const (
	L Invariant = "L" // no input is lost
	D Invariant = "D" // no duplicate (exactly once), or only of uncommitted work (at least once); no output without input
	O Invariant = "O" // order per source partition, repeats dropped (each later one of an id)
	C Invariant = "C" // a key's cached version never falls
	Q Invariant = "Q" // at rest each key's cached prediction is the output record with the greatest version
	K Invariant = "K" // commits never regress nor pass what was delivered
	P Invariant = "P" // progress within Grace of a fault's end
	X Invariant = "X" // each poison event is a dead letter exactly once (at least once: at least once), and nothing else is
	U Invariant = "U" // a cache that is filled from the output shows nothing that is uncommitted there
)

// Invariants are all of them, in the order reports list them.
var Invariants = []Invariant{L, D, O, C, Q, K, P, X, U}

// Grace is what a consumer has after a fault's end until it must be seen to go on.
const Grace = 10 * time.Second

// Slack is by how much clocks and samplers may differ before a repeat counts as one of
// work that was committed when it was scored.
const Slack = 2 * time.Second

// A Violation is one breach of an invariant.
type Violation struct {
	Invariant Invariant
	What      string
}

func (v Violation) String() string { return fmt.Sprintf("%s: %s", v.Invariant, v.What) }

// A History is everything that was seen of a run, up to its rest: the input has ended,
// and what could be delivered has been.
type History struct {
	ExactlyOnce bool
	// Expired says that a member was taken for dead and may not have known at once: at
	// least once, it may then have repeated what its successor had committed.
	Expired bool
	// Projected says that the cache is filled from the output (cache.from: output): commits do
	// not wait for it.
	Projected bool

	Input   []Event      // in any order
	Output  []Prediction // read-committed, in order per output partition
	Dead    []DeadLetter
	Cache   []CacheSample     // over time, in order
	AtRest  map[string]Cached // by entity; nil: there is no cache
	Commits []Commit          // over time, in order of Seen; of a partition in the group's
	Faults  []Fault
}

// A Source is where an event lies. Time is the event's, in Unix ms; a poison event's is
// the timestamp of its record. It tells the incarnations of a recreated topic apart.
type Source struct {
	Topic     string
	Partition int32
	Offset    int64
	Time      int64
}

func (s Source) String() string { return fmt.Sprintf("%s-%d-%d", s.Topic, s.Partition, s.Offset) }

// An Event is one record of the input.
type Event struct {
	Source
	Incarnation string // of the topic, as in Commit
	Entity      string
	At          time.Time // when it was produced
	Poison      bool      // it cannot be scored
	Unread      bool      // it may stay unread: retention or a topic's deletion came first
	Hidden      bool      // it must stay unread: its transaction was aborted
	Refused     bool      // brokers refused its prediction: it may be a dead letter instead, and cached all the same
}

// A Prediction is one record of the output.
type Prediction struct {
	Source              // from its id and event_time
	Entity       string // the record's key
	Score        string // as written
	OutPartition int32
	ScoredAt     time.Time
	Appended     time.Time // by the broker; an earlier time makes K blind, a later one wrong
	Committed    time.Time // by the broker: it, or its transaction, was written; for U
	Seen         time.Time // by a reader that sees committed records only
}

// A DeadLetter is one record of the dead letter topic. Its Time is the timestamp of its
// event's record.
type DeadLetter struct {
	Source
	Appended, Seen time.Time
}

// Cached is a value in the cache.
type Cached struct {
	Version string
	ID      string
	Score   string
}

// A CacheSample is one look at a key; no version: there is no such key. Server tells the
// lives of Redis apart: one that lost its memory starts anew, and only of the first life
// is it asked that it holds what was committed.
type CacheSample struct {
	At       time.Time // when it was asked
	Answered time.Time // for U
	Server   string
	Entity   string
	Version  string
}

// A Commit is one position of the group, as written or as sampled. It counted no earlier
// than At, and by Seen it did for certain. Incarnation tells those of a topic apart; ""
// when nobody recreates it.
type Commit struct {
	At, Seen    time.Time
	Topic       string
	Partition   int32
	Incarnation string
	Next        int64
}

// A Fault is a time in which things were broken.
type Fault struct {
	Name       string
	Begin, End time.Time
}
