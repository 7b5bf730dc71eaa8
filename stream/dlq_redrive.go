package stream

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"scry/checkpoint"
	"scry/predictor"
)

// A redrive is a Consumer whose input is the dead letter topic. The path of an event is
// the ordinary one, to the last commit; what is different is here: each record is made
// into the event it was before it is scored, and the end of the topic as of the start
// is the end of the run.
//
// There is no key of the Config for it and no second path: a Consumer either has a
// redrive or not, and asks it where it takes records (restore), where a prediction gets its
// id (batch.origins), and where an event fails again or is refused (deadLetter).
//
// The dead letters are a queue. One that is not chosen goes to its back as it is, with
// its own timestamp; one that fails again does so too, with one attempt more. So the
// group's offset is all there is to remember: what lies behind it is done, or stays
// for ever. A redrive of some ends behind the last of them, and moves nothing else.
type redrive struct {
	Redrive
	topic   string // of the dead letters
	group   string // whose they are
	sources map[topicPartition]*source
	next    map[int32]int64 // after the last record counted in stay
	stay    Redriven        // those that have no row
}

// A Redrive says what RedriveDeadLetters does.
type Redrive struct {
	Select      Selection
	MaxAttempts int // one tried so often stays where it is
	// Value, when it is not nil, stands in for that of each chosen one: the event as it
	// should have been.
	Value []byte
	// Progress is told how many offsets of how many are through. It may be nil.
	Progress func(done, total int64)
}

// Redriven counts what became of dead letters.
type Redriven struct {
	Scored    int64 `json:"scored"`    // have a prediction now, or are passed on as tombstones
	Failed    int64 `json:"failed"`    // are dead letters again, with one attempt more
	NotChosen int64 `json:"unchosen"`  // wait at the back of the topic
	Exhausted int64 `json:"exhausted"` // were tried MaxAttempts times: stay where they are
	Cut       int64 `json:"cut"`       // lack a part of their value: cannot be scored
	Foreign   int64 `json:"foreign"`   // of another group or program
}

// An origin is what a record of a batch was before it was a dead letter. The zero value:
// it still is one, not chosen.
type origin struct {
	source   *source // the partition it came from
	attempts int
}

const reasonKept = "kept"

// keptBack stands for a dead letter that is not chosen.
var keptBack = &reject{stage: "redrive", reason: reasonKept, err: errors.New("not chosen")}

func (b *batch) kept(i int) bool { return len(b.origins) > 0 && b.origins[i].source == nil }

func redriveGroup(c Config) string { return c.Kafka.Group + ".redrive" }

// redriveConfig is the pipeline's Config with its dead letters as input.
func redriveConfig(c Config) Config {
	c.Kafka.Group = redriveGroup(c)
	c.Kafka.Instance = "" // the running consumer's
	c.Input.Topics = []string{c.Output.DeadLetterTopic}
	c.Input.Start = "earliest"
	c.Input.OnDataLoss = "earliest" // dead letters past their retention are gone
	c.Output.HoldWhenRejected = 1   // they were rejected before; MaxAttempts is the brake
	c.Delivery.CommitInterval = time.Second / 5
	c.Cache = c.Cache.besideProjector()
	return c
}

