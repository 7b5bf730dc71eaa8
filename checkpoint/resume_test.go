package checkpoint

import (
	"fmt"
	"strings"
	"testing"
)

var topicB = [16]byte{0xbb}

// TestResumeEveryCombination walks commit x topic id x start x on_data_loss over one
// log [50, 100). The expectation is spelt out per commit and id, then per policy.
func TestResumeEveryCombination(t *testing.T) {
	const born, since = 1000, 2000
	log := Bounds{Start: 50, End: 100}
	commits := []struct {
		name string
		next int64
		kind Kind // when the topic is the same or its id is unknown
		lost int64
	}{
		{"before the log", 20, Lost, 30},
		{"just before the log", 49, Lost, 1},
		{"at its start", 50, Resumed, 0},
		{"inside", 70, Resumed, 0},
		{"at its end", 100, Resumed, 0},
		{"just behind", 101, Truncated, 0},
		{"far behind", 9000, Truncated, 0},
	}
	ids := []struct {
		name      string
		then, now [16]byte
		recreated bool
	}{
		{"same id", topicA, topicA, false},
		{"other id", topicA, topicB, true},
		{"id unknown then", [16]byte{}, topicA, false},
		{"id unknown now", topicA, [16]byte{}, false},
		{"ids unknown", [16]byte{}, [16]byte{}, false},
	}
	starts := []struct {
		mode        StartMode
		next, since int64
	}{
		{Earliest, 50, 0},
		{Latest, Unresolved, born},
		{AtTime, Unresolved, since},
	}
	for _, s := range starts {
		for _, loss := range []LossMode{Stop, FromEarliest} {
			policy := Policy{Start: s.mode, Time: since, OnDataLoss: loss}
			for _, id := range ids {
				for _, none := range []*Stored{nil, {Next: -1, Metadata: Metadata{TopicID: id.then}}} {
					got := Resume(none, log, id.now, policy, born)
					if want := (Decision{Kind: Started, Next: s.next, Since: s.since}); got != want {
						t.Errorf("no commit, %s, %+v: %+v, want %+v", id.name, policy, got, want)
					}
				}
				for _, c := range commits {
					want := Decision{Kind: c.kind, Next: log.Start, Lost: c.lost}
					if id.recreated {
						want = Decision{Kind: Recreated, Next: log.Start, Lost: 50}
					}
					if want.Kind == Resumed {
						want.Next = c.next
					}
					stored := &Stored{Next: c.next, Metadata: Metadata{TopicID: id.then}}
					name := fmt.Sprintf("commit %s, %s, %+v", c.name, id.name, policy)
					got := Resume(stored, log, id.now, policy, born)
					stops := want.Kind != Resumed && loss == Stop
					if (got.Err != nil) != stops {
						t.Errorf("%s: error %v, want one: %v", name, got.Err, stops)
					}
					if got.Err = nil; got != want {
						t.Errorf("%s: %+v, want %+v", name, got, want)
					}
				}
			}
		}
	}
}

func TestResumeEdges(t *testing.T) {
	for _, c := range []struct {
		name   string
		stored *Stored
		log    Bounds
		policy Policy
		born   int64
		want   Decision
	}{
		{"empty log, no commit", nil, Bounds{}, Policy{}, 5, Decision{Kind: Started}},
		{"empty log, commit 0", &Stored{}, Bounds{}, Policy{}, 5, Decision{Kind: Resumed}},
		{"all records expired, commit at the end", &Stored{Next: 9}, Bounds{9, 9}, Policy{}, 5, Decision{Kind: Resumed, Next: 9}},
		{"all records expired unread", &Stored{Next: 3}, Bounds{9, 9}, Policy{OnDataLoss: FromEarliest}, 5, Decision{Kind: Lost, Next: 9, Lost: 6}},
		{"retention before the first commit is no loss", nil, Bounds{50, 100}, Policy{}, 5, Decision{Kind: Started, Next: 50}},
		{"a time before 1970 is not Kafka's -1", nil, Bounds{0, 9}, Policy{Start: AtTime, Time: -1}, 5, Decision{Kind: Started, Next: Unresolved}},
		{"a birth unknown does not matter to earliest", nil, Bounds{2, 9}, Policy{}, 0, Decision{Kind: Started, Next: 2}},
	} {
		if got := Resume(c.stored, c.log, topicA, c.policy, c.born); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestResumeErrorsNameLossAndMend(t *testing.T) {
	log := Bounds{Start: 50, End: 100}
	for _, c := range []struct {
		name   string
		stored *Stored
		policy Policy
		words  []string
	}{
		{"lost", &Stored{Next: 20}, Policy{}, []string{"30 records", "offset 20", "starts at 50", "on_data_loss: earliest", "scry checkpoint seek"}},
		{"truncated", &Stored{Next: 130}, Policy{}, []string{"ends at offset 100", "130", "30 records", "on_data_loss: earliest"}},
		{"recreated", &Stored{Next: 70, Metadata: Metadata{TopicID: topicB}}, Policy{}, []string{"recreated", "offset 70", "0f0102", "bb0000", "unknown", "on_data_loss: earliest"}},
		{"latest without a birth", nil, Policy{Start: Latest}, []string{"start: latest", "earliest"}},
	} {
		d := Resume(c.stored, log, topicA, c.policy, 0)
		if d.Err == nil {
			t.Errorf("%s: no error", c.name)
			continue
		}
		for _, w := range c.words {
			if !strings.Contains(d.Err.Error(), w) {
				t.Errorf("%s: %q does not say %q", c.name, d.Err, w)
			}
		}
	}
}

func TestForgotten(t *testing.T) {
	own := Position{Next: 100}
	for _, c := range []struct {
		what   string
		stored *Stored
		want   bool
	}{
		{"nothing is held", nil, true},
		{"an older commit", &Stored{Next: 99, Metadata: Metadata{EventTime: 1}}, true},
		{"moved back by scry checkpoint seek", &Stored{Next: 99, Metadata: Metadata{Born: 1}}, false},
		{"moved back by another tool", &Stored{Next: 99}, false},
		{"the same", &Stored{Next: 100, Metadata: Metadata{EventTime: 1}}, false},
		{"others have read on", &Stored{Next: 101, Metadata: Metadata{EventTime: 1}}, false},
	} {
		if got := Forgotten(c.stored, own); got != c.want {
			t.Errorf("%s: %v, want %v", c.what, got, c.want)
		}
	}
}
