package checkpoint

import (
	"maps"
	"sync"
	"testing"
)

var (
	p0 = Partition{Topic: "web.events", ID: 0}
	p1 = Partition{Topic: "web.events", ID: 1}
)

func begin(t *testing.T, tr *Tracker, p Partition, next Position) Ticket {
	t.Helper()
	tk, ok := tr.Begin(p, next)
	if !ok {
		t.Fatalf("Begin(%v): not assigned", p)
	}
	return tk
}

func wantCommittable(t *testing.T, tr *Tracker, want map[Partition]Position) {
	t.Helper()
	if got := tr.Committable(); !maps.Equal(got, want) {
		t.Fatalf("Committable() = %v, want %v", got, want)
	}
}

func TestCommittableIsTheFinishedPrefix(t *testing.T) {
	tr := NewTracker()
	tr.Assign(p0, Position{Next: 100, LeaderEpoch: 1, EventTime: 5000}, true)
	wantCommittable(t, tr, nil)

	a := begin(t, tr, p0, Position{Next: 110, LeaderEpoch: 1, EventTime: 4000})
	b := begin(t, tr, p0, Position{Next: 500, LeaderEpoch: 2, EventTime: 9000}) // after a compacted hole
	c := begin(t, tr, p0, Position{Next: 501, LeaderEpoch: 2, EventTime: 7000})

	tr.Done(c)
	tr.Done(b)
	tr.Done(b)
	wantCommittable(t, tr, nil)
	if n := tr.InFlight(); n != 1 {
		t.Fatalf("InFlight() = %d, want 1", n)
	}
	tr.Done(a)
	wantCommittable(t, tr, map[Partition]Position{p0: {Next: 501, LeaderEpoch: 2, EventTime: 9000}})
}

func TestEventTimeNeverGoesBack(t *testing.T) {
	tr := NewTracker()
	tr.Assign(p0, Position{Next: 0, EventTime: 5000}, true)
	tr.Done(begin(t, tr, p0, Position{Next: 1, EventTime: 10}))
	wantCommittable(t, tr, map[Partition]Position{p0: {Next: 1, EventTime: 5000}})
}

func TestPositionNeverGoesBack(t *testing.T) {
	tr := NewTracker()
	tr.Assign(p0, Position{Next: 50, LeaderEpoch: 3}, true)
	tr.Done(begin(t, tr, p0, Position{Next: 40, LeaderEpoch: 1, EventTime: 7}))
	wantCommittable(t, tr, nil)
	if got, want := tr.Positions()[p0], (Position{Next: 50, LeaderEpoch: 3, EventTime: 7}); got != want {
		t.Fatalf("Positions() = %v, want %v", got, want)
	}
}

func TestDoneAfterRevokeChangesNothing(t *testing.T) {
	tr := NewTracker()
	tr.Assign(p0, Position{Next: 0}, true)
	late := begin(t, tr, p0, Position{Next: 10})
	begin(t, tr, p0, Position{Next: 20})
	if n := tr.Revoke(p0); n != 2 {
		t.Fatalf("Revoke() = %d in flight, want 2", n)
	}
	tr.Done(late)
	wantCommittable(t, tr, nil)
	if _, ok := tr.Begin(p0, Position{Next: 30}); ok {
		t.Fatal("Begin on a revoked partition succeeded")
	}

	// The same partition comes back: the late ticket is not its first one.
	tr.Assign(p0, Position{Next: 0}, true)
	begin(t, tr, p0, Position{Next: 10})
	tr.Done(late)
	wantCommittable(t, tr, nil)
	if n := tr.InFlight(p0); n != 1 {
		t.Fatalf("InFlight(p0) = %d, want 1", n)
	}
}

func TestSecondAssignStartsAnew(t *testing.T) {
	tr := NewTracker()
	tr.Assign(p0, Position{Next: 0}, true)
	late := begin(t, tr, p0, Position{Next: 10})
	tr.Assign(p0, Position{Next: 5}, true)
	tr.Done(late)
	if got := tr.Positions()[p0]; got != (Position{Next: 5}) {
		t.Fatalf("Positions()[p0] = %v, want next 5", got)
	}
}

func TestOnlyWhatMovedIsCommittable(t *testing.T) {
	tr := NewTracker()
	tr.Assign(p0, Position{Next: 0}, true)
	tr.Assign(p1, Position{Next: 0}, true)
	tr.Done(begin(t, tr, p0, Position{Next: 10}))
	tr.Done(begin(t, tr, p1, Position{Next: 7}))

	both := map[Partition]Position{p0: {Next: 10}, p1: {Next: 7}}
	wantCommittable(t, tr, both)
	wantCommittable(t, tr, both) // not acknowledged: a failed commit is offered again

	tr.Committed(map[Partition]Position{p1: {Next: 7}}) // p0 failed
	wantCommittable(t, tr, map[Partition]Position{p0: {Next: 10}})
}

