package stream

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// reject fills the dead letter topic with events that cannot be scored, a key for each partition.
func (h *harness) reject(partitions int32, each int) {
	h.t.Helper()
	h.cfg.Output.HoldWhenRejected = 1
	for range each {
		for p := range partitions {
			r := &kgo.Record{Topic: "in", Partition: p, Key: []byte{byte(p)}, Value: []byte(`{"user":"a"}`)}
			if err := h.client.ProduceSync(context.Background(), r).FirstErr(); err != nil {
				h.t.Fatal(err)
			}
		}
	}
	r := h.run(doubler())
	h.read("dlq", int(partitions)*each)
	if err := r.stop(); err != nil {
		h.t.Fatal(err)
	}
}

// An ID that does not wait is told before anything is moved.
func TestRedriveRefusesWhatDoesNotWait(t *testing.T) {
	h := newHarness(t, 1)
	h.reject(1, 5)
	before := h.end("dlq")
	for ids, unknown := range map[string]string{"in-0-99": "in-0-99", "in-0-1,in-7-1,elsewhere-0-1": "in-7-1, elsewhere-0-1"} {
		o := Redrive{Select: Selection{IDs: strings.Split(ids, ",")}, MaxAttempts: 5}
		_, err := RedriveDeadLetters(context.Background(), h.cfg, lenient(), o, Env{})
		if err == nil || !strings.Contains(err.Error(), "no dead letter of "+unknown+" waits") || !strings.Contains(err.Error(), "scry dlq ls") {
			t.Errorf("redrive %s: %v", ids, err)
		}
	}
	if n, at := h.end("dlq"), h.committedBy("test.redrive", "dlq", 0); n != before || at != -1 {
		t.Errorf("the topic has %d records and the group stands at %d: want %d and nowhere", n, at, before)
	}
	// One that waits, and not as chosen besides.
	o := Redrive{Select: Selection{IDs: []string{"in-0-1"}, Reasons: []string{reasonMalformed}}, MaxAttempts: 5}
	if _, err := RedriveDeadLetters(context.Background(), h.cfg, lenient(), o, Env{}); err == nil || !strings.Contains(err.Error(), "in-0-1") {
		t.Errorf("of another reason: %v", err)
	}
}

// What lies behind the last one chosen of a partition stays where it is.
func TestRedriveMovesNoMoreThanIsInTheWay(t *testing.T) {
	h := newHarness(t, 2)
	h.reject(2, 5)
	all := h.deadLetters(false, Selection{})
	if a, b := all[0].Partition, all[9].Partition; a == b {
		t.Fatalf("all lie in partition %d", a)
	}
	chosen := all[slices.IndexFunc(all, func(d DeadLetter) bool { return d.Offset == 2 })]
	o := Redrive{Select: Selection{IDs: []string{chosen.ID}}}
	if sum := h.redrive(lenient(), o); sum != (Redriven{Scored: 1, NotChosen: 2}) {
		t.Errorf("redrive of the third in its partition: %+v", sum)
	}
	for _, d := range h.deadLetters(false, Selection{}) {
		was := all[slices.IndexFunc(all, func(x DeadLetter) bool { return x.ID == d.ID })]
		moved := was.Partition != d.Partition || was.Offset != d.Offset
		if inTheWay := was.Partition == chosen.Partition && was.Offset < chosen.Offset; moved != inTheWay {
			t.Errorf("%s of partition %d, offset %d now lies at %d, %d", d.ID, was.Partition, was.Offset, d.Partition, d.Offset)
		}
	}
	if n := len(h.deadLetters(false, Selection{})); n != 9 {
		t.Errorf("%d wait, want 9", n)
	}
	if sum := h.redrive(lenient(), Redrive{}); sum != (Redriven{Scored: 9}) {
		t.Errorf("redrive of the others: %+v", sum)
	}
}
