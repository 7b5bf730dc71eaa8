package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"scry/checkpoint"
)

// group examines the consumer group and what a start would read.
func (k *kafkaPreflight) group(ctx context.Context) {
	name := k.cfg.Kafka.Group
	if k.cfg.Cache.projected() {
		if state, _, ok := k.describe(ctx, projectorGroup(k.cfg)); ok {
			k.add(OK, "group", "", "%s, which fills the cache: %s", projectorGroup(k.cfg), state)
		}
	}
	state, members, ok := k.describe(ctx, name)
	if !ok {
		return
	}
	partitions := 0
	for _, topic := range k.cfg.Input.Topics {
		partitions += len(k.topics[topic].Partitions)
	}
	switch {
	case members == 0:
		k.add(OK, "group", "", "%s: %s", name, state)
	case members >= partitions:
		k.add(Warn, "group", "add partitions to the input, or start no more", "%s: %s, %s for %s: one more would be idle",
			name, state, plural(members, "member"), plural(partitions, "partition"))
	default:
		k.add(OK, "group", "", "%s: %s, %s for %s", name, state, plural(members, "member"), plural(partitions, "partition"))
	}
	look, err := lookUp(ctx, k.adm, name, k.cfg.Input.Topics)
	if err != nil {
		k.add(Fail, "replay", "", "cannot look up where a start would resume: %v", err)
		return
	}
	for _, topic := range k.cfg.Input.Topics {
		k.replay(ctx, topic, look)
	}
	k.retention(ctx)
}

// preflightPause is between two tries of what mends itself.
const preflightPause = 250 * time.Millisecond

// describe reports whether this user may join a group.
func (k *kafkaPreflight) describe(ctx context.Context, name string) (state string, members int, ok bool) {
	state, members, err := describeGroup(ctx, k.adm, name)
	// The first question of all makes the brokers create the groups' topic.
	for waited := time.Duration(0); err != nil && kerr.IsRetriable(err) && waited < 5*time.Second; waited += preflightPause {
		select {
		case <-time.After(preflightPause):
		case <-ctx.Done():
		}
		state, members, err = describeGroup(ctx, k.adm, name)
	}
	if err != nil {
		mend := "grant READ on group " + name + " to this user"
		if kerr.IsRetriable(err) {
			mend = "look at the brokers: the group's coordinator does not come up"
		}
		k.add(Fail, "group", mend, "%s: %v", name, err)
	}
	return state, members, err == nil
}

// describeGroup returns a group's state and how many members it has, by either protocol.
func describeGroup(ctx context.Context, adm *kadm.Client, name string) (state string, members int, err error) {
	const none = "no such group yet, the first start makes it"
	may := func(ops []kadm.ACLOperation) error {
		if len(ops) > 0 && !slices.Contains(ops, kmsg.ACLOperationRead) {
			return errors.New("this user may not join it")
		}
		return nil
	}
	classic, err := adm.DescribeGroups(kadm.WithAuthorizedOps(ctx), name)
	if err != nil {
		return "", 0, err
	}
	g := classic[name]
	switch {
	case errors.Is(g.Err, kerr.GroupAuthorizationFailed):
		return "", 0, g.Err
	case g.Err == nil && g.State != "Dead":
		return strings.ToLower(g.State), len(g.Members), may(g.AuthorizedOperations)
	}
	modern, err := adm.DescribeConsumerGroups(ctx, name)
	if err != nil { // brokers before 3.7
		return none, 0, nil
	}
	m := modern[name]
	if m.Err != nil || m.State == "Dead" {
		return none, 0, nil
	}
	return strings.ToLower(m.State), len(m.Members), may(m.AuthorizedOperations)
}

