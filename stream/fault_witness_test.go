package stream

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"scry/internal/faults"
)

// A witness sees what the readers of output, dead letters and cache see, and where the
// group stands.
type witness struct {
	h      *harness
	adm    *kadm.Client
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu      sync.Mutex
	history faults.History
	next    map[topicPartition]int64 // of the reader
	group   map[int32]int64
	refused map[faults.Source]bool // dead letters that brokers refused the predictions of
}

func newWitness(h *harness) *witness {
	ctx, cancel := context.WithCancel(context.Background())
	w := &witness{h: h, cancel: cancel, next: make(map[topicPartition]int64), group: make(map[int32]int64),
		refused: make(map[faults.Source]bool)}
	reader, err := kgo.NewClient(kgo.SeedBrokers(h.brokers...), kgo.ConsumeTopics("out", "dlq"),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), kgo.MetadataMinAge(50*time.Millisecond),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(50*time.Millisecond))
	if err != nil {
		h.t.Fatal(err)
	}
	sampler, err := kgo.NewClient(kgo.SeedBrokers(h.brokers...), kgo.MetadataMinAge(50*time.Millisecond))
	if err != nil {
		h.t.Fatal(err)
	}
	w.adm = kadm.NewClient(sampler)
	h.t.Cleanup(func() {
		w.stop()
		reader.Close()
		sampler.Close()
	})
	w.done.Go(func() { w.read(ctx, reader) })
	w.done.Go(func() { every(ctx, 30*time.Millisecond, func() { w.sampleCommits(ctx) }) })
	w.done.Go(func() { every(ctx, 30*time.Millisecond, func() { w.sampleCache(ctx) }) })
	return w
}

// stop ends the watch; what the cache holds then is what it holds at rest.
func (w *witness) stop() {
	w.cancel()
	w.done.Wait()
	w.history.AtRest = make(map[string]faults.Cached)
	for _, key := range w.h.redis.Keys() {
		entity, ok := strings.CutPrefix(key, "pred:half:")
		if !ok { // of the cache itself
			continue
		}
		text, _ := w.h.redis.Get(key)
		c, err := faults.ReadCached([]byte(text))
		if err != nil {
			w.h.t.Errorf("key %s: %v", key, err)
		}
		w.history.AtRest[entity] = c
	}
}

func (w *witness) read(ctx context.Context, client *kgo.Client) {
	for ctx.Err() == nil {
		fs := client.PollFetches(ctx)
		now := time.Now()
		w.mu.Lock()
		fs.EachRecord(func(r *kgo.Record) {
			at := topicPartition{r.Topic, r.Partition}
			if r.Offset < w.next[at] { // the reader began anew, when brokers lost their memory of an epoch
				return
			}
			w.next[at] = r.Offset + 1
			switch {
			case r.Attrs.IsControl():
			case r.Topic == "out":
				p, err := faults.ReadPrediction(r, now)
				if err != nil {
					w.h.t.Error(err)
				}
				w.history.Output = append(w.history.Output, p)
			default:
				d := faults.ReadDeadLetter(r, now)
				w.history.Dead = append(w.history.Dead, d)
				w.refused[d.Source] = header(r, "scry-reason") == reasonTooLarge
			}
		})
		w.mu.Unlock()
	}
}

func (w *witness) sampleCommits(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	offsets, err := w.adm.FetchOffsets(ctx, "test")
	if err != nil {
		return
	}
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	offsets.Each(func(r kadm.OffsetResponse) {
		if last, ok := w.group[r.Partition]; r.Err == nil && (!ok || last != r.At) {
			w.group[r.Partition] = r.At
			w.history.Commits = append(w.history.Commits, faults.Commit{At: now, Seen: now, Topic: r.Topic, Partition: r.Partition, Next: r.At})
		}
	})
}

func (w *witness) sampleCache(context.Context) {
	at := time.Now()
	var samples []faults.CacheSample
	for user := range trialUsers {
		entity := fmt.Sprint("u", user)
		text, _ := w.h.redis.Get("pred:half:" + entity)
		c, _ := faults.ReadCached([]byte(text)) // no such key: no version
		samples = append(samples, faults.CacheSample{At: at, Entity: entity, Version: c.Version})
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.history.Cache = append(w.history.Cache, samples...)
}

// busy is how many partitions of the input have predictions.
func (w *witness) busy() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	var seen []int32
	for _, p := range w.history.Output {
		if !slices.Contains(seen, p.Partition) {
			seen = append(seen, p.Partition)
		}
	}
	return len(seen)
}

// committed reports whether the group has passed every event.
func (w *witness) committed(ends map[int32]int64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for p, end := range ends {
		if w.group[p] < end {
			return false
		}
	}
	return true
}

// through reports whether the reader has come to the end of its topics.
func (w *witness) through() bool {
	ends, err := w.adm.ListEndOffsets(context.Background(), "out", "dlq")
	if err != nil {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	through := true
	ends.Each(func(e kadm.ListedOffset) {
		through = through && e.Err == nil && w.next[topicPartition{e.Topic, e.Partition}] >= e.Offset
	})
	return through
}
