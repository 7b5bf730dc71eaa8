//go:build faults

package faults

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"scry/checkpoint"
)

// Observers see what a pipeline's readers see, by connections nobody breaks.
type observers struct {
	p      *pipeline
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu      sync.Mutex
	output  []Prediction
	open    map[producer][]int // of output, those whose transactions have not been seen to end
	dead    []DeadLetter
	next    map[string]map[int32]int64 // of the reader, by topic and partition
	cached  []CacheSample
	commits []Commit
	group   map[int32]Commit // the last of each partition
}

// A producer is one that writes to a partition of the output.
type producer struct {
	partition int32
	id        int64
}

func observe(p *pipeline) *observers {
	ctx, cancel := context.WithCancel(context.Background())
	o := &observers{p: p, cancel: cancel, group: make(map[int32]Commit), open: make(map[producer][]int), next: map[string]map[int32]int64{p.out: {}, p.dlq: {}, offsetsTopic: {}}}
	p.t.Cleanup(o.stop)
	// Whoever has an open transaction holds up those who read commits that are none of its.
	commits := kgo.ReadUncommitted()
	if p.with.guarantee == "exactly_once" {
		commits = kgo.ReadCommitted()
	}
	o.reader(ctx, kgo.ReadCommitted(), p.out, p.dlq)
	o.reader(ctx, commits, offsetsTopic)
	o.done.Go(func() { every(ctx, 100*time.Millisecond, func() { o.sampleCache(ctx) }) })
	return o
}

// reader reads topics from their start until ctx ends.
func (o *observers) reader(ctx context.Context, isolation kgo.IsolationLevel, topics ...string) {
	client, err := kgo.NewClient(kgo.SeedBrokers(o.p.cluster.direct()...), kgo.ConsumeTopics(topics...),
		kgo.FetchIsolationLevel(isolation), kgo.KeepControlRecords(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(200*time.Millisecond))
	if err != nil {
		o.p.t.Fatal(err)
	}
	o.p.t.Cleanup(client.Close)
	o.done.Go(func() { o.read(ctx, client) })
}

func (o *observers) stop() {
	o.cancel()
	o.done.Wait()
}

func every(ctx context.Context, d time.Duration, f func()) {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f()
		}
	}
}

func (o *observers) read(ctx context.Context, client *kgo.Client) {
	for ctx.Err() == nil {
		fs := client.PollFetches(ctx)
		now := time.Now()
		o.mu.Lock()
		fs.EachRecord(func(r *kgo.Record) {
			o.next[r.Topic][r.Partition] = r.Offset + 1
			switch {
			case r.Attrs.IsControl():
				if r.Topic == o.p.out {
					o.ended(producer{r.Partition, r.ProducerID}, r.Timestamp)
				}
			case r.Topic == offsetsTopic:
				o.committedTo(r, now)
			case r.Topic == o.p.out:
				p, err := ReadPrediction(r, now)
				if err != nil {
					o.p.t.Error(err)
				}
				if p.Committed.IsZero() {
					from := producer{r.Partition, r.ProducerID}
					o.open[from] = append(o.open[from], len(o.output))
				}
				o.output = append(o.output, p)
			default:
				o.dead = append(o.dead, ReadDeadLetter(r, now))
			}
		})
		o.mu.Unlock()
	}
}

// ended is told by a marker of the output that a transaction is committed.
func (o *observers) ended(from producer, at time.Time) {
	for _, i := range o.open[from] {
		o.output[i].Committed = at
	}
	delete(o.open, from)
}

// offsetsTopic is where the group's commits are written, each and in order. What the
// coordinator answers will not do: it may be behind for a moment after it has moved.
const offsetsTopic = "__consumer_offsets"

