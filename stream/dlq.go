package stream

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// A DeadLetter is a record of the dead letter topic, taken apart: the headers that
// deadLetter wrote, decoded.
type DeadLetter struct {
	ID        string    `json:"id"`        // the event's position in its source, which its prediction would have as id
	Time      time.Time `json:"time"`      // when it was rejected
	Partition int32     `json:"partition"` // where it lies in the dead letter topic
	Offset    int64     `json:"offset"`

	Topic           string    `json:"original_topic"`
	SourcePartition int32     `json:"original_partition"`
	SourceOffset    int64     `json:"original_offset"`
	SourceTime      time.Time `json:"original_timestamp"`
	Group           string    `json:"original_consumer_group"`

	Reason   string `json:"reason"`
	Stage    string `json:"stage"`
	Message  string `json:"message"`
	Attempts int    `json:"attempts"`
	Model    string `json:"model"`
	// Cut is the length of the whole value when only its beginning was kept, else empty.
	Cut    string `json:"value_length,omitempty"`
	SHA256 string `json:"value_sha256,omitempty"`

	Key     []byte             `json:"-"`
	Value   []byte             `json:"-"` // the event as it was
	Headers []kgo.RecordHeader `json:"-"` // the event's own
}

// errForeign is a record that no scry wrote.
var errForeign = errors.New("not a dead letter of scry: it has no kafka_dlt-original headers")

// parseDeadLetter takes a dead letter apart. Key, Value and Headers alias r.
func parseDeadLetter(r *kgo.Record) (DeadLetter, error) {
	d := DeadLetter{Time: r.Timestamp.UTC(), Partition: r.Partition, Offset: r.Offset, Key: r.Key, Value: r.Value}
	// The event's own headers come first, and may hold the same names.
	own := len(r.Headers) - 1
	for own >= 0 && r.Headers[own].Key != "kafka_dlt-original-topic" {
		own--
	}
	if own < 0 {
		return d, errForeign
	}
	d.Headers = r.Headers[:own:own]
	sound := 0
	for _, h := range r.Headers[own:] {
		text := string(h.Value)
		switch h.Key {
		case "kafka_dlt-original-topic":
			d.Topic = text
		case "kafka_dlt-original-partition":
			if len(h.Value) == 4 {
				d.SourcePartition = int32(binary.BigEndian.Uint32(h.Value))
				sound++
			}
		case "kafka_dlt-original-offset":
			if len(h.Value) == 8 {
				d.SourceOffset = int64(binary.BigEndian.Uint64(h.Value))
				sound++
			}
		case "kafka_dlt-original-timestamp":
			if len(h.Value) == 8 {
				d.SourceTime = time.UnixMilli(int64(binary.BigEndian.Uint64(h.Value))).UTC()
				sound++
			}
		case "kafka_dlt-original-consumer-group":
			d.Group = text
		case "kafka_dlt-exception-message":
			d.Message = text
		case "scry-stage":
			d.Stage = text
		case "scry-reason":
			d.Reason = text
		case "scry-attempts":
			d.Attempts, _ = strconv.Atoi(text)
			d.Attempts = max(d.Attempts, 0)
		case "scry-model":
			d.Model = text
		case "scry-value-length":
			d.Cut = text
		case "scry-value-sha256":
			d.SHA256 = text
		}
	}
	if sound != 3 || d.Topic == "" || d.SourcePartition < 0 || d.SourceOffset < 0 {
		return d, errForeign
	}
	d.ID = d.Topic + "-" + strconv.Itoa(int(d.SourcePartition)) + "-" + strconv.FormatInt(d.SourceOffset, 10)
	return d, nil
}

// A Selection says which dead letters are meant; the zero value means all.
type Selection struct {
	IDs          []string  // positions in the source
	Reasons      []string  // as in DeadLetter.Reason
	Since, Until time.Time // of DeadLetter.Time: at or after, before
}