// replay says what a start would read of a topic, by the rule that it resumes by.
func (k *kafkaPreflight) replay(ctx context.Context, topic string, look *lookup) {
	var resumed, started int
	var events int64
	var losses []string
	var stop error
	for id := range k.topics[topic].Partitions {
		stored, _ := look.stored(topic, id)
		bounds := look.bounds(topic, id)
		d := checkpoint.Resume(stored, bounds, look.ids[topic], k.cfg.Input.policy(), look.born)
		next, err := d.Next, d.Err
		if err == nil && next == checkpoint.Unresolved {
			next, err = offsetAt(ctx, k.adm, topic, id, d.Since, bounds.End)
		}
		if err != nil {
			stop = fmt.Errorf("partition %d: %w", id, err)
			continue
		}
		events += max(bounds.End-next, 0)
		switch d.Kind {
		case checkpoint.Resumed:
			resumed++
		case checkpoint.Started:
			started++
		default:
			losses = append(losses, fmt.Sprintf("partition %d is %v", id, d.Kind))
		}
	}
	reads := "a start reads up to " + plural(int(events), "event")
	if events == 0 {
		reads = "a start reads nothing that is there already"
	}
	switch begins := fmt.Sprintf("%s has no offsets for %s and begins at input.start (%s)", k.cfg.Kafka.Group, topic, k.cfg.Input.Start); {
	case stop != nil:
		k.add(Fail, "replay", "", "%s %v", topic, stop)
	case losses != nil:
		slices.Sort(losses)
		k.add(Warn, "replay", "", "%s: %s; %s, as input.on_data_loss says", topic, strings.Join(losses, ", "), reads)
	case resumed == 0 && events > 0:
		k.add(Warn, "replay", "if the group was renamed, the offsets are with its old name: write that in kafka.group", "%s: %s", begins, reads)
	case resumed == 0:
		k.add(OK, "replay", "", "%s: %s", begins, reads)
	case started > 0:
		k.add(OK, "replay", "", "%s: %s committed, %d new and begin at input.start (%s); %s", topic, plural(resumed, "partition"), started, k.cfg.Input.Start, reads)
	default:
		k.add(OK, "replay", "", "%s: %s", topic, reads)
	}
}

// retention warns where the group's offsets live shorter than the events: after a stop
// between the two, a start does not know any more what was read.
func (k *kafkaPreflight) retention(ctx context.Context) {
	offsets := k.offsetsRetention(ctx)
	if offsets <= 0 {
		return
	}
	for _, topic := range k.cfg.Input.Topics {
		c := k.configs[topic]
		ms, err := strconv.ParseInt(c["retention.ms"], 10, 64)
		if err != nil {
			continue
		}
		kept := days(time.Duration(ms) * time.Millisecond)
		if ms < 0 || c["cleanup.policy"] == "compact" {
			kept = "events for ever"
		} else if ms <= offsets.Milliseconds() {
			continue
		}
		what := "reads it all again"
		if k.cfg.Input.Start != "earliest" {
			what = "begins at input.start (" + k.cfg.Input.Start + ") again"
		}
		k.add(Warn, "offsets", "raise the brokers' offsets.retention.minutes, or stop for no longer",
			"the offsets of a group without members expire after %s, %s keeps %s: a start after a longer stop %s", days(offsets), topic, kept, what)
	}
}

// offsetsRetention is how long brokers keep the offsets of a group without members; 0
// when they do not tell.
func (k *kafkaPreflight) offsetsRetention(ctx context.Context) time.Duration {
	meta, err := k.adm.BrokerMetadata(ctx)
	if err != nil || len(meta.Brokers) == 0 {
		return 0
	}
	described, err := k.adm.DescribeBrokerConfigs(ctx, meta.Brokers[0].NodeID)
	if err != nil {
		return 0
	}
	for _, broker := range described {
		for _, c := range broker.Configs {
			if c.Key == "offsets.retention.minutes" {
				minutes, _ := strconv.ParseInt(c.MaybeValue(), 10, 64)
				return time.Duration(minutes) * time.Minute
			}
		}
	}
	return 0
}

// days writes a long time for people.
func days(d time.Duration) string {
	if d < 48*time.Hour {
		return d.String()
	}
	return fmt.Sprintf("%.3g days", d.Hours()/24)
}
