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
	"github.com/twmb/franz-go/pkg/kgo"
)

// await waits for Redis and the brokers, for as long as it takes, and looks at the
// topics: one that does not exist is not worth waiting for. It uses a connection of
// its own, so that nothing joins the group before all is well.
func (c *Consumer) await(ctx context.Context) error {
	if c.cache != nil && c.projector == nil {
		if c.projects || c.cfg.Cache.OnFailure == "skip" { // it joins all the same, so that its lag is known
			if err := c.cache.ping(ctx); IsPermanent(err) {
				return err
			}
		} else if err := c.retry.Do(ctx, "redis", c.cache.ping); err != nil {
			return err
		}
	}
	look, err := kgo.NewClient(c.connect...)
	if err != nil {
		return fmt.Errorf("kafka: %w", err)
	}
	defer look.Close()
	adm := kadm.NewClient(look)
	for began := time.Now(); ; {
		var missing error // no outage: the brokers answer
		err := c.retry.Do(ctx, "kafka", func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
			defer cancel()
			err := c.checkTopicsWithin(ctx, adm)
			if err == nil && c.exactlyOnce() {
				err = c.transactional.detect(ctx, look, c.cfg.Output.Topic, c.cfg.Output.DeadLetterTopic)
			}
			if missing = nil; errors.Is(err, errNoTopic) {
				missing = err
				return nil
			}
			began = time.Now()
			return err
		})
		if err != nil || missing == nil {
			return err
		}
		if time.Since(began) > newTopic {
			return missing
		}
		select {
		case <-time.After(250 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// checkTopicsWithin does not outlive ctx: the client waits out its own timeout for an
// answer to a request that was sent, whatever the context.
func (c *Consumer) checkTopicsWithin(ctx context.Context, adm *kadm.Client) error {
	var found limits
	checked := make(chan error, 1)
	go func() {
		var err error
		found, err = c.checkTopics(ctx, adm)
		checked <- err
	}()
	select {
	case err := <-checked:
		c.limits = found
		return err
	case <-ctx.Done():
		return fmt.Errorf("no answer from %s: %w; check kafka.brokers", strings.Join(c.cfg.Kafka.Brokers, ", "), context.Cause(ctx))
	}
}

// newTopic is how long a topic that was just created may be unknown to some brokers.
const newTopic = 5 * time.Second

var errNoTopic = errors.New("topics are missing")

func noTopics(missing []string) error {
	return fmt.Errorf("%w: %s; create them, for example with kafka-topics.sh --create --topic %s, or correct input.topics, output.topic or output.dead_letter_topic",
		errNoTopic, strings.Join(missing, ", "), missing[0])
}

// checkTopics wants input and output to exist, and returns what output and dead letter
// topic take. The dead letter topic it creates, with
// the brokers' defaults, as Kafka Connect does: a first bad event must not find it absent.
func (c *Consumer) checkTopics(ctx context.Context, adm *kadm.Client) (limits, error) {
	dead := c.cfg.Output.DeadLetterTopic
	var written []string
	for _, topic := range []string{c.cfg.Output.Topic, dead} {
		if topic != "" {
			written = append(written, topic)
		}
	}
	need := append(slices.Clone(c.cfg.Input.Topics), written...)
	details, err := adm.ListTopics(ctx, need...)
	var hidden *kadm.AuthError // of any of them
	if errors.As(err, &hidden) {
		return nil, Permanent(fmt.Errorf("one of the topics %s: %w; grant DESCRIBE on each to this user", strings.Join(need, ", "), err))
	}
	if err != nil {
		return nil, c.explained(err)
	}
	var missing []string
	for _, topic := range need {
		switch err := details[topic].Err; {
		case err == nil && len(details[topic].Partitions) > 0:
		case err == nil, errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, kerr.InvalidTopicException):
			missing = append(missing, topic)
		default:
			return nil, fmt.Errorf("topic %s: %w", topic, err)
		}
	}
	switch {
	case missing == nil:
		return messageLimits(ctx, adm, written...), nil
	case len(missing) > 1 || missing[0] != dead:
		return nil, noTopics(missing)
	}
	r, err := adm.CreateTopic(ctx, -1, -1, nil, dead)
	var refused *kerr.Error
	switch err = errors.Join(err, r.Err); {
	case err == nil, errors.Is(err, kerr.TopicAlreadyExists):
	case errors.As(err, &refused):
		return nil, fmt.Errorf("%w: the dead letter topic %s, and it cannot be created: %w; create it, or name another in output.dead_letter_topic", errNoTopic, dead, err)
	default:
		return nil, c.explained(err)
	}
	c.log.Info("dead letter topic created", "topic", dead)
	return messageLimits(ctx, adm, written...), nil
}

// defaultLimit is the client's own bound for a batch, which Kafka's default for a topic
// allows.
const defaultLimit = 1_000_012

// messageLimits returns the largest batch that each topic takes, where that is less than
// the client would send: the client does not split a batch that was refused, so all its
// predictions would become dead letters. A topic whose config may not be seen is not in it.
func messageLimits(ctx context.Context, adm *kadm.Client, topics ...string) limits {
	configs, err := adm.DescribeTopicConfigs(ctx, topics...)
	if err != nil {
		return nil
	}
	found := make(limits)
	for _, topic := range configs {
		for _, c := range topic.Configs {
			if c.Key != "max.message.bytes" {
				continue
			}
			if n, err := strconv.ParseInt(c.MaybeValue(), 10, 32); err == nil && n < defaultLimit {
				found[topic.Name] = int32(n)
			}
		}
	}
	return found
}

// limits is the largest batch that a topic takes, where that is less than the client would
// send. It is not written to once made.
type limits map[string]int32

func (l limits) of(topic string) int32 {
	if n, ok := l[topic]; ok {
		return n
	}
	return defaultLimit
}

// explained gives a connection's error its mend, marked when no retry changes it.
func (c *Consumer) explained(err error) error {
	err, permanent := c.cfg.Kafka.explain(err)
	if permanent {
		return Permanent(err)
	}
	return err
}
