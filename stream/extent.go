package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// An extent is a part of some topics: of each partition the offsets from its start up to
// before its end. Partitions of which that is nothing are not in it.
type extent struct {
	starts, ends map[topicPartition]int64
}

func newExtent(starts, ends map[topicPartition]int64) extent {
	e := extent{map[topicPartition]int64{}, map[topicPartition]int64{}}
	for p, end := range ends {
		if start := starts[p]; start < end {
			e.starts[p], e.ends[p] = start, end
		}
	}
	return e
}

// size is how many offsets there are; not all of them need to have a record.
func (e extent) size() (n int64) {
	for p, end := range e.ends {
		n += end - e.starts[p]
	}
	return n
}

// heldSince is what a topic holds now, as far as it is committed: all of it, or what has
// a timestamp of since or later.
func heldSince(ctx context.Context, client *kgo.Client, topic string, since time.Time) (extent, error) {
	adm := kadm.NewClient(client)
	ends, err := offsetsOf(adm.ListCommittedOffsets(ctx, topic))
	if err != nil {
		return extent{}, err
	}
	var starts map[topicPartition]int64
	if since.IsZero() {
		starts, err = offsetsOf(adm.ListStartOffsets(ctx, topic))
	} else {
		starts, err = offsetsOf(adm.ListOffsetsAfterMilli(ctx, since.UnixMilli(), topic))
	}
	if err != nil {
		return extent{}, err
	}
	return newExtent(starts, ends), nil
}

func offsetsOf(listed kadm.ListedOffsets, err error) (map[topicPartition]int64, error) {
	if err = cmp.Or(err, listedError(listed)); err != nil {
		return nil, err
	}
	offsets := map[topicPartition]int64{}
	listed.Each(func(o kadm.ListedOffset) { offsets[topicPartition{o.Topic, o.Partition}] = o.Offset })
	return offsets, nil
}

// listedError is why some offsets could not be listed: topics that are missing before all else.
func listedError(listed kadm.ListedOffsets) (err error) {
	var missing []string
	for topic, partitions := range listed {
		for id, o := range partitions {
			switch {
			case o.Err == nil:
			case errors.Is(o.Err, kerr.UnknownTopicOrPartition) && !slices.Contains(missing, topic):
				missing = append(missing, topic)
			case err == nil:
				err = fmt.Errorf("topic %s partition %d: %w", topic, id, o.Err)
			}
		}
	}
	if missing != nil {
		slices.Sort(missing)
		return noTopics(missing)
	}
	return err
}

// A head is what a partition shows a reader of committed records next.
type head struct {
	next   int64 // the offset of the first record at or after where was asked; -1: there is none
	stable int64 // up to here transactions have ended: the end of what can be read
}

// gone reports that there is no record before end and never will be: compaction took
// what was there, or the offsets belong to aborted transactions.
func (h head) gone(end int64) bool { return h.next >= end || h.next < 0 && h.stable >= end }

// headAt asks a partition's leader for the first record at or after an offset. Markers of
// transactions count as records here: a poll that keeps them returns them. A poll itself
// does not tell that there is nothing to come, so nothing else finds the end of a log
// whose last records are gone.
func headAt(ctx context.Context, client *kgo.Client, at topicPartition, from int64) (head, error) {
	adm := kadm.NewClient(client)
	details, err := adm.ListTopics(ctx, at.topic)
	if err != nil {
		return head{}, err
	}
	topic := details[at.topic]
	partition, ok := topic.Partitions[at.partition]
	if err := errors.Join(topic.Err, partition.Err); err != nil || !ok {
		return head{}, errors.Join(fmt.Errorf("%s-%d cannot be read", at.topic, at.partition), err)
	}
	leader := client.Broker(int(partition.Leader))
	for {
		p, err := fetchOnce(ctx, leader, topic.ID, at, from)
		if errors.Is(err, kerr.OffsetOutOfRange) {
			starts, err := offsetsOf(adm.ListStartOffsets(ctx, at.topic))
			if err != nil || starts[at] <= from {
				return head{}, fmt.Errorf("%s-%d: offset %d is not in the log: %w", at.topic, at.partition, from, errors.Join(kerr.OffsetOutOfRange, err))
			}
			from = starts[at] // retention took what was before
			continue
		}
		if err != nil {
			return head{}, err
		}
		if len(p.RecordBatches) == 0 {
			return head{-1, p.LastStableOffset}, nil
		}
		o := kgo.ProcessFetchPartitionOpts{Topic: at.topic, Partition: at.partition, Offset: from,
			KeepControlRecords: true, IsolationLevel: kgo.ReadCommitted()}
		got, next := kgo.ProcessFetchPartition(o, p, kgo.DefaultDecompressor(), nil)
		switch {
		case got.Err != nil:
			return head{}, got.Err
		case len(got.Records) > 0:
			return head{got.Records[0].Offset, p.LastStableOffset}, nil
		case next <= from:
			return head{}, fmt.Errorf("%s-%d: nothing can be read at offset %d", at.topic, at.partition, from)
		}
		from = next // behind batches that compaction emptied, and what was aborted
	}
}

// fetchOnce asks a broker once for what it has of a partition, and does not wait for more.
func fetchOnce(ctx context.Context, leader *kgo.Broker, id [16]byte, at topicPartition, from int64) (*kmsg.FetchResponseTopicPartition, error) {
	req := kmsg.NewPtrFetchRequest()
	req.ReplicaID, req.MaxBytes, req.IsolationLevel, req.SessionEpoch = -1, 1<<20, 1, -1
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID = at.topic, id
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = at.partition, from, 1<<20
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	answer, err := leader.Request(ctx, req)
	if err != nil {
		return nil, err
	}
	r := answer.(*kmsg.FetchResponse)
	if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
		return nil, err
	}
	if len(r.Topics) != 1 || len(r.Topics[0].Partitions) != 1 {
		return nil, fmt.Errorf("%s-%d: no answer to a fetch", at.topic, at.partition)
	}
	got := &r.Topics[0].Partitions[0]
	return got, kerr.ErrorForCode(got.ErrorCode)
}
