package checkpoint

import (
	"maps"
	"slices"

	"pgregory.net/rapid"
)

// The model is a world of three partitions, a broker that fences old assignments and
// a consumer that may crash, with a naive tracker in it: the list of all batches with
// a done flag each.

type world struct {
	tracker *Tracker
	logs    []*log
	commits []*commit
}

// log is a partition at the broker: record offsets with holes between them.
type log struct {
	p         Partition
	records   []int64
	end       int64 // behind the last record and the control records after it
	committed Position
	stored    bool           // somebody has committed
	durable   map[int64]bool // records whose work was finished by someone

	life *life    // nil: not assigned to us
	dead []Ticket // begun and not done when their assignment ended
}

// life is one assignment.
type life struct {
	from     Position
	read     int64 // offset to poll next
	batches  []*modelBatch
	offered  int64
	acked    int64
	lastSafe Position
}

type modelBatch struct {
	ticket  Ticket
	records []int64
	next    Position
	done    bool
}

// commit is one request: taken from the tracker, then perhaps applied by the broker,
// then perhaps acknowledged.
type commit struct {
	at      map[Partition]Position
	lives   map[Partition]*life
	applied bool
}

func newWorld() *world {
	w := &world{tracker: NewTracker()}
	for id := range int32(3) {
		w.logs = append(w.logs, &log{p: Partition{Topic: "t", ID: id}, durable: map[int64]bool{}})
	}
	return w
}

// pick draws a partition that fits, or skips the action.
func (w *world) pick(t *rapid.T, fits func(*log) bool) *log {
	var ids []int
	for i, l := range w.logs {
		if fits(l) {
			ids = append(ids, i)
		}
	}
	if len(ids) == 0 {
		t.Skip("no such partition")
	}
	return w.logs[rapid.SampledFrom(ids).Draw(t, "partition")]
}

func every(*log) bool        { return true }
func assigned(l *log) bool   { return l.life != nil }
func unassigned(l *log) bool { return l.life == nil }
func polled(l *log) bool     { return assigned(l) && len(l.life.batches) > 0 }
func hasDead(l *log) bool    { return len(l.dead) > 0 }

func (l *log) write(t *rapid.T) {
	for range rapid.IntRange(1, 5).Draw(t, "records") {
		l.end += int64(rapid.SampledFrom([]int{0, 0, 1, 7}).Draw(t, "hole"))
		l.records = append(l.records, l.end)
		l.end++
	}
	l.end += int64(rapid.IntRange(0, 1).Draw(t, "control record"))
}

func (w *world) assign(l *log) {
	l.life = &life{from: l.committed, read: l.committed.Next, acked: l.committed.Next, offered: l.committed.Next, lastSafe: l.committed}
	if !l.stored {
		l.life.acked, l.life.offered = -1, -1 // where to start is worth a commit too
	}
	w.tracker.Assign(l.p, l.committed, l.stored)
}

func (w *world) poll(t *rapid.T, l *log) {
	a := l.life
	b := &modelBatch{next: Position{
		LeaderEpoch: rapid.Int32Range(0, 3).Draw(t, "epoch"),
		EventTime:   int64(rapid.IntRange(0, 9).Draw(t, "event time")),
	}}
	first, _ := slices.BinarySearch(l.records, a.read)
	last := min(len(l.records), first+rapid.IntRange(0, 4).Draw(t, "poll"))
	b.records = l.records[first:last]
	b.next.Next = l.end
	if last < len(l.records) { // the hole before the next record is passed or not
		b.next.Next = l.records[last]
		if len(b.records) > 0 && rapid.Bool().Draw(t, "stop before the hole") {
			b.next.Next = b.records[len(b.records)-1] + 1
		}
	}
	a.read = b.next.Next
	var ok bool
	if b.ticket, ok = w.tracker.Begin(l.p, b.next); !ok {
		t.Fatalf("Begin(%v): not assigned", l.p)
	}
	a.batches = append(a.batches, b)
}

func (w *world) done(l *log, b *modelBatch) {
	for _, o := range b.records {
		l.durable[o] = true
	}
	b.done = true
	w.tracker.Done(b.ticket)
}

// endLife is what revoke and crash have in common.
func (l *log) endLife() {
	for _, b := range l.life.batches {
		if !b.done {
			l.dead = append(l.dead, b.ticket)
		}
	}
	l.life = nil
}

func (a *life) inFlight() (n int) {
	for _, b := range a.batches {
		if !b.done {
			n++
		}
	}
	return n
}

// safe is the naive tracker.
func (a *life) safe() Position {
	at := a.from
	for _, b := range a.batches {
		if !b.done {
			break
		}
		at.Next, at.EventTime = b.next.Next, max(at.EventTime, b.next.EventTime)
		at.LeaderEpoch = b.next.LeaderEpoch
	}
	return at
}

func (w *world) take(t *rapid.T) *commit {
	c := &commit{lives: map[Partition]*life{}}
	want := map[Partition]Position{}
	for _, l := range w.logs {
		if l.life != nil && l.life.safe().Next > l.life.acked {
			want[l.p] = l.life.safe()
			l.life.offered = want[l.p].Next
			c.lives[l.p] = l.life
		}
	}
	c.at = w.tracker.Committable()
	if !maps.Equal(c.at, want) {
		t.Fatalf("Committable() = %v, want %v", c.at, want)
	}
	return c
}

// apply is the broker taking a commit; it refuses partitions of an older assignment.
func (w *world) apply(c *commit) {
	c.applied = true
	for _, l := range w.logs {
		if at, ok := c.at[l.p]; ok && c.lives[l.p] == l.life {
			l.committed, l.stored = at, true
		} else {
			delete(c.at, l.p)
		}
	}
}

func (w *world) acknowledge(c *commit) {
	for _, l := range w.logs {
		if at, ok := c.at[l.p]; ok && l.life != nil && at.Next <= l.life.offered {
			l.life.acked = max(l.life.acked, at.Next)
		}
	}
	w.tracker.Committed(c.at)
}

func (w *world) check(t *rapid.T) {
	positions := w.tracker.Positions()
	inFlight := 0
	for _, l := range w.logs {
		got, assigned := positions[l.p]
		if assigned != (l.life != nil) {
			t.Fatalf("%v: assigned %v, want %v", l.p, assigned, l.life != nil)
		}
		for _, o := range l.records {
			if o < l.committed.Next && !l.durable[o] {
				t.Fatalf("%v: committed %d, but record %d is not durable", l.p, l.committed.Next, o)
			}
		}
		if !assigned {
			continue
		}
		a := l.life
		if want := a.safe(); got != want {
			t.Fatalf("%v: position %v, want %v", l.p, got, want)
		}
		if got.Next < a.lastSafe.Next || got.EventTime < a.lastSafe.EventTime {
			t.Fatalf("%v: position went back from %v to %v", l.p, a.lastSafe, got)
		}
		a.lastSafe = got
		if n := w.tracker.InFlight(l.p); n != a.inFlight() {
			t.Fatalf("%v: %d in flight, want %d", l.p, n, a.inFlight())
		}
		inFlight += a.inFlight()
	}
	if n := w.tracker.InFlight(); n != inFlight {
		t.Fatalf("%d in flight in all, want %d", n, inFlight)
	}
}