// RedriveDeadLetters scores the chosen dead letters with d as a Consumer would have, and
// returns when it has come to the end of the topic as of its start. An event keeps its
// identity: its prediction has the id and the version that it would have had at first,
// so readers and the cache see no new event. It promises what the pipeline does: what is
// not durable when it is cut short is redriven by the next call, and nothing else is. It writes output,
// cache and dead letter topic, never the source. An ID that does not wait is an error, before
// anything is written.
func RedriveDeadLetters(ctx context.Context, cfg Config, d *predictor.Deployment, o Redrive, env Env) (Redriven, error) {
	env.Registerer = nil // the metrics are the running consumer's
	c, err := New(redriveConfig(cfg), d, env)
	if err != nil {
		return Redriven{}, err
	}
	look, err := kgo.NewClient(c.connect...)
	if err != nil {
		return Redriven{}, err
	}
	defer look.Close()
	topic := cfg.Output.DeadLetterTopic
	e, err := heldSince(ctx, look, topic, time.Time{})
	if err != nil {
		return Redriven{}, c.explained(err)
	}
	if len(o.Select.IDs) > 0 || o.Select.byReasonOrTime() {
		if e.ends, err = behindChosen(ctx, cfg, o.Select); err != nil {
			return Redriven{}, err
		}
	}
	c.redrive = &redrive{Redrive: o, topic: topic, group: cfg.Kafka.Group, sources: map[topicPartition]*source{}, next: map[int32]int64{}}
	c.metrics.rejected[reasonKept] = prometheus.NewCounter(prometheus.CounterOpts{Name: reasonKept})

	through, err := c.runTo(ctx, &ending{extent: e, group: c.cfg.Kafka.Group, look: look, log: c.log, progress: o.Progress})
	sum := c.redrive.stay
	t := c.stats.Totals()
	sum.Scored, sum.Failed, sum.NotChosen = int64(t.Predicted+t.Tombstones), int64(t.DeadLetters), c.stats.notChosen()
	if err == nil && !through {
		err = errors.New("stopped before the end; the same command goes on")
	}
	return sum, err
}

// behindChosen is, of each partition that holds any of the chosen that wait, the offset
// behind the last: what lies beyond need not move.
func behindChosen(ctx context.Context, cfg Config, s Selection) (map[topicPartition]int64, error) {
	ends := map[topicPartition]int64{}
	_, err := EachDeadLetter(ctx, cfg, false, s, func(d *DeadLetter) error {
		ends[topicPartition{cfg.Output.DeadLetterTopic, d.Partition}] = d.Offset + 1
		return nil
	})
	return ends, err
}

// restore makes a dead letter into the event it was, if it is chosen, and notes in the
// batch what it is. false: it has no row, and stays where it is.
func (r *redrive) restore(b *batch, rec *kgo.Record) bool {
	d, err := parseDeadLetter(rec)
	switch {
	case err != nil, d.Group != r.group:
		return r.stays(rec, &r.stay.Foreign)
	case !r.Select.has(&d):
		b.origins = append(b.origins, origin{})
		return true
	case d.Cut != "" && r.Value == nil:
		return r.stays(rec, &r.stay.Cut)
	case d.Attempts >= r.MaxAttempts:
		return r.stays(rec, &r.stay.Exhausted)
	}
	from := topicPartition{d.Topic, d.SourcePartition}
	if r.sources[from] == nil {
		r.sources[from] = newSource(checkpoint.Partition{Topic: d.Topic, ID: d.SourcePartition})
	}
	b.origins = append(b.origins, origin{r.sources[from], d.Attempts})
	rec.Topic, rec.Partition, rec.Offset, rec.Timestamp, rec.Headers = d.Topic, d.SourcePartition, d.SourceOffset, d.SourceTime, d.Headers
	if r.Value != nil {
		rec.Value = r.Value
	}
	return true
}

// stays counts a record that stays where it is, once: what is not committed is read again.
func (r *redrive) stays(rec *kgo.Record, count *int64) bool {
	if rec.Offset >= r.next[rec.Partition] {
		r.next[rec.Partition] = rec.Offset + 1
		*count++
	}
	return false
}

// deadLetter is what a dead letter becomes that is not chosen or has failed again.
func (r *redrive) deadLetter(b *batch, i, keep int) kgo.Record {
	rec := b.records[i]
	if b.kept(i) {
		return kgo.Record{Topic: r.topic, Key: rec.Key, Value: rec.Value, Headers: rec.Headers, Timestamp: rec.Timestamp}
	}
	return deadLetter(r.topic, r.group, rec, b.rows[i].reject, b.deployment, b.origins[i].attempts+1, keep)
}
