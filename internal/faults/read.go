package faults

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A stored is what the output's values and the cached ones say alike.
type stored struct {
	Version   string `json:"v"`
	ID        string
	Score     json.RawMessage
	EventTime time.Time `json:"event_time"`
	ScoredAt  time.Time `json:"scored_at"`
}

// ReadPrediction is what a record of the output says. Appended is the record's timestamp:
// right where the topic's is LogAppendTime.
func ReadPrediction(r *kgo.Record, seen time.Time) (Prediction, error) {
	var v stored
	if err := json.Unmarshal(r.Value, &v); err != nil {
		return Prediction{}, fmt.Errorf("output offset %d: %w: %s", r.Offset, err, r.Value)
	}
	s := ParseID(v.ID)
	s.Time = v.EventTime.UnixMilli()
	p := Prediction{Source: s, Entity: string(r.Key), Score: string(v.Score), OutPartition: r.Partition,
		ScoredAt: v.ScoredAt, Appended: r.Timestamp, Seen: seen}
	if !r.Attrs.IsTransactional() { // else the marker says
		p.Committed = r.Timestamp
	}
	return p, nil
}

// ReadDeadLetter is what a record of the dead letter topic says.
func ReadDeadLetter(r *kgo.Record, seen time.Time) DeadLetter {
	d := DeadLetter{Appended: r.Timestamp, Seen: seen}
	var at int64
	for _, h := range r.Headers {
		switch h.Key {
		case "scry-position":
			d.Source = ParseID(string(h.Value))
		case "kafka_dlt-original-timestamp":
			at = int64(binary.BigEndian.Uint64(h.Value))
		}
	}
	d.Time = at
	return d
}

// ReadCached is what a value in Redis says.
func ReadCached(value []byte) (Cached, error) {
	var v stored
	if err := json.Unmarshal(value, &v); err != nil {
		return Cached{}, fmt.Errorf("%w: %s", err, value)
	}
	return Cached{v.Version, v.ID, string(v.Score)}, nil
}

// ParseID takes topic-partition-offset apart.
func ParseID(id string) (s Source) {
	parts := strings.Split(id, "-")
	if len(parts) < 3 {
		return Source{Topic: id}
	}
	n := len(parts)
	partition, _ := strconv.ParseInt(parts[n-2], 10, 32)
	s.Offset, _ = strconv.ParseInt(parts[n-1], 10, 64)
	s.Partition, s.Topic = int32(partition), strings.Join(parts[:n-2], "-")
	return s
}
