package checkpoint

import "sync"

// Tracker knows what is safe to commit: for each assigned partition the contiguous
// prefix, by poll order, of the batches whose work is durable. Contiguous is not
// offset + 1, so compacted holes and control records need no special care.
//
// All methods are safe for concurrent use and hold one lock, which Revoke takes too:
// once Revoke or a second Assign has returned, no Done of an older ticket can change
// what Committable says. Begin and Done allocate nothing once a partition has seen
// its largest number of batches in flight.
type Tracker struct {
	mu           sync.Mutex
	assigned     map[Partition]*assignment
	acknowledged map[Partition]Position // outlives assignments
}

// NewTracker returns a tracker without any partition.
func NewTracker() *Tracker {
	return &Tracker{assigned: make(map[Partition]*assignment), acknowledged: make(map[Partition]Position)}
}

// Ticket stands for one batch's records of one partition in one assignment.
type Ticket struct {
	Partition Partition

	// The pointer is the assignment's epoch: the ticket keeps it alive, so no later
	// assignment can have the same one.
	assignment *assignment
	seq        uint64
}

// Assign starts tracking p, which is read from the position from on. Tickets of an
// earlier assignment of p are dead. When the group does not hold from yet (stored is
// false), from itself is committable.
func (t *Tracker) Assign(p Partition, from Position, stored bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	committed := from.Next
	if !stored {
		committed = -1
	}
	t.assigned[p] = &assignment{safe: from, offered: committed, committed: committed}
	if from.Next < t.acknowledged[p].Next { // it was moved back
		delete(t.acknowledged, p)
	}
}

// Begin notes a batch of p, in poll order. next is the position after the last record
// of the poll, control records and compacted holes included, with the highest event
// time of the batch. It reports false when p is not assigned: drop the records.
func (t *Tracker) Begin(p Partition, next Position) (Ticket, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.assigned[p]
	if a == nil {
		return Ticket{}, false
	}
	return Ticket{Partition: p, assignment: a, seq: a.push(next)}, true
}

// Done notes that the ticket's batch is durable. Tickets may be done in any order and
// count once; a ticket of an older assignment, and the zero ticket, change nothing.
func (t *Tracker) Done(tk Ticket) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if a := t.assigned[tk.Partition]; a != nil && a == tk.assignment {
		a.done(tk.seq)
	}
}

// Revoke stops tracking p, revoked or lost, and returns how many of its batches were
// begun and not done: they are someone else's now. Commit what is Committable before.
func (t *Tracker) Revoke(p Partition) (inFlight int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.assigned[p]
	if a == nil {
		return 0
	}
	delete(t.assigned, p)
	return a.inFlight
}

// RevokeAll stops tracking every partition.
func (t *Tracker) RevokeAll() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.assigned)
}

// InFlight returns how many batches of ps, or of all partitions when none is given,
// are begun and not done.
func (t *Tracker) InFlight(ps ...Partition) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	if len(ps) == 0 {
		for _, a := range t.assigned {
			n += a.inFlight
		}
	}
	for _, p := range ps {
		if a := t.assigned[p]; a != nil {
			n += a.inFlight
		}
	}
	return n
}

// Committable returns the safe position of each partition that has moved since its
// last Committed; nil when none has. A position stays committable until it is
// acknowledged, so a failed commit needs nothing but the next one.
func (t *Tracker) Committable() map[Partition]Position {
	t.mu.Lock()
	defer t.mu.Unlock()
	var moved map[Partition]Position
	for p, a := range t.assigned {
		if a.safe.Next <= a.committed {
			continue
		}
		if moved == nil {
			moved = make(map[Partition]Position, len(t.assigned))
		}
		moved[p] = a.safe
		a.offered = a.safe.Next
	}
	return moved
}

// Committed notes that the broker holds these positions, as given by Committable.
// Acknowledgements may come late and in any order: one that is older than what is
// known, or of a partition no longer assigned, changes nothing.
func (t *Tracker) Committed(at map[Partition]Position) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for p, pos := range at {
		a := t.assigned[p]
		// A position carries no assignment, but this one cannot have committed what it
		// has not offered. Walk: commit 100 is sent, p is revoked, someone rewinds the
		// group, p is assigned from 50, and only then 100 is acknowledged. Believing
		// it would leave everything up to 100 uncommitted. Should this assignment have
		// offered 100 too and failed, it is believed, and mended by the next record.
		if a != nil && a.committed < pos.Next && pos.Next <= a.offered {
			a.committed = pos.Next
			t.acknowledged[p] = pos
		}
	}
}

// Acknowledged returns the newest position of p that the broker has acknowledged, in this
// assignment of p or an earlier one, unless p was assigned from before it since.
func (t *Tracker) Acknowledged(p Partition) (Position, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at, ok := t.acknowledged[p]
	return at, ok
}

// Positions returns the safe position of every assigned partition.
func (t *Tracker) Positions() map[Partition]Position {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make(map[Partition]Position, len(t.assigned))
	for p, a := range t.assigned {
		all[p] = a.safe
	}
	return all
}

// assignment is one partition from Assign to Revoke: a ring of the batches behind the
// first unfinished one.
type assignment struct {
	safe      Position // end of the finished prefix
	offered   int64    // highest Next given out by Committable
	committed int64    // highest Next acknowledged
	inFlight  int

	ring  []batch // length a power of two
	first uint64  // sequence number of the oldest batch kept
	next  uint64  // sequence number of the next batch
}

type batch struct {
	next Position
	done bool
}

func (a *assignment) at(seq uint64) *batch {
	return &a.ring[seq&uint64(len(a.ring)-1)]
}

func (a *assignment) push(next Position) (seq uint64) {
	if a.next-a.first == uint64(len(a.ring)) {
		a.grow()
	}
	seq = a.next
	*a.at(seq) = batch{next: next}
	a.next++
	a.inFlight++
	return seq
}

func (a *assignment) grow() {
	old := *a
	a.ring = make([]batch, max(8, 2*len(a.ring)))
	for seq := a.first; seq < a.next; seq++ {
		*a.at(seq) = *old.at(seq)
	}
}

func (a *assignment) done(seq uint64) {
	if seq < a.first || a.at(seq).done {
		return
	}
	a.at(seq).done = true
	a.inFlight--
	for a.first < a.next && a.at(a.first).done {
		a.safe = advance(a.safe, a.at(a.first).next)
		a.first++
	}
}

// advance never goes back, in offset or in event time.
func advance(from, to Position) Position {
	to.EventTime = max(to.EventTime, from.EventTime)
	if to.Next < from.Next {
		to.Next, to.LeaderEpoch = from.Next, from.LeaderEpoch
	}
	return to
}
