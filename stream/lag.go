package stream

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// Lag is how far behind one partition is.
type Lag struct {
	Topic     string
	Partition int32
	Records   int64         // between the next position that is safe to commit and the end of the log
	Age       time.Duration // of the last record done, while Records is not 0
}

// watchEnds keeps the ends of the partitions known until ctx ends: what is fetched tells them,
// but while the consumer holds or waits for Redis nothing is, and lag grows all the same.
func (s *session) watchEnds(ctx context.Context) {
	c := s.consumer
	adm := kadm.NewClient(s.client)
	every(ctx, 5*time.Second, func() {
		if len(c.sources.all()) == 0 {
			return
		}
		ends, err := adm.ListEndOffsets(ctx, c.cfg.Input.Topics...)
		if err != nil {
			return // an outage, which others tell of
		}
		ends.Each(func(o kadm.ListedOffset) {
			if src := c.sources.get(o.Topic, o.Partition); src != nil && o.Err == nil {
				src.endsAt(o.Offset)
			}
		})
	})
}

// Lag returns the lag of the partitions assigned to this process, in their order.
func (c *Consumer) Lag() []Lag {
	safe := c.tracker.Positions()
	var all []Lag
	for _, src := range c.sources.all() {
		pos, ok := safe[src.partition]
		if !ok {
			continue
		}
		l := Lag{Topic: src.partition.Topic, Partition: src.partition.ID, Records: max(src.highWatermark.Load()-pos.Next, 0)}
		if last := src.lastAppend.Load(); l.Records > 0 && last > 0 {
			l.Age = max(time.Since(time.UnixMilli(last)), 0)
		}
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b Lag) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return all
}
