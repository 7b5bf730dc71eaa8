package stream

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"scry/predictor"
)

// A Span is a time in the input topics: in each partition what lies from the first record
// with a timestamp of From or later up to the first one with a timestamp of To or later,
// by Kafka's index of timestamps. Both in milliseconds; what is finer is cut off.
type Span struct{ From, To time.Time }

// Validate returns what is wrong with the span.
func (s Span) Validate() error {
	switch {
	case !s.From.Before(s.To):
		return fmt.Errorf("the span from %s to %s is empty: it must begin before it ends", stamp(s.From), stamp(s.To))
	case s.To.After(time.Now()):
		return fmt.Errorf("the span ends at %s, which is yet to come", stamp(s.To))
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

func (s Span) extent(ctx context.Context, client *kgo.Client, topics []string) (extent, error) {
	adm := kadm.NewClient(client)
	starts, err := offsetsOf(adm.ListOffsetsAfterMilli(ctx, max(s.From.UnixMilli(), 0), topics...))
	if err != nil {
		return extent{}, fmt.Errorf("offsets at %s: %w", stamp(s.From), err)
	}
	ends, err := offsetsOf(adm.ListOffsetsAfterMilli(ctx, max(s.To.UnixMilli(), 0), topics...))
	if err != nil {
		return extent{}, fmt.Errorf("offsets at %s: %w", stamp(s.To), err)
	}
	return newExtent(starts, ends), nil
}

// A Replay says what ReplaySpan does.
type Replay struct {
	Span
	// Progress is told how many offsets of how many are through. It may be nil.
	Progress func(done, total int64)
}

// Replayed counts what became of a span's records, in one call: what an earlier one that
// was cut short did is not in it.
type Replayed struct {
	Group       string            `json:"group"`
	Resumed     bool              `json:"resumed"` // an earlier call had begun
	Done        bool              `json:"done"`    // and come to the end: there was nothing to do
	Read        int64             `json:"read"`
	Predictions int64             `json:"predictions"`
	Tombstones  int64             `json:"tombstones"`
	Rejected    int64             `json:"rejected"`
	Reasons     map[string]int64  `json:"reasons"`  // of what was rejected
	Examples    map[string]Reject `json:"examples"` // the first of each reason
	Written     int64             `json:"cache_written"`
	Stale       int64             `json:"cache_stale"`
	Expired     int64             `json:"cache_expired"`
	Lost        int64             `json:"lost"` // records that were gone before they were read
}

// A Reject is an event that has no prediction.
type Reject struct {
	ID      string `json:"id"`
	Message string `json:"message"`
}

// rejects takes in what a replay has no prediction for, instead of dead letters.
type rejects struct {
	mu    sync.Mutex
	first map[string]Reject
}

func (k *rejects) add(r *kgo.Record, j *reject) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, ok := k.first[j.reason]; !ok {
		k.first[j.reason] = newReject(r, j)
	}
}

func newReject(r *kgo.Record, j *reject) Reject {
	return Reject{recordID(r), truncate(j.err.Error(), 1024)}
}

func recordID(r *kgo.Record) string { return fmt.Sprintf("%s-%d-%d", r.Topic, r.Partition, r.Offset) }

// replayGroup is a group of the span's own, so that what was begun goes on. With another
// model, mapping or target it is another replay, and begins at the beginning.
func replayGroup(c Config, d *predictor.Deployment, s Span) string {
	const compact = "20060102T150405.999Z0700"
	what := sha256.Sum256(fmt.Append(nil, d.Name, d.Version, d.Digest, d.Threshold, d.Features, c.Input, c.Output.Topic, c.Cache.URL != ""))
	return fmt.Sprintf("%s.replay.%s-%s.%x", c.Kafka.Group, s.From.UTC().Format(compact), s.To.UTC().Format(compact), what[:4])
}

// replayConfig is the pipeline's Config for a replay. Rejected events become no dead
// letters: the pipeline made them when it read the events first, and a redrive would
// score each of two.
func replayConfig(c Config, group string, s Span) Config {
	c.Kafka.Group = group
	c.Kafka.Instance = "" // the running consumer's
	c.Input.Start = stamp(s.From)
	c.Input.OnDataLoss = "earliest" // counted; the extent bounds it
	c.Output.DeadLetterTopic = ""
	c.Cache = c.Cache.besideProjector()
	c.Cache.OnFailure = "block"
	c.Delivery.Guarantee = "at_least_once"
	c.Delivery.CommitInterval = time.Second / 5
	return c
}

// ReplaySpan scores a span of the input topics again with d as a Consumer would, and
// returns when it has come to its end. The predictions go to cfg's output topic and
// cache; in the cache a newer one stays, and one of the same event is replaced.
//
// It has a consumer group of its own, so a running pipeline does not notice. At least
// once: a call that was cut short is gone on with by the next one for the same span and
// model. When all is through, the group is deleted, and another call begins anew. A
// record in a transaction that is open is waited for.
func ReplaySpan(ctx context.Context, cfg Config, d *predictor.Deployment, o Replay, env Env) (Replayed, error) {
	o.From, o.To = o.From.Truncate(time.Millisecond), o.To.Truncate(time.Millisecond)
	if err := o.Validate(); err != nil {
		return Replayed{}, err
	}
	env.Registerer = nil // the metrics are the running consumer's
	sum := Replayed{Group: replayGroup(cfg, d, o.Span)}
	c, err := New(replayConfig(cfg, sum.Group, o.Span), d, env)
	if err != nil {
		return sum, err
	}
	c.rejects = &rejects{first: map[string]Reject{}}
	look, err := kgo.NewClient(c.connect...)
	if err != nil {
		return sum, err
	}
	defer look.Close()
	e := &ending{group: sum.Group, look: look, log: c.log, progress: o.Progress}
	if e.extent, err = o.extent(ctx, look, cfg.Input.Topics); err != nil {
		return sum, c.explained(err)
	}
	before, err := committed(ctx, look, sum.Group)
	if err != nil {
		return sum, c.explained(err)
	}
	sum.Resumed = len(before) > 0
	c.log.Info("replay", "from", stamp(o.From), "to", stamp(o.To), "group", sum.Group, "resumed", sum.Resumed)
	through, err := e.reached(ctx)
	if err != nil {
		return sum, c.explained(err)
	}
	if sum.Done = through && sum.Resumed; !through {
		through, err = c.runTo(ctx, e)
	}
	sum.count(c)
	if err != nil {
		return sum, err
	}
	if !through {
		return sum, fmt.Errorf("stopped before the end; the same command with --from %s --to %s goes on", stamp(o.From), stamp(o.To))
	}
	return sum, deleteGroup(ctx, look, sum.Group)
}

// count takes what c counted.
func (sum *Replayed) count(c *Consumer) {
	t := c.stats.Totals()
	sum.Predictions, sum.Tombstones, sum.Rejected = int64(t.Predicted), int64(t.Tombstones), int64(t.DeadLetters)
	sum.Read = sum.Predictions + sum.Tombstones + sum.Rejected
	sum.Reasons = map[string]int64{}
	for reason, n := range c.metrics.rejected {
		if n := counted(n); n > 0 {
			sum.Reasons[reason] = n
		}
	}
	sum.Examples = c.rejects.first
	sum.Written, sum.Stale = counted(c.metrics.cacheWrites["written"]), counted(c.metrics.cacheWrites["stale"])
	sum.Expired, sum.Lost = counted(c.metrics.cacheWrites["expired"]), counted(c.metrics.lost)
}

func counted(c prometheus.Counter) int64 {
	var m dto.Metric
	_ = c.Write(&m) // of a counter it has none
	return int64(m.GetCounter().GetValue())
}

// deleteGroup forgets that a replay was done. A member of another process may still be
// in the group; it does the same when it leaves.
func deleteGroup(ctx context.Context, client *kgo.Client, group string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	r, err := kadm.NewClient(client).DeleteGroup(ctx, group)
	switch err = errors.Join(err, r.Err); {
	case err == nil, errors.Is(err, kerr.GroupIDNotFound), errors.Is(err, kerr.NonEmptyGroup):
		return nil
	}
	return fmt.Errorf("all is replayed, but group %s cannot be deleted: %w; until it is, for example by kafka-consumer-groups.sh --delete, the same replay does nothing", group, err)
}
