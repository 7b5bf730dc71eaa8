//go:build faults

package faults

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"scry/internal/testenv"
)

const (
	partitions = 4
	rate       = 200 // events a second
	users      = 64
)

// A workload produces events whose fate is known: of every hundred ten come late and one
// is poison.
type workload struct {
	t      testing.TB
	topic  string
	suffix [][]byte // of events, behind user and time
	sent   int

	mu          sync.Mutex
	client      *kgo.Client
	incarnation string
	events      []Event
	stop        chan struct{}
	done        sync.WaitGroup
}

// model is the shared bundle whose events the workload sends.
func model(t testing.TB) string { return filepath.Join(testenv.Shared(t), "models", "osi-xgb") }

func newWorkload(t testing.TB, topic string) *workload {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(model(t), "events.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	w := &workload{t: t, topic: topic}
	for _, line := range bytes.Split(bytes.TrimSpace(text), []byte("\n")) {
		i := bytes.Index(line, []byte(`,"type"`))
		if i < 0 {
			t.Fatalf("an event without a type: %s", line)
		}
		w.suffix = append(w.suffix, line[i:])
	}
	return w
}

// open makes the client for the topic's present incarnation.
func (w *workload) open(c *cluster, opts ...kgo.Opt) {
	w.t.Helper()
	client, err := kgo.NewClient(append(opts, kgo.SeedBrokers(c.direct()...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.DefaultProduceTopic(w.topic), kgo.UnknownTopicRetries(-1))...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		w.pause()
		client.Close()
	})
	var id kadm.TopicID
	eventually(w.t, "the topic is known", func() bool { // not every broker knows at once, and one may know the old
		topics, err := c.adm.ListTopics(context.Background(), w.topic)
		id = topics[w.topic].ID
		return err == nil && topics[w.topic].Err == nil && hex.EncodeToString(id[:]) != w.incarnation
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.client, w.incarnation = client, hex.EncodeToString(id[:])
}

// record makes the next record and what is known of it but its offset.
func (w *workload) record() (*kgo.Record, Event) {
	n := w.sent
	w.sent++
	now := time.Now()
	e := Event{Entity: fmt.Sprint("u", n*7%users), Incarnation: w.incarnation}
	e.Topic, e.Time = w.topic, now.UnixMilli()
	if n%10 == 9 { // late: of an entity whose newer events may be cached already
		e.Time -= int64(n % 5000)
	}
	h := fnv.New32a()
	h.Write([]byte(e.Entity))
	e.Partition = int32(h.Sum32() % partitions)
	value := fmt.Appendf(nil, `{"user_id":%q,"ts":%q%s`, e.Entity, time.UnixMilli(e.Time).UTC().Format("2006-01-02T15:04:05.000Z"), w.suffix[n%len(w.suffix)])
	if n%100 == 50 {
		e.Poison, e.Time, value = true, now.UnixMilli(), value[:len(value)/2]
	}
	return &kgo.Record{Partition: e.Partition, Key: []byte(e.Entity), Value: value, Timestamp: time.UnixMilli(now.UnixMilli())}, e
}

// start produces at the rate until the workload is paused.
func (w *workload) start() {
	stop := make(chan struct{})
	w.stop = stop
	w.done.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		began := time.Now()
		for n := 0; ; {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			for due := int(time.Since(began).Seconds() * rate); n < due; n++ {
				r, e := w.record()
				w.client.Produce(context.Background(), r, func(r *kgo.Record, err error) { w.produced(r, e, err) })
			}
		}
	})
}

func (w *workload) produced(r *kgo.Record, e Event, err error) {
	if err != nil {
		w.t.Errorf("the workload lost an event: %v", err)
		return
	}
	e.Offset, e.At = r.Offset, time.Now()
	w.mu.Lock()
	w.events = append(w.events, e)
	w.mu.Unlock()
}

// pause ends the load and returns when the brokers have all of it.
func (w *workload) pause() {
	w.t.Helper()
	if w.stop == nil {
		return
	}
	close(w.stop)
	w.stop = nil
	w.done.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := w.client.Flush(ctx); err != nil {
		w.t.Errorf("the workload could not be flushed: %v", err)
	}
}

// change edits what is known of the events produced so far.
func (w *workload) change(f func(e *Event)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.events {
		f(&w.events[i])
	}
}

// ends is the position behind the last event that must be read, by partition.
func (w *workload) ends() map[int32]int64 {
	ends := make(map[int32]int64)
	w.change(func(e *Event) {
		if e.Incarnation == w.incarnation && !e.Unread && !e.Hidden {
			ends[e.Partition] = max(ends[e.Partition], e.Offset+1)
		}
	})
	return ends
}
