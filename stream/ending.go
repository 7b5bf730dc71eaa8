package stream

import (
	"context"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// An ending makes a Consumer come to an end: its input is an extent, and when its group
// has committed all of that, it stops. Redrives and replays have one.
//
// What is asked is the brokers, not the consumer: that takes in partitions that other
// members of the group have, and what an earlier run did.
type ending struct {
	extent
	group    string
	look     *kgo.Client // not a member of the group
	log      *slog.Logger
	progress func(done, total int64) // may be nil
	still    map[topicPartition]standstill
}

// A standstill is a position that has not moved for a while.
type standstill struct {
	next  int64
	since time.Time
	gone  bool // there is nothing left before the end
	told  bool
}

// runTo runs c until its ending, and reports whether it came there. An error is why it
// did not; there is none when ctx ended.
func (c *Consumer) runTo(ctx context.Context, e *ending) (through bool, err error) {
	c.ending = e
	run, cancel := context.WithCancel(ctx)
	defer cancel()
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		defer cancel()
		through = e.watch(run)
	}()
	err = c.Run(run)
	cancel()
	<-watched
	return through, err
}

// cut returns a partition's records within the extent. A partition that is past its end
// is fetched no more, until it is assigned anew.
func (c *Consumer) cut(p kgo.FetchTopicPartition) []*kgo.Record {
	at := topicPartition{p.Topic, p.Partition}
	from, to := 0, len(p.Records)
	for to > 0 && p.Records[to-1].Offset >= c.ending.ends[at] {
		to--
	}
	for from < to && p.Records[from].Offset < c.ending.starts[at] {
		from++
	}
	if to < len(p.Records) {
		c.client.Load().PauseFetchPartitions(map[string][]int32{p.Topic: {p.Partition}})
	}
	recycle(p.Records[:from])
	recycle(p.Records[to:])
	return p.Records[from:to]
}

// watch returns true when the ending is reached, false when ctx ends first.
func (e *ending) watch(ctx context.Context) bool {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		if through, err := e.reached(ctx); err == nil && through {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
}

func (e *ending) reached(ctx context.Context) (bool, error) {
	at, err := committed(ctx, e.look, e.group)
	if err != nil {
		return false, err
	}
	left := int64(0)
	for p, end := range e.ends {
		next := min(max(at[p], e.starts[p]), end)
		if next < end && !e.goneFrom(ctx, p, next) {
			left += end - next
		}
	}
	if e.progress != nil {
		e.progress(e.size()-left, e.size())
	}
	return left == 0, nil
}

// goneFrom reports that there is nothing from next on to a partition's end. It asks when
// the position has stood still for a while, and again when it still does.
func (e *ending) goneFrom(ctx context.Context, p topicPartition, next int64) bool {
	s, ok := e.still[p]
	switch {
	case !ok || s.next != next:
		s = standstill{next: next, since: time.Now()}
	case !s.gone && time.Since(s.since) >= quiet:
		s.since = time.Now()
		h, err := headAt(ctx, e.look, p, next)
		s.gone = err == nil && h.gone(e.ends[p])
		if err == nil && !s.gone && h.next < 0 && !s.told {
			s.told = true
			e.log.Warn("waiting for a transaction that is open", "topic", p.topic, "partition", p.partition, "offset", h.stable)
		}
	}
	if e.still == nil {
		e.still = map[topicPartition]standstill{}
	}
	e.still[p] = s
	return s.gone
}