func (o *observers) committedTo(r *kgo.Record, now time.Time) {
	var key kmsg.OffsetCommitKey
	if len(r.Key) < 2 || binary.BigEndian.Uint16(r.Key) > 1 || key.ReadFrom(r.Key) != nil || key.Group != o.p.group || r.Value == nil {
		return // a record of the group itself, of another, or one that forgets
	}
	var value kmsg.OffsetCommitValue
	if err := value.ReadFrom(r.Value); err != nil {
		o.p.t.Errorf("a commit: %v", err)
		return
	}
	m, _ := checkpoint.Decode(value.Metadata)
	c := Commit{At: r.Timestamp, Seen: now, Topic: key.Topic, Partition: key.Partition, Incarnation: hex.EncodeToString(m.TopicID[:]), Next: value.Offset}
	if o.p.with.guarantee == "exactly_once" { // it counts when its transaction has ended
		c.At = now
	}
	o.commits = append(o.commits, c)
	o.group[c.Partition] = c
}

func (o *observers) sampleCache(ctx context.Context) {
	s := o.p.cache.on.Load()
	keys := make([]string, users)
	for i := range keys {
		keys[i] = cacheKey(fmt.Sprint("u", i))
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	at := time.Now()
	pipe := s.client.Pipeline()
	info, values := pipe.Info(ctx, "server"), pipe.MGet(ctx, keys...)
	if _, err := pipe.Exec(ctx); err != nil {
		return
	}
	answered := time.Now()
	_, id, _ := strings.Cut(info.Val(), "run_id:")
	id, _, _ = strings.Cut(id, "\r")
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, v := range values.Val() {
		text, _ := v.(string)
		c, _ := ReadCached([]byte(text)) // no such key: no version
		o.cached = append(o.cached, CacheSample{At: at, Answered: answered, Server: id, Entity: fmt.Sprint("u", i), Version: c.Version})
	}
}

func cacheKey(entity string) string { return "pred:osi-xgb:" + entity }

// atRest is everything Redis holds.
func (p *pipeline) atRest() map[string]Cached {
	p.t.Helper()
	ctx := context.Background()
	client := p.cache.on.Load().client
	all := make(map[string]Cached)
	keys, err := client.Keys(ctx, cacheKey("*")).Result()
	if err != nil {
		p.t.Fatal(err)
	}
	for _, key := range keys {
		text, err := client.Get(ctx, key).Bytes()
		var c Cached
		if err == nil {
			c, err = ReadCached(text)
		}
		if err != nil {
			p.t.Fatalf("key %s: %v", key, err)
		}
		all[strings.TrimPrefix(key, cacheKey(""))] = c
	}
	return all
}

// committed reports whether the group has passed every event that must be read.
func (o *observers) committed() bool {
	ends := o.p.load.ends()
	o.mu.Lock()
	defer o.mu.Unlock()
	for partition, end := range ends {
		c := o.group[partition]
		if c.Next < end || c.Incarnation != o.p.load.incarnation {
			return false
		}
	}
	return true
}

// through reports whether the reader has seen the output and the dead letters to their end.
func (o *observers) through(adm *kadm.Client) bool {
	ends, err := adm.ListEndOffsets(context.Background(), o.p.out, o.p.dlq)
	if err != nil {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	through := true
	ends.Each(func(e kadm.ListedOffset) {
		through = through && e.Err == nil && o.next[e.Topic][e.Partition] >= e.Offset
	})
	return through
}

// newest are the greatest versions in the output, by entity.
func (o *observers) newest() map[string]string {
	o.mu.Lock()
	defer o.mu.Unlock()
	newest := make(map[string]string)
	for _, p := range o.output {
		newest[p.Entity] = max(newest[p.Entity], version(p.Source))
	}
	return newest
}

// started reports whether the group has moved in every partition of an incarnation.
func (o *observers) started(incarnation string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range int32(partitions) {
		if c := o.group[i]; c.Incarnation != incarnation || c.Next == 0 {
			return false
		}
	}
	return true
}

// busy are the partitions of the input that have predictions.
func (o *observers) busy() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	seen := make(map[int32]bool)
	for _, p := range o.output {
		seen[p.Partition] = true
	}
	return len(seen)
}
