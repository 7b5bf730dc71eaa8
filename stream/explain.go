package stream

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"scry/checkpoint"
	"scry/predictor"
	"scry/predictor/feature"
)

// An Explanation is what becomes of one event.
type Explanation struct {
	Row        []float64 // a value a feature, as the model gets it; nil with Err
	Missing    []bool    // by feature: the event lacked it
	Unknown    []bool    // by feature: its category is none of the model's
	Entity     string    // empty: there is none, and the prediction is not cached
	EventTime  time.Time
	TimeFrom   string // FromEvent, FromRecord, or Replaced
	Prediction []byte // the output record's value, JSON; nil with Err
	Err        error  // why it would be a dead letter
}

// Where an event's time comes from.
const (
	FromEvent  = "the event"
	FromRecord = "the record's timestamp"
	Replaced   = "the record's timestamp: the event's own is more than an hour past it"
)

// Explain scores one event as a Consumer would. r needs a value; topic, partition, offset
// and timestamp show in the prediction.
func Explain(cfg Config, d *predictor.Deployment, r *kgo.Record) Explanation {
	s := newScorer(cfg)
	src := newSource(checkpoint.Partition{Topic: r.Topic, ID: r.Partition})
	b := &batch{records: []*kgo.Record{r}, runs: []run{{from: 0, to: 1, source: src}}}
	b.reset(1, d, s.caching)
	err := s.score(b)
	row, scratch := &b.rows[0], b.chunks[0].scratch
	e := Explanation{Entity: string(row.entity), EventTime: time.UnixMilli(row.eventTime).UTC(), Err: err}
	if row.reject != nil && err == nil {
		e.Err = row.reject.err
	}
	if e.Err != nil {
		return e
	}
	e.TimeFrom = FromRecord
	if f, _ := d.Extractor.Extract(r.Value, make([]float64, len(d.Features)), feature.NewScratch(len(d.Features))); f.HasTime {
		e.TimeFrom = FromEvent
	}
	if b.chunks[0].stats.skewed > 0 {
		e.TimeFrom = Replaced
	}
	e.Row = s.workers[0].rows[:len(d.Features)]
	for i := range d.Features {
		e.Missing = append(e.Missing, scratch.Missing[i] > 0)
		e.Unknown = append(e.Unknown, scratch.Unknown[i] > 0)
	}
	e.Prediction = b.out[0].Value
	return e
}

// newestOf is how many records at the end of each partition Newest looks at: some may be
// tombstones or the markers of transactions.
const newestOf = 20

// Newest returns the newest event of the input topics by its timestamp, nil when there
// is none. It joins no group.
func Newest(ctx context.Context, cfg Config) (*kgo.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, preflightTimeout)
	defer cancel()
	client, err := cfg.Kafka.Client(kgo.ClientID("scry-validate"), kgo.RequestRetries(2),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.FetchMaxWait(500*time.Millisecond), kgo.FetchMaxBytes(fetchMaxBytes), kgo.FetchMaxPartitionBytes(fetchMaxBytes))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	adm := kadm.NewClient(client)
	starts, err := adm.ListStartOffsets(ctx, cfg.Input.Topics...)
	if err != nil {
		return nil, err
	}
	ends, err := adm.ListCommittedOffsets(ctx, cfg.Input.Topics...)
	if err != nil {
		return nil, err
	}
	from := map[string]map[int32]kgo.Offset{}
	left := map[topicPartition]int64{} // the last offset to see
	ends.Each(func(end kadm.ListedOffset) {
		start, _ := starts.Lookup(end.Topic, end.Partition)
		if end.Err != nil || start.Err != nil || end.Offset <= start.Offset {
			return
		}
		if from[end.Topic] == nil {
			from[end.Topic] = map[int32]kgo.Offset{}
		}
		from[end.Topic][end.Partition] = kgo.NewOffset().At(max(start.Offset, end.Offset-newestOf))
		left[topicPartition{end.Topic, end.Partition}] = end.Offset - 1
	})
	client.AddConsumePartitions(from)
	var newest *kgo.Record
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			if newest != nil && ctx.Err() != nil {
				return newest, nil // of what came in time
			}
			return newest, fmt.Errorf("reading the newest event: %w", err)
		}
		for r := range fetches.RecordsAll() {
			if at := (topicPartition{r.Topic, r.Partition}); r.Offset >= left[at] {
				delete(left, at)
			}
			if !r.Attrs.IsControl() && r.Value != nil && (newest == nil || !r.Timestamp.Before(newest.Timestamp)) {
				newest = r
			}
		}
	}
	return newest, nil
}
