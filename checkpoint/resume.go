package checkpoint

import (
	"errors"
	"fmt"
)

// Stored is what the group holds for a partition.
type Stored struct {
	Next     int64    // the committed offset
	Metadata Metadata // zero when Decode found none of ours
}

// Bounds are a partition's log start offset and end offset (the next to be written).
type Bounds struct{ Start, End int64 }

// StartMode says where a partition without a commit starts.
type StartMode int

// The start modes of the config; Latest means since the group was born, because the
// end of the log, asked for again after an idle restart or for a partition added
// later, would skip what came meanwhile.
const (
	Earliest StartMode = iota
	Latest
	AtTime
)

// LossMode says what happens when records that were not read are gone.
type LossMode int

// The loss modes of the config.
const (
	Stop         LossMode = iota // with an error
	FromEarliest                 // go on from the start of the log
)

// Policy is the user's part of the resume rule. Its zero value is the default.
type Policy struct {
	Start      StartMode
	Time       int64 // of AtTime, Unix ms
	OnDataLoss LossMode
}

// Kind is what a stored position means against the log.
type Kind int

// The kinds; the last three are data loss.
const (
	Started   Kind = iota // nothing committed yet
	Resumed               // the commit lies within the log
	Recreated             // the topic was deleted and made anew: the offset means nothing
	Lost                  // the log starts behind the commit: retention was faster
	Truncated             // the log ends before the commit: an unclean leader election, or a topic recreated unseen
)

func (k Kind) String() string {
	return [...]string{"started", "resumed", "recreated", "lost", "truncated"}[k]
}

// Unresolved is the Next of a decision that is a time.
const Unresolved = -1

// Decision is where to read a partition from, and why.
type Decision struct {
	Kind Kind

	// Next is the offset to read, or Unresolved: then it is the first record with a
	// timestamp of at least Since (Unix ms, never negative: those mean something else
	// to Kafka), or Bounds.End when there is none; an end listed later would skip what
	// came meanwhile. Commit what that gives at once, or the next start decides anew.
	Next  int64
	Since int64

	// Lost counts the offsets known to be gone unread: on a compacted or transactional
	// log an upper bound of the records. 0 with data loss means that nobody can know.
	Lost int64

	// Err is set when the policy says stop: Next means nothing then.
	Err error
}

// Resume is the rule: it sets the commit (nil: none) against the log, the
// topic's present id (zero: unknown) and the policy. born is when the group was born,
// Unix ms: the oldest Born of its commits, or now when it has none.
//
// A log that was truncated and has since grown past the commit cannot be told from
// its bounds: that is found by the commit's leader epoch, which the client checks.
func Resume(stored *Stored, log Bounds, topicID [16]byte, policy Policy, born int64) Decision {
	if stored == nil || stored.Next < 0 { // -1 is how Kafka says none
		return start(log, policy, born)
	}
	was, unknown := stored.Metadata.TopicID, [16]byte{}
	switch {
	case was != topicID && was != unknown && topicID != unknown:
		return lose(Decision{Kind: Recreated, Next: log.Start, Lost: log.Start}, policy, fmt.Errorf(
			"the topic was deleted and recreated (id %x, was %x): committed offset %d means nothing in it, and how much of the old topic was unread is unknown", topicID, was, stored.Next))
	case stored.Next < log.Start:
		lost := log.Start - stored.Next
		return lose(Decision{Kind: Lost, Next: log.Start, Lost: lost}, policy, fmt.Errorf(
			"%d records are lost: the group stands at offset %d but the log starts at %d; retention removed them unread", lost, stored.Next, log.Start))
	case stored.Next > log.End:
		return lose(Decision{Kind: Truncated, Next: log.Start}, policy, fmt.Errorf(
			"the log ends at offset %d, before the group's %d: it lost its last %d records or was recreated; how many unread records that cost is unknown", log.End, stored.Next, stored.Next-log.End))
	}
	return Decision{Kind: Resumed, Next: stored.Next}
}

// Forgotten tells whether the group has lost a position that it had acknowledged: what it
// holds (nil: nothing) lies before that, and nobody has moved it there. A position that was
// set by hand has no event time, in Metadata of ours and of others.
func Forgotten(stored *Stored, acknowledged Position) bool {
	return stored == nil || stored.Next < acknowledged.Next && stored.Metadata.EventTime != 0
}

func start(log Bounds, policy Policy, born int64) Decision {
	d := Decision{Kind: Started, Next: Unresolved}
	switch policy.Start {
	case Earliest:
		d.Next = log.Start
	case AtTime:
		d.Since = max(0, policy.Time)
	case Latest:
		d.Since = born
		if born <= 0 {
			d.Err = errors.New("start: latest needs the time the group was born, and none is known; start at earliest or at a time instead")
		}
	}
	return d
}

func lose(d Decision, policy Policy, err error) Decision {
	if policy.OnDataLoss == Stop {
		d.Err = fmt.Errorf("%w; to go on, set on_data_loss: earliest (reads from offset %d) or move the group with `scry checkpoint seek`", err, d.Next)
	}
	return d
}
