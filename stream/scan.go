package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// A scan reads an extent of some topics once, each partition in order. It belongs to no
// group and reads committed records only. It is for one goroutine.
type scan struct {
	client *kgo.Client
	ends   map[topicPartition]int64 // of the partitions not yet read through
	next   map[topicPartition]int64
	total  int64 // offsets there were to read
	left   int64
}

// quiet is how long a partition may give nothing before somebody asks whether there is
// anything left: what lies before an end may be gone.
const quiet = time.Second

// openScan reads what find finds.
func openScan(ctx context.Context, k KafkaConfig, find func(context.Context, *kgo.Client) (extent, error)) (*scan, error) {
	client, err := k.Client(kgo.ClientID("scry"), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), kgo.FetchMaxBytes(fetchMaxBytes), kgo.FetchMaxPartitionBytes(fetchMaxBytes), kgo.FetchMaxWait(500*time.Millisecond))
	if err != nil {
		return nil, err
	}
	e, err := find(ctx, client)
	if err != nil {
		client.Close()
		return nil, k.Explained(err)
	}
	s := &scan{client: client, ends: e.ends, next: e.starts, total: e.size(), left: e.size()}
	at := map[string]map[int32]kgo.Offset{}
	for p, start := range e.starts {
		if at[p.topic] == nil {
			at[p.topic] = map[int32]kgo.Offset{}
		}
		at[p.topic][p.partition] = kgo.NewOffset().At(start)
	}
	client.AddConsumePartitions(at)
	return s, nil
}

// Explained gives a connection's error its mend.
func (k KafkaConfig) Explained(err error) error {
	err, _ = k.explain(err)
	return err
}

// poll returns some of the records, at most limit, and io.EOF after the last. It waits
// for as long as the brokers are away, or a transaction is open. They may be kept.
func (s *scan) poll(ctx context.Context, limit int) (records []*kgo.Record, err error) {
	for len(s.ends) > 0 && len(records) == 0 {
		wait, cancel := context.WithTimeout(ctx, quiet)
		fetches := s.client.PollRecords(wait, limit)
		cancel()
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		fetches.EachError(func(topic string, id int32, e error) {
			switch {
			case errors.Is(e, kerr.TopicAuthorizationFailed), errors.Is(e, kerr.UnknownTopicOrPartition), errors.Is(e, kerr.UnknownTopicID):
				err = fmt.Errorf("topic %s partition %d: %w", topic, id, e)
			}
		})
		if err != nil {
			return nil, err
		}
		fetches.EachPartition(func(p kgo.FetchTopicPartition) { records = s.take(records, p) })
		if fetches.NumRecords() == 0 {
			s.skip(ctx)
		}
	}
	if len(records) == 0 {
		return nil, io.EOF
	}
	return records, nil
}

// take appends a partition's records before the end.
func (s *scan) take(records []*kgo.Record, p kgo.FetchTopicPartition) []*kgo.Record {
	at := topicPartition{p.Topic, p.Partition}
	end, reading := s.ends[at]
	if !reading {
		return records
	}
	for _, rec := range p.Records {
		if rec.Offset < end && !rec.Attrs.IsControl() {
			records = append(records, rec)
		}
		if s.passed(at, min(rec.Offset+1, end)) {
			break
		}
	}
	return records
}

// skip passes by what is gone at the ends.
func (s *scan) skip(ctx context.Context) {
	for at, end := range s.ends {
		if h, err := headAt(ctx, s.client, at, s.next[at]); err == nil && h.gone(end) {
			s.passed(at, end)
		}
	}
}

// passed moves a partition's position to next, and reports whether that is the end.
func (s *scan) passed(at topicPartition, next int64) bool {
	s.left -= next - s.next[at]
	s.next[at] = next
	if next < s.ends[at] {
		return false
	}
	delete(s.ends, at)
	s.client.PauseFetchPartitions(map[string][]int32{at.topic: {at.partition}})
	return true
}

func (s *scan) close() { s.client.Close() }
