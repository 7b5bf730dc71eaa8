package stream

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// What is before an end and gone is told from what is yet to come.
func TestHeadAt(t *testing.T) {
	h := newHarness(t, 1)
	at := topicPartition{"in", 0}
	head := func(from, end int64) (int64, bool) {
		t.Helper()
		got, err := headAt(context.Background(), h.client, at, from)
		if err != nil {
			t.Fatal(err)
		}
		return got.next, got.gone(end)
	}
	h.produce(0, events(4, "u")...)
	writer, err := kgo.NewClient(kgo.SeedBrokers(h.brokers...), kgo.TransactionalID("writer"))
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	if err := writer.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := writer.ProduceSync(context.Background(), &kgo.Record{Topic: "in"}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		from, end, next int64
		gone            bool
	}{{0, 4, 0, false}, {3, 3, 3, true}, {4, 4, -1, true}, {4, 5, -1, false}} {
		if next, gone := head(c.from, c.end); next != c.next || gone != c.gone {
			t.Errorf("from %d to %d: next %d, gone %v, want %d, %v", c.from, c.end, next, gone, c.next, c.gone)
		}
	}
	if err := writer.EndTransaction(context.Background(), kgo.TryAbort); err != nil {
		t.Fatal(err)
	}
	if next, gone := head(4, 5); next != 5 || !gone { // the marker
		t.Errorf("aborted: next %d, gone %v", next, gone)
	}
	h.kafka.DeleteRecords("in", 0, 6)
	if next, gone := head(0, 6); next != -1 || !gone {
		t.Errorf("deleted: next %d, gone %v", next, gone)
	}
	for _, bad := range []topicPartition{{"in", 7}, {"none", 0}} {
		if got, err := headAt(context.Background(), h.client, bad, 0); err == nil {
			t.Errorf("%v: %+v", bad, got)
		}
	}
	if got, err := headAt(context.Background(), h.client, at, 100); err == nil {
		t.Errorf("past the end of the log: %+v", got)
	}
}

// A scan ends when what it is to read is gone.
func TestScanEnds(t *testing.T) {
	h := newHarness(t, 1)
	h.produce(0, events(4, "u")...)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	s, err := openScan(ctx, h.cfg.Kafka, func(context.Context, *kgo.Client) (extent, error) {
		h.kafka.DeleteRecords("in", 0, 4)
		return newExtent(nil, map[topicPartition]int64{{"in", 0}: 4}), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if records, err := s.poll(ctx, 10); !errors.Is(err, io.EOF) || s.left != 0 {
		t.Errorf("%d records, %d left, %v", len(records), s.left, err)
	}
}
