package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"scry/checkpoint"
)

// A Group is a consumer group seen from outside, without being a member: where it
// stands, and, while it has no members, a hand to move it.
type Group struct {
	name   string
	topics []string
	kafka  KafkaConfig
	client *kgo.Client
	adm    *kadm.Client
}

// OpenGroup makes a Group of the configured one. It connects at the first question.
func OpenGroup(cfg Config) (*Group, error) {
	client, err := cfg.Kafka.Client(kgo.MetadataMinAge(100 * time.Millisecond))
	if err != nil {
		return nil, err
	}
	return &Group{cfg.Kafka.Group, cfg.Input.Topics, cfg.Kafka, client, kadm.NewClient(client)}, nil
}

// Close ends the connections.
func (g *Group) Close() { g.client.Close() }

// A Standing is where a group stands.
type Standing struct {
	Group     string              `json:"group"`
	State     string              `json:"state"`
	Members   int                 `json:"members"`
	Cluster   string              `json:"cluster"` // the cluster's id
	At        time.Time           `json:"at"`      // when this was asked
	Positions []PartitionStanding `json:"positions"`
}

// A PartitionStanding is where a group stands in one partition.
type PartitionStanding struct {
	Topic     string    `json:"topic"`
	TopicID   string    `json:"topic_id"` // hex; it changes when the topic is made anew
	Partition int32     `json:"partition"`
	Next      int64     `json:"next"`         // the next offset to read; -1: none is committed
	Start     int64     `json:"start"`        // of the log
	End       int64     `json:"end"`          // of the log
	EventTime int64     `json:"event_time"`   // the highest before Next, Unix ms; 0: unknown
	Due       time.Time `json:"due,omitzero"` // the timestamp of the record at Next; zero: there is none yet
}

// Lag is how many records lie before the end.
func (p PartitionStanding) Lag() int64 { return p.End - max(p.Next, p.Start) }

// Standing asks where the group stands in the input topics.
func (g *Group) Standing(ctx context.Context) (Standing, error) {
	look, err := lookUp(ctx, g.adm, g.name, g.topics)
	if err != nil {
		return Standing{}, g.kafka.Explained(err)
	}
	s := Standing{Group: g.name, At: time.Now().UTC().Truncate(time.Millisecond)}
	if s.State, s.Members, err = describeGroup(ctx, g.adm, g.name); err != nil {
		return Standing{}, g.kafka.Explained(err)
	}
	meta, err := g.adm.BrokerMetadata(ctx)
	if err != nil {
		return Standing{}, g.kafka.Explained(err)
	}
	s.Cluster = meta.Cluster
	for _, o := range look.ends.Offsets().Sorted() {
		bounds := look.bounds(o.Topic, o.Partition)
		p := PartitionStanding{Topic: o.Topic, TopicID: fmt.Sprintf("%x", look.ids[o.Topic]), Partition: o.Partition,
			Next: -1, Start: bounds.Start, End: bounds.End}
		if stored, _ := look.stored(o.Topic, o.Partition); stored != nil {
			p.Next, p.EventTime = stored.Next, stored.Metadata.EventTime
		}
		s.Positions = append(s.Positions, p)
	}
	return s, g.due(ctx, s.Positions)
}

// due reads the record each position waits for, to tell its time.
func (g *Group) due(ctx context.Context, ps []PartitionStanding) error {
	at := map[string]map[int32]kgo.Offset{}
	index := map[topicPartition]int{}
	for i, p := range ps {
		if p.Lag() <= 0 {
			continue
		}
		if at[p.Topic] == nil {
			at[p.Topic] = map[int32]kgo.Offset{}
		}
		at[p.Topic][p.Partition] = kgo.NewOffset().At(max(p.Next, p.Start))
		index[topicPartition{p.Topic, p.Partition}] = i
	}
	if len(index) == 0 {
		return nil
	}
	g.client.AddConsumePartitions(at)
	defer g.client.PurgeTopicsFromConsuming(g.topics...)
	// A partition may hold markers only, or what is not committed yet: it has no time then.
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	for len(index) > 0 && ctx.Err() == nil {
		g.client.PollFetches(ctx).EachPartition(func(p kgo.FetchTopicPartition) {
			k := topicPartition{p.Topic, p.Partition}
			if i, ok := index[k]; ok && len(p.Records) > 0 {
				ps[i].Due = p.Records[0].Timestamp.UTC()
				delete(index, k)
			}
		})
	}
	return nil
}

// ErrRunning is a group that has members: it would not notice, or undo, being moved.
var ErrRunning = errors.New("the group is running")

// A Move takes one partition's position somewhere else.
type Move struct {
	Topic     string
	Partition int32
	From, To  int64 // offsets; From is -1 without a commit
}

// OffsetAt returns the first offset of a partition at or after a time, the end of the
// log when there is none.
func (g *Group) OffsetAt(ctx context.Context, p PartitionStanding, at time.Time) (int64, error) {
	n, err := offsetAt(ctx, g.adm, p.Topic, p.Partition, at.UnixMilli(), p.End)
	if err != nil {
		return 0, g.kafka.Explained(err)
	}
	return n, nil
}

// Commit moves the group. It refuses while the group has members, and leaves when the
// group was born as it is, so that start: latest goes on meaning the same.
func (g *Group) Commit(ctx context.Context, moves []Move) error {
	state, members, err := describeGroup(ctx, g.adm, g.name)
	if err != nil {
		return g.kafka.Explained(err)
	}
	if members > 0 {
		return fmt.Errorf("%w: %s is %s with %d members; stop them first", ErrRunning, g.name, state, members)
	}
	look, err := lookUp(ctx, g.adm, g.name, g.topics)
	if err != nil {
		return g.kafka.Explained(err)
	}
	offsets := kadm.Offsets{}
	for _, m := range moves {
		offsets.Add(kadm.Offset{Topic: m.Topic, Partition: m.Partition, At: m.To, LeaderEpoch: -1,
			Metadata: checkpoint.Encode(checkpoint.Metadata{TopicID: look.ids[m.Topic], Born: look.born})})
	}
	return g.kafka.Explained(g.adm.CommitAllOffsets(ctx, g.name, offsets))
}
