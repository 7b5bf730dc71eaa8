package stream

import (
	"cmp"
	"slices"
	"time"
)

// Lag is how far behind one partition is.
type Lag struct {
	Topic     string
	Partition int32
	Records   int64         // between the next position that is safe to commit and the end of the log
	Age       time.Duration // of the last record done, while Records is not 0
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
