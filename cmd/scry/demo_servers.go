package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"scry/internal/config"
	"scry/internal/embedded"
	"scry/stream"
)

// freeAddress returns address, or any port of its host when that one is taken.
func freeAddress(address string) string {
	l, err := net.Listen("tcp", address)
	if err == nil {
		l.Close()
	} else if errors.Is(err, syscall.EADDRINUSE) {
		host, _, _ := net.SplitHostPort(address)
		return net.JoinHostPort(host, "0")
	}
	return address
}

// startServers starts Kafka and Redis in the process where no real one is named, tells c
// their addresses, and creates what topics are absent.
func startServers(ctx context.Context, f demoFlags, c *Config) (stop func(), err error) {
	var stops []func()
	stop = func() {
		for _, s := range slices.Backward(stops) {
			s()
		}
	}
	if len(f.brokers) == 0 {
		kafka, err := embedded.StartKafka("",
			embedded.Topic{Name: demoEvents, Partitions: f.partitions, Group: c.Kafka.Group},
			embedded.Topic{Name: demoOutput, Partitions: f.partitions},
			embedded.Topic{Name: c.Output.DeadLetterTopic, Partitions: 1})
		if err != nil {
			return nil, err
		}
		stops = append(stops, kafka.Close)
		c.Kafka.Brokers = kafka.Brokers()
	} else {
		if err := createTopics(ctx, *c, f.partitions); err != nil {
			return nil, err
		}
		stops = append(stops, func() { deleteGroup(c.Kafka) })
	}
	if f.redis == "" {
		server, err := embedded.StartRedis("")
		if err != nil {
			stop()
			return nil, err
		}
		stops = append(stops, server.Close)
		c.Cache.URL = config.Secret(server.URL())
	}
	return stop, nil
}

// createTopics creates what topics of c are absent.
func createTopics(ctx context.Context, c Config, partitions int32) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	client, err := c.Kafka.Client(kgo.RequestRetries(3))
	if err != nil {
		return fmt.Errorf("--brokers: %w", err)
	}
	defer client.Close()
	made, err := kadm.NewClient(client).CreateTopics(ctx, partitions, -1, nil, c.Input.Topics[0], c.Output.Topic, c.Output.DeadLetterTopic)
	if err != nil {
		return fmt.Errorf("--brokers %v: cannot create the topics: %w; give the address of a Kafka that runs, or leave --brokers out for the one inside", c.Kafka.Brokers, c.Kafka.Explained(err))
	}
	for _, t := range made.Sorted() {
		if t.Err != nil && !errors.Is(t.Err, kerr.TopicAlreadyExists) {
			return fmt.Errorf("topic %s is absent and cannot be created: %w %s; create it, then start again", t.Topic, t.Err, t.ErrMessage)
		}
	}
	return nil
}

// deleteGroup tidies up. Where it fails, the group goes when its offsets expire.
func deleteGroup(c stream.KafkaConfig) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	client, err := c.Client()
	if err != nil {
		return
	}
	defer client.Close()
	_, _ = kadm.NewClient(client).DeleteGroup(ctx, c.Group)
}

// A keyCounter tells how many keys there are in Redis.
type keyCounter struct{ client *redis.Client }

func openKeys(c stream.CacheConfig) (keyCounter, error) {
	o, err := redis.ParseURL(c.URL.Reveal())
	if err != nil {
		return keyCounter{}, fmt.Errorf("--redis: %w", err)
	}
	return keyCounter{redis.NewClient(o)}, nil
}

// count returns -1 when Redis does not answer.
func (k keyCounter) count() int64 {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	n, err := k.client.DBSize(ctx).Result()
	if err != nil {
		return -1
	}
	return n
}
