package checkpoint

import (
	"fmt"
	"testing"
)

// one poll of every partition, begun and done in the other order
func cycle(tr *Tracker, ps []Partition, tickets []Ticket, next int64) {
	for i, p := range ps {
		tickets[i], _ = tr.Begin(p, Position{Next: next, EventTime: next})
	}
	for i := len(tickets) - 1; i >= 0; i-- {
		tr.Done(tickets[i])
	}
}

func assignAll(n int) (*Tracker, []Partition) {
	tr := NewTracker()
	ps := make([]Partition, n)
	for i := range ps {
		ps[i] = Partition{Topic: "web.events", TopicID: topicA, ID: int32(i)}
		tr.Assign(ps[i], Position{}, true)
	}
	return tr, ps
}

func TestBeginAndDoneAllocateNothing(t *testing.T) {
	tr, ps := assignAll(8)
	tickets := make([]Ticket, len(ps))
	next := int64(0)
	if n := testing.AllocsPerRun(100, func() {
		next++
		cycle(tr, ps, tickets, next)
	}); n != 0 {
		t.Errorf("%v allocations a poll of 8 partitions, want 0", n)
	}
}

// BenchmarkBeginDone is one batch of one partition; 16 polls are in flight.
func BenchmarkBeginDone(b *testing.B) {
	for _, n := range []int{8, 200} {
		b.Run(fmt.Sprintf("partitions=%d", n), func(b *testing.B) {
			tr, ps := assignAll(n)
			open := make([]Ticket, 16*n)
			next := int64(0)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				tr.Done(open[i%len(open)])
				next++
				open[i%len(open)], _ = tr.Begin(ps[i%n], Position{Next: next, EventTime: next})
				i++
			}
		})
	}
}

// BenchmarkCommit is Committable and Committed after every partition has moved.
func BenchmarkCommit(b *testing.B) {
	for _, n := range []int{8, 200} {
		b.Run(fmt.Sprintf("partitions=%d", n), func(b *testing.B) {
			tr, ps := assignAll(n)
			tickets := make([]Ticket, n)
			next := int64(0)
			b.ReportAllocs()
			for b.Loop() {
				next++
				cycle(tr, ps, tickets, next)
				tr.Committed(tr.Committable())
			}
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	m := Metadata{TopicID: topicA, Born: 1764000000000, EventTime: 1764000000123}
	b.ReportAllocs()
	for b.Loop() {
		Encode(m)
	}
}

func BenchmarkDecode(b *testing.B) {
	s := Encode(Metadata{TopicID: topicA, Born: 1764000000000, EventTime: 1764000000123})
	b.ReportAllocs()
	for b.Loop() {
		Decode(s)
	}
}