func TestLateAcknowledgement(t *testing.T) {
	at := func(next int64) map[Partition]Position { return map[Partition]Position{p0: {Next: next}} }

	t.Run("older than what is known", func(t *testing.T) {
		tr := NewTracker()
		tr.Assign(p0, Position{Next: 0}, true)
		tr.Done(begin(t, tr, p0, Position{Next: 10}))
		tr.Committable()
		tr.Done(begin(t, tr, p0, Position{Next: 20}))
		tr.Committable()
		tr.Committed(at(20))
		tr.Committed(at(10))
		wantCommittable(t, tr, nil)
	})
	t.Run("of a revoked partition", func(t *testing.T) {
		tr := NewTracker()
		tr.Assign(p0, Position{Next: 0}, true)
		tr.Done(begin(t, tr, p0, Position{Next: 10}))
		tr.Committable()
		tr.Revoke(p0)
		tr.Committed(at(10))
		wantCommittable(t, tr, nil)
	})
	t.Run("of an older assignment, the group rewound", func(t *testing.T) {
		tr := NewTracker()
		tr.Assign(p0, Position{Next: 0}, true)
		tr.Done(begin(t, tr, p0, Position{Next: 100}))
		tr.Committable()
		tr.Revoke(p0)
		tr.Assign(p0, Position{Next: 50}, true)
		tr.Committed(at(100))
		tr.Done(begin(t, tr, p0, Position{Next: 60}))
		wantCommittable(t, tr, at(60))
	})
}

func TestAcknowledgedOutlivesAssignments(t *testing.T) {
	tr := NewTracker()
	want := func(when string, next int64) {
		t.Helper()
		if at, ok := tr.Acknowledged(p0); at.Next != next || ok != (next > 0) {
			t.Errorf("%s: Acknowledged() = %v, %v, want %d", when, at, ok, next)
		}
	}
	reach := func(next int64) {
		tr.Done(begin(t, tr, p0, Position{Next: next}))
		tr.Committed(tr.Committable())
	}
	tr.Assign(p0, Position{Next: 10}, true)
	want("nothing acknowledged", 0)
	reach(20)
	tr.Revoke(p0)
	want("revoked", 20)
	tr.Assign(p0, Position{Next: 30}, true)
	want("others have read on", 20)
	reach(40)
	tr.RevokeAll()
	tr.Assign(p0, Position{Next: 5}, true)
	want("moved back", 0)
	reach(6)
	want("on from there", 6)
	if at, ok := tr.Acknowledged(p1); ok {
		t.Errorf("another partition: %v", at)
	}
}

func TestTicketsOfNobody(t *testing.T) {
	tr, other := NewTracker(), NewTracker()
	tr.Done(Ticket{})
	tr.Assign(Partition{}, Position{}, true)
	tr.Done(Ticket{})
	tr.Assign(p0, Position{}, true)
	other.Assign(p0, Position{}, true)
	begin(t, tr, p0, Position{Next: 1})
	tr.Done(begin(t, other, p0, Position{Next: 1}))
	wantCommittable(t, tr, nil)
}

// TestRingGrows keeps many batches in flight over a ring that wraps and grows.
func TestRingGrows(t *testing.T) {
	tr := NewTracker()
	tr.Assign(p0, Position{}, true)
	var open []Ticket
	next := int64(0)
	for round := 1; round <= 40; round++ {
		for range round {
			next++
			open = append(open, begin(t, tr, p0, Position{Next: next}))
		}
		for range round / 2 {
			tr.Done(open[0])
			open = open[1:]
		}
		if got, want := tr.Positions()[p0].Next, next-int64(len(open)); got != want {
			t.Fatalf("round %d: safe position %d, want %d", round, got, want)
		}
	}
	for i := len(open) - 1; i >= 0; i-- {
		tr.Done(open[i])
	}
	wantCommittable(t, tr, map[Partition]Position{p0: {Next: next}})
}

// TestConcurrentDoneAndRevoke lets workers finish batches while partitions come and go
// and commits run; the race detector and the end state are the judges.
func TestConcurrentDoneAndRevoke(t *testing.T) {
	const partitions, rounds, perRound = 8, 50, 40
	tr := NewTracker()
	work := make(chan Ticket, 64)
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for tk := range work {
				tr.Done(tk)
			}
		})
	}
	stop := make(chan struct{})
	var committer sync.WaitGroup
	committer.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				tr.Committed(tr.Committable())
			}
		}
	})

	var ends [partitions]int64
	for round := range rounds {
		for i := range ends {
			p := Partition{Topic: "t", ID: int32(i)}
			if round%3 == i%3 {
				tr.Revoke(p)
				from := tr.Positions()[p] // gone: zero
				if from != (Position{}) {
					t.Errorf("%v still has position %v after Revoke", p, from)
				}
				ends[i] = int64(1000 * round)
				tr.Assign(p, Position{Next: ends[i]}, true)
			}
			for range perRound {
				ends[i]++
				if tk, ok := tr.Begin(p, Position{Next: ends[i]}); ok {
					work <- tk
				}
			}
		}
	}
	close(work)
	workers.Wait()
	close(stop)
	committer.Wait()
	if n := tr.InFlight(); n != 0 {
		t.Errorf("InFlight() = %d after all work is done", n)
	}
	for p, pos := range tr.Positions() {
		if pos.Next != ends[p.ID] {
			t.Errorf("%v: safe position %d, want %d", p, pos.Next, ends[p.ID])
		}
	}
}

func TestStartIsCommittableUntilStored(t *testing.T) {
	tr := NewTracker()
	p := Partition{Topic: "in"}
	tr.Assign(p, Position{Next: 7}, false)
	at := tr.Committable()
	if at[p].Next != 7 {
		t.Fatalf("committable %v, want the start, 7", at)
	}
	tr.Committed(at)
	if at := tr.Committable(); at != nil {
		t.Fatalf("committable %v after it was committed", at)
	}
	tr.Assign(p, Position{Next: 7}, true)
	if at := tr.Committable(); at != nil {
		t.Fatalf("committable %v, want nothing: the group holds the start", at)
	}
}
