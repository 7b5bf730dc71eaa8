package stream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"scry/checkpoint"
)

// The group's callbacks. The client runs them one at a time on its own goroutine,
// never while a poll is being taken apart (BlockRebalanceOnPoll), so a record's ticket
// is begun in the assignment it was fetched in. After that the race is between a
// batch's Done and a revoke, and the tracker's lock decides it: a Done that comes
// after Revoke has returned changes nothing.

type topicPartition struct {
	topic     string
	partition int32
}

// sources holds what is known of the assigned partitions.
type sources struct {
	mu sync.Mutex
	m  map[topicPartition]*source
}

func (s *sources) get(topic string, partition int32) *source {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.m[topicPartition{topic, partition}]
}

func (s *sources) add(src *source) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m == nil {
		s.m = make(map[topicPartition]*source)
	}
	s.m[topicPartition{src.partition.Topic, src.partition.ID}] = src
}

func (s *sources) remove(topic string, partition int32) *source {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := topicPartition{topic, partition}
	src := s.m[k]
	delete(s.m, k)
	if src != nil {
		close(src.revoked)
	}
	return src
}

func (s *sources) all() []*source {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*source, 0, len(s.m))
	for _, src := range s.m {
		all = append(all, src)
	}
	return all
}

// assigned is told of a new generation, also by a member that is given nothing: one more
// than there are partitions stands by, ready.
func (c *Consumer) assigned(context.Context, *kgo.Client, map[string][]int32) { c.health.start() }

// resume decides where newly assigned partitions are read from. An error makes the
// client join again after a moment.
func (c *Consumer) resume(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	<-c.joined // the client calls before its constructor has returned
	adm := kadm.NewClient(c.client)
	look, err := lookUp(ctx, adm, c.cfg.Kafka.Group, slices.Collect(maps.Keys(offsets)))
	if err != nil {
		c.log.Warn("cannot look up where to resume, trying again", "error", err)
		return nil, err
	}
	policy := c.cfg.Input.policy()
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
			src := newSource(p)
			src.highWatermark.Store(bounds.End)
			src.position = from.Next
			c.sources.add(src)
			c.tracker.Assign(p, from, d.Kind == checkpoint.Resumed)
			partitions[id] = kgo.NewOffset().At(d.Next).WithEpoch(from.LeaderEpoch)
		}
	}
	c.born.Store(look.born)
	if err := c.commit(ctx); err != nil {
		return nil, err
	}
	c.metrics.assigned.Set(float64(len(c.sources.all())))
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
		log.Error("data loss: going on from the start of the log as input.on_data_loss says", "offset", d.Next, "lost", d.Lost)
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
		if err := listed.Error(); err != nil {
			return nil, fmt.Errorf("offsets: %w", err)
		}
	}
	// A group nobody has joined yet is unknown.
	if l.commits, err = adm.FetchOffsets(ctx, group); err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return nil, fmt.Errorf("committed offsets: %w", err)
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
	if !ok || o.Err != nil {
		return 0, fmt.Errorf("offset at %s of %s-%d: %w", time.UnixMilli(since).UTC().Format(time.RFC3339), topic, partition, errors.Join(o.Err))
	}
	if o.Timestamp < 0 { // none that late: kadm answers with the end of now, which may have moved
		return end, nil
	}
	return o.Offset, nil
}

// revoked gives partitions back: what is in flight has until the deadline to become
// durable, what is durable is committed, and the rest is another member's to read again.
func (c *Consumer) revoked(ctx context.Context, _ *kgo.Client, lost map[string][]int32) {
	ps := c.partitions(lost)
	if len(ps) == 0 {
		return
	}
	c.metrics.rebalances.Inc()
	deadline, cancel := context.WithTimeout(c.work, c.cfg.Delivery.DrainTimeout)
	defer cancel()
	for c.tracker.InFlight(ps...) > 0 && deadline.Err() == nil && !c.health.holding() {
		changed := c.window.changed()
		if c.tracker.InFlight(ps...) == 0 {
			break
		}
		select {
		case <-changed:
		case <-deadline.Done():
		}
	}
	if err := c.commit(c.work); err != nil {
		c.log.Warn("commit before giving partitions back failed: their last events will be read again", "error", err)
	}
	c.forget(ps, "revoked")
}

