package stream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"scry/checkpoint"
)

// resume decides where newly assigned partitions are read from. An error makes the
// client join again after a moment.
func (s *session) resume(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	<-s.joined
	c := s.consumer
	adm := kadm.NewClient(s.client)
	// These partitions' positions are final: the client has just asked for them, and nobody
	// else may move them. Other members' need not be.
	look, err := lookUp(ctx, adm, c.cfg.Kafka.Group, slices.Collect(maps.Keys(offsets)))
	if err != nil {
		c.log.Warn("cannot look up where to resume, trying again", "error", err)
		return nil, err
	}
	if born := c.born.Load(); born > 0 { // the group may have lost the commit that said so
		look.born = min(look.born, born)
	}
	c.born.Store(look.born) // before the first Assign: the commit timer may fire after any
	policy := c.cfg.Input.policy()
	taken := 0
	for topic, partitions := range offsets {
		for id := range partitions {
			p := checkpoint.Partition{Topic: topic, TopicID: look.ids[topic], ID: id}
			stored, epoch := look.stored(topic, id)
			bounds := look.bounds(topic, id)
			d := checkpoint.Resume(stored, bounds, p.TopicID, policy, look.born)
			if err := c.decided(p, d); err != nil {
				return nil, err
			}
			if d.Next == checkpoint.Unresolved {
				if d.Next, err = offsetAt(ctx, adm, topic, id, d.Since, bounds.End); err != nil {
					return nil, err
				}
			}
			from := checkpoint.Position{Next: d.Next, LeaderEpoch: -1}
			if d.Kind == checkpoint.Resumed {
				from.LeaderEpoch, from.EventTime = epoch, stored.Metadata.EventTime
			}
			own, known := c.tracker.Acknowledged(p)
			if err := s.assign(p, from, bounds.End, d.Kind == checkpoint.Resumed); err != nil {
				return nil, err
			}
			if known && checkpoint.Forgotten(stored, own) {
				c.log.Error("the group has lost a position that this process had committed: what lies between is predicted again",
					"topic", topic, "partition", id, "committed", own.Next, "offset", d.Next)
			}
			partitions[id] = kgo.NewOffset().At(d.Next).WithEpoch(from.LeaderEpoch)
			taken++
		}
	}
	if err := s.commit(ctx); err != nil {
		return nil, err
	}
	c.metrics.assigned.Set(float64(len(c.sources.all())))
	c.log.Info("partitions taken", "partitions", taken)
	return offsets, nil
}

// decided reports what a decision other than to resume means.
func (c *Consumer) decided(p checkpoint.Partition, d checkpoint.Decision) error {
	log := c.log.With("topic", p.Topic, "partition", p.ID, "decision", d.Kind.String())
	if d.Err != nil {
		err := fmt.Errorf("topic %s partition %d: %w", p.Topic, p.ID, d.Err)
		c.metrics.dataLoss(d)
		c.fail(err)
		return err
	}
	switch d.Kind {
	case checkpoint.Resumed:
	case checkpoint.Started:
		log.Info("starting without a committed offset", "start", c.cfg.Input.Start)
	default:
		c.metrics.dataLoss(d)
		log.Error("data loss: going on from the start of the log", "offset", d.Next, "lost", d.Lost)
	}
	return nil
}

// A lookup is what the brokers say about the partitions of some topics and where a
// group stands in them.
type lookup struct {
	ids          map[string][16]byte
	starts, ends kadm.ListedOffsets
	commits      kadm.OffsetResponses
	born         int64
}

func lookUp(ctx context.Context, adm *kadm.Client, group string, topics []string) (*lookup, error) {
	l := &lookup{ids: make(map[string][16]byte)}
	details, err := adm.ListTopics(ctx, topics...)
	if err != nil {
		return nil, fmt.Errorf("topics: %w", err)
	}
	for t, d := range details {
		l.ids[t] = d.ID
	}
	if l.starts, err = adm.ListStartOffsets(ctx, topics...); err != nil {
		return nil, fmt.Errorf("start offsets: %w", err)
	}
	if l.ends, err = adm.ListEndOffsets(ctx, topics...); err != nil {
		return nil, fmt.Errorf("end offsets: %w", err)
	}
	for _, listed := range []kadm.ListedOffsets{l.starts, l.ends} {
		if err := listedError(listed); err != nil {
			return nil, err
		}
	}
	// A group nobody has joined yet is unknown.
	if l.commits, err = adm.FetchOffsets(ctx, group); err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return nil, fmt.Errorf("committed offsets: %w", err)
	}
	for _, t := range topics {
		for id, o := range l.commits[t] {
			if o.Err != nil {
				return nil, fmt.Errorf("committed offset of %s-%d: %w", t, id, o.Err)
			}
		}
	}
	l.born = time.Now().UnixMilli()
	l.commits.Each(func(o kadm.OffsetResponse) {
		if m, _ := checkpoint.Decode(o.Metadata); m.Born > 0 {
			l.born = min(l.born, m.Born)
		}
	})
	return l, nil
}

func (l *lookup) stored(topic string, partition int32) (*checkpoint.Stored, int32) {
	o, ok := l.commits.Lookup(topic, partition)
	if !ok || o.At < 0 {
		return nil, -1
	}
	m, _ := checkpoint.Decode(o.Metadata)
	return &checkpoint.Stored{Next: o.At, Metadata: m}, o.LeaderEpoch
}

func (l *lookup) bounds(topic string, partition int32) checkpoint.Bounds {
	start, _ := l.starts.Lookup(topic, partition)
	end, _ := l.ends.Lookup(topic, partition)
	return checkpoint.Bounds{Start: start.Offset, End: end.Offset}
}

// offsetAt returns the first offset at or after a time, end when there is none yet.
func offsetAt(ctx context.Context, adm *kadm.Client, topic string, partition int32, since, end int64) (int64, error) {
	listed, err := adm.ListOffsetsAfterMilli(ctx, since, topic)
	if err != nil {
		return 0, fmt.Errorf("offset at %s: %w", time.UnixMilli(since).UTC().Format(time.RFC3339), err)
	}
	o, ok := listed.Lookup(topic, partition)
	if !ok {
		o.Err = errors.New("no broker answered for it")
	}
	if o.Err != nil {
		return 0, fmt.Errorf("offset at %s of %s-%d: %w", time.UnixMilli(since).UTC().Format(time.RFC3339), topic, partition, o.Err)
	}
	if o.Timestamp < 0 { // none that late: kadm answers with the end of now, which may have moved
		return end, nil
	}
	return o.Offset, nil
}
