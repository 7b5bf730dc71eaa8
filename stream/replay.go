package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// A replay reads what a topic held when it was opened, once, each partition in order. It
// belongs to no group and reads committed records only. It is for one goroutine.
type replay struct {
	client *kgo.Client
	topic  string
	ends   map[int32]int64 // of the partitions not yet read through
	total  int64           // offsets there were to read; compaction leaves holes in them
	left   int64
	next   map[int32]int64
}

// quiet is how long a topic may give nothing before a replay asks whether there is
// anything left: what lies before the end of a compacted topic may be gone.
const quiet = 5 * time.Second

// openReplay starts at since (zero: the start of the log), and where from has a later
// offset for a partition, there.
func openReplay(ctx context.Context, k KafkaConfig, topic string, since time.Time, from map[int32]int64) (*replay, error) {
	client, err := k.Client(kgo.ClientID("scry"), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), kgo.FetchMaxBytes(fetchMaxBytes), kgo.FetchMaxPartitionBytes(fetchMaxBytes))
	if err != nil {
		return nil, err
	}
	r := &replay{client: client, topic: topic, ends: map[int32]int64{}, next: map[int32]int64{}}
	starts, ends, err := bounds(ctx, client, topic, since)
	if err != nil {
		client.Close()
		return nil, k.Explained(fmt.Errorf("topic %s: %w", topic, err))
	}
	at := map[int32]kgo.Offset{}
	for id, end := range ends {
		start := max(starts[id], from[id])
		if start < end {
			r.ends[id], r.next[id] = end, start
			r.total += end - start
			at[id] = kgo.NewOffset().At(start)
		}
	}
	r.left = r.total
	client.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: at})
	return r, nil
}

// Explained gives a connection's error its mend.
func (k KafkaConfig) Explained(err error) error {
	err, _ = k.explain(err)
	return err
}

// bounds returns, by partition, the first offset at or after since and the end of what
// is committed.
func bounds(ctx context.Context, client *kgo.Client, topic string, since time.Time) (starts, ends map[int32]int64, err error) {
	adm := kadm.NewClient(client)
	list := func(listed kadm.ListedOffsets, err error) (map[int32]int64, error) {
		if err = errors.Join(err, listed.Error()); err != nil {
			return nil, err
		}
		offsets := map[int32]int64{}
		listed.Each(func(o kadm.ListedOffset) { offsets[o.Partition] = o.Offset })
		return offsets, nil
	}
	if ends, err = list(adm.ListCommittedOffsets(ctx, topic)); err != nil {
		return nil, nil, err
	}
	if since.IsZero() {
		starts, err = list(adm.ListStartOffsets(ctx, topic))
	} else {
		starts, err = list(adm.ListOffsetsAfterMilli(ctx, since.UnixMilli(), topic))
	}
	return starts, ends, err
}

// poll returns some of the records, at most limit, and io.EOF after the last. It waits
// for as long as the brokers are away. They may be kept.
func (r *replay) poll(ctx context.Context, limit int) (records []*kgo.Record, err error) {
	for len(r.ends) > 0 && len(records) == 0 {
		wait, cancel := context.WithTimeout(ctx, quiet)
		fetches := r.client.PollRecords(wait, limit)
		timedOut := wait.Err() != nil
		cancel()
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		fetches.EachError(func(_ string, id int32, e error) {
			switch {
			case errors.Is(e, kerr.TopicAuthorizationFailed), errors.Is(e, kerr.UnknownTopicOrPartition), errors.Is(e, kerr.UnknownTopicID):
				err = fmt.Errorf("topic %s partition %d: %w", r.topic, id, e)
			}
		})
		if err != nil {
			return nil, err
		}
		fetches.EachPartition(func(p kgo.FetchTopicPartition) { records = r.take(records, p) })
		if timedOut && fetches.NumRecords() == 0 {
			if _, _, err := bounds(ctx, r.client, r.topic, time.Time{}); err == nil {
				clear(r.ends) // the brokers answer: there is nothing left to read
				r.left = 0
			}
		}
	}
	if len(records) == 0 {
		return nil, io.EOF
	}
	return records, nil
}

// take appends a partition's records before the end.
func (r *replay) take(records []*kgo.Record, p kgo.FetchTopicPartition) []*kgo.Record {
	end, reading := r.ends[p.Partition]
	if !reading {
		return records
	}
	for _, rec := range p.Records {
		if rec.Offset < end && !rec.Attrs.IsControl() {
			records = append(records, rec)
		}
		next := min(rec.Offset+1, end)
		r.left -= next - r.next[p.Partition]
		r.next[p.Partition] = next
		if next == end {
			delete(r.ends, p.Partition)
			r.client.PauseFetchPartitions(map[string][]int32{r.topic: {p.Partition}})
			break
		}
	}
	return records
}

func (r *replay) close() { r.client.Close() }