// lost drops partitions that are someone else's already: committing would be refused,
// or worse, accepted.
func (c *Consumer) lost(_ context.Context, _ *kgo.Client, lost map[string][]int32) {
	c.metrics.rebalances.Inc()
	c.forget(c.partitions(lost), "lost")
}

func (c *Consumer) partitions(m map[string][]int32) []checkpoint.Partition {
	var ps []checkpoint.Partition
	for topic, ids := range m {
		for _, id := range ids {
			if src := c.sources.get(topic, id); src != nil {
				ps = append(ps, src.partition)
			}
		}
	}
	return ps
}

func (c *Consumer) forget(ps []checkpoint.Partition, how string) {
	abandoned := 0
	for _, p := range ps {
		abandoned += c.tracker.Revoke(p)
		c.sources.remove(p.Topic, p.ID)
	}
	c.metrics.assigned.Set(float64(len(c.sources.all())))
	if len(ps) > 0 {
		c.log.Info("partitions given up", "how", how, "partitions", len(ps), "batches_abandoned", abandoned)
	}
}

// fetchError decides what an error from the poll means. The client retries by itself
// whatever can mend.
func (c *Consumer) fetchError(ctx context.Context, topic string, partition int32, err error) {
	var loss *kgo.ErrDataLoss
	switch {
	case ctx.Err() != nil, errors.Is(err, kgo.ErrClientClosed), errors.Is(err, context.Canceled):
	case errors.Is(err, kerr.OffsetOutOfRange):
		c.outOfRange(ctx, topic, partition)
	case errors.As(err, &loss):
		c.log.Error("data loss: the log was truncated", "topic", topic, "partition", partition, "error", err)
		c.fail(fmt.Errorf("topic %s partition %d: %w; start again to go on from what is left", topic, partition, err))
	case errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, kerr.UnknownTopicID), errors.Is(err, kerr.InconsistentTopicID):
		c.fail(fmt.Errorf("input topic %s was deleted or recreated: %w; start again, and input.on_data_loss decides", topic, err))
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		c.fail(fmt.Errorf("not allowed to read topic %s: %w; grant READ to this user", topic, err))
	case errors.Is(err, kerr.FencedInstanceID):
		c.fail(fenced(err))
	case errors.Is(err, kerr.GroupAuthorizationFailed):
		c.fail(fmt.Errorf("not allowed to join group %s: %w; grant READ on the group to this user", c.cfg.Kafka.Group, err))
	default:
		if err = c.explained(err); IsPermanent(err) {
			c.fail(err)
			return
		}
		c.log.Warn("fetch or group session failed, the client tries again", "topic", topic, "partition", partition, "error", err)
	}
}

func fenced(err error) error {
	return fmt.Errorf("another process has taken this instance's place in the group: %w; give each its own kafka.instance", err)
}

// outOfRange is retention overtaking the consumer while it runs.
func (c *Consumer) outOfRange(ctx context.Context, topic string, partition int32) {
	src := c.sources.get(topic, partition)
	if src == nil {
		return
	}
	adm := kadm.NewClient(c.client)
	var bounds checkpoint.Bounds
	err := c.retry.Do(ctx, "kafka", func(ctx context.Context) error {
		starts, err := adm.ListStartOffsets(ctx, topic)
		if err != nil {
			return err
		}
		ends, err := adm.ListEndOffsets(ctx, topic)
		if err != nil {
			return err
		}
		s, _ := starts.Lookup(topic, partition)
		e, _ := ends.Lookup(topic, partition)
		bounds = checkpoint.Bounds{Start: s.Offset, End: e.Offset}
		return errors.Join(s.Err, e.Err)
	})
	if err != nil {
		return // stopping
	}
	d := checkpoint.Resume(&checkpoint.Stored{Next: src.position}, bounds, src.partition.TopicID, c.cfg.Input.policy(), 0)
	if c.decided(src.partition, d) != nil {
		return
	}
	src.position = d.Next
	c.client.SetOffsets(map[string]map[int32]kgo.EpochOffset{topic: {partition: {Epoch: -1, Offset: d.Next}}})
}