// Validate returns what is wrong with the selection.
func (s Selection) Validate() error {
	for _, r := range s.Reasons {
		if !slices.Contains(reasons, r) {
			return fmt.Errorf("reason %q: there are %s", r, strings.Join(reasons, ", "))
		}
	}
	return nil
}

func (s *Selection) has(d *DeadLetter) bool {
	return (len(s.IDs) == 0 || slices.Contains(s.IDs, d.ID)) &&
		(len(s.Reasons) == 0 || slices.Contains(s.Reasons, d.Reason)) &&
		(s.Since.IsZero() || !d.Time.Before(s.Since)) && (s.Until.IsZero() || d.Time.Before(s.Until))
}

func (s *Selection) byReasonOrTime() bool {
	return len(s.Reasons) > 0 || !s.Since.IsZero() || !s.Until.IsZero()
}

// absent says which IDs were not found; nil: all were.
func (s *Selection) absent(found map[string]bool, all bool) error {
	missing := slices.DeleteFunc(slices.Clone(s.IDs), func(id string) bool { return found[id] })
	if len(missing) == 0 {
		return nil
	}
	where, list := "waits in the queue", "scry dlq ls"
	if all {
		where, list = "is in the topic", "scry dlq ls --all"
	}
	if s.byReasonOrTime() {
		where += " with the reason and time asked for"
	}
	return fmt.Errorf("no dead letter of %s %s: an ID is topic-partition-offset in the source, as %s lists it", strings.Join(missing, ", "), where, list)
}

// EachDeadLetter calls f with the pipeline's dead letters of a selection that the topic
// holds now, each partition's in order: those a redrive has not passed, or all. f may
// keep them. Records of other groups and programs are left out and counted, whatever the
// selection. An ID of it that was not found is an error, once all are read.
func EachDeadLetter(ctx context.Context, cfg Config, all bool, s Selection, f func(*DeadLetter) error) (others int64, err error) {
	topic, found := cfg.Output.DeadLetterTopic, map[string]bool{}
	r, err := openScan(ctx, cfg.Kafka, func(ctx context.Context, client *kgo.Client) (extent, error) {
		e, err := heldSince(ctx, client, topic, s.Since)
		if err != nil || all {
			return e, err
		}
		at, err := committed(ctx, client, redriveGroup(cfg))
		if err != nil {
			return e, err
		}
		for p, start := range e.starts {
			e.starts[p] = max(start, at[p])
		}
		return newExtent(e.starts, e.ends), nil
	})
	if err != nil {
		return 0, err
	}
	defer r.close()
	for {
		records, err := r.poll(ctx, pollRecords)
		if errors.Is(err, io.EOF) {
			return others, s.absent(found, all)
		}
		if err != nil {
			return others, err
		}
		for _, rec := range records {
			d, err := parseDeadLetter(rec)
			if err != nil || d.Group != cfg.Kafka.Group {
				others++
				continue
			}
			if !s.has(&d) {
				continue
			}
			if len(s.IDs) > 0 {
				found[d.ID] = true
			}
			if err := f(&d); err != nil {
				return others, err
			}
		}
	}
}

// committed returns a group's offsets; none when there is no such group yet.
func committed(ctx context.Context, client *kgo.Client, group string) (map[topicPartition]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var offsets kadm.OffsetResponses
	err := Retry{Max: time.Second}.Do(ctx, "kafka", func(ctx context.Context) (err error) {
		offsets, err = kadm.NewClient(client).FetchOffsets(ctx, group)
		if errors.Is(err, kerr.CoordinatorNotAvailable) { // a new cluster makes the topic of the offsets when it is first asked for
			return err
		}
		return Permanent(err)
	})
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return nil, fmt.Errorf("offsets of group %s: %w", group, err)
	}
	at := map[topicPartition]int64{}
	for topic, partitions := range offsets {
		for id, o := range partitions {
			if o.Err != nil {
				return nil, fmt.Errorf("offset of group %s in %s-%d: %w", group, topic, id, o.Err)
			}
			at[topicPartition{topic, id}] = o.At
		}
	}
	return at, nil
}
