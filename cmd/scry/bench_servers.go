package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"scry/internal/config"
	"scry/internal/embedded"
	"scry/stream"
)

// tidyTimeout is how long a server has to delete what a bench made on it.
const tidyTimeout = 15 * time.Second

// startBenchServers starts the servers that are not named, tells c where they are, and
// creates the topics. stop deletes topics, group and keys; its error says what is left.
func startBenchServers(ctx context.Context, f pipelineFlags, c *Config) (stop func() error, err error) {
	var stops []func() error
	stop = func() (err error) {
		for _, s := range slices.Backward(stops) {
			err = errors.Join(err, s())
		}
		return err
	}
	c.Kafka.Brokers = f.brokers
	c.Cache.URL = config.Secret(f.redis)
	if len(f.brokers) > 0 {
		if err := createTopics(ctx, *c, f.partitions); err != nil {
			_ = deleteTopics(*c) // some may have been created
			return nil, err
		}
		stops = append(stops, func() error { return deleteTopics(*c) })
	} else {
		c.Kafka.Protocol, c.Kafka.TLS, c.Kafka.SASL = "classic", stream.TLSConfig{}, stream.SASLConfig{}
		kafka, err := embedded.StartKafka("127.0.0.1:0",
			embedded.Topic{Name: c.Input.Topics[0], Partitions: f.partitions, Group: c.Kafka.Group},
			embedded.Topic{Name: c.Output.Topic, Partitions: f.partitions},
			embedded.Topic{Name: c.Output.DeadLetterTopic, Partitions: f.partitions})
		if err != nil {
			return nil, err
		}
		stops = append(stops, func() error { kafka.Close(); return nil })
		c.Kafka.Brokers = kafka.Brokers()
	}
	switch {
	case f.redis != "":
		stops = append(stops, func() error { return deleteKeys(*c) })
	case len(f.brokers) == 0:
		server, err := embedded.StartRedis("127.0.0.1:0")
		if err != nil {
			return nil, errors.Join(err, stop())
		}
		stops = append(stops, func() error { server.Close(); return nil })
		c.Cache.URL = config.Secret(server.URL())
	}
	return stop, nil
}

// deleteTopics deletes the bench's topics and its group.
func deleteTopics(c Config) error {
	ctx, cancel := context.WithTimeout(context.Background(), tidyTimeout)
	defer cancel()
	client, err := c.Kafka.Client(kgo.RequestRetries(3))
	if err != nil {
		return err
	}
	defer client.Close()
	deleteGroup(c.Kafka)
	topics, err := kadm.NewClient(client).ListTopics(ctx, c.Input.Topics[0], c.Output.Topic, c.Output.DeadLetterTopic)
	if err == nil {
		var names []string
		for _, t := range topics.Sorted() {
			if t.Err == nil {
				names = append(names, t.Topic)
			}
		}
		if len(names) == 0 {
			return nil
		}
		var gone kadm.DeleteTopicResponses
		if gone, err = kadm.NewClient(client).DeleteTopics(ctx, names...); err == nil {
			err = gone.Error()
		}
	}
	if err != nil {
		return fmt.Errorf("the topics %s.* may still be there: %w; delete them", c.Name, err)
	}
	return nil
}

// deleteKeys deletes what the bench cached.
func deleteKeys(c Config) error {
	ctx, cancel := context.WithTimeout(context.Background(), tidyTimeout)
	defer cancel()
	if err := stream.EmptyCache(ctx, c.Cache, c.Name); err != nil {
		return fmt.Errorf("the keys pred:%s* may still be in Redis: %w; delete them", c.Name, err)
	}
	return nil
}
