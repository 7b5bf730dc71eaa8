package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	buyerintent "scry/examples/buyer-intent"
	"scry/internal/config"
	"scry/internal/embedded"
	"scry/predictor"
	"scry/stream"
)

// The demo's names. The group is not the pipeline's, which on somebody's cluster may be
// a real one's.
const (
	demoName   = "buyer-intent"
	demoGroup  = "scry-demo"
	demoEvents = "shop.events"
	demoOutput = "shop.predictions"
)

// demoFlags are what `scry demo` is told.
type demoFlags struct {
	rate       float64
	partitions int32
	duration   time.Duration
	brokers    []string
	redis      string
}

func demoCommand() *cobra.Command {
	var f demoFlags
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "A simulated web shop, scored live, with nothing to install",
		Long: `Demo runs everything in one process: a Kafka broker and a Redis in memory, a simulated
web shop that produces the page views of its visitors, and the ordinary consumer with a
model of how likely a visit ends in a purchase. kcat, redis-cli, curl and a browser can
look in. One event in 5,000 is cut off in its middle, to show dead letters.

Ctrl-C, or the end of --duration, stops the shop, lets the consumer finish, and adds up:
every event produced must be a prediction or a dead letter, or the exit code is 1.`,
		Example: `  scry demo
  scry demo --rate 20000 --partitions 8 --duration 30s
  scry demo --brokers localhost:9092 --redis redis://localhost:6379/0`,
		Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.validate(); err != nil {
				return &usageError{err}
			}
			return withSignals(cmd.Context(), func(ctx context.Context) error {
				return demo(ctx, f, cmd.OutOrStdout(), cmd.ErrOrStderr())
			})
		},
	}
	cmd.Flags().Float64Var(&f.rate, "rate", 1000, "events a second")
	cmd.Flags().Int32Var(&f.partitions, "partitions", 4, "partitions of the topics that are created")
	cmd.Flags().DurationVar(&f.duration, "duration", 0, "how long the shop is open; 0: until Ctrl-C")
	cmd.Flags().StringSliceVar(&f.brokers, "brokers", nil,
		"a real Kafka instead, host:port,...; "+demoEvents+", "+demoOutput+" and "+demoName+".dlq are created where absent")
	cmd.Flags().StringVar(&f.redis, "redis", "", "a real Redis instead, redis://host:6379/0; keys pred:"+demoName+":* are written")
	return cmd
}

func (f demoFlags) validate() error {
	switch {
	case !(f.rate > 0 && f.rate <= 1e6):
		return fmt.Errorf("--rate %v: give a number of events a second, up to 1000000", f.rate)
	case f.partitions < 1 || f.partitions > 1000:
		return fmt.Errorf("--partitions %d: give a number from 1 to 1000", f.partitions)
	case f.duration < 0:
		return fmt.Errorf("--duration %v: give a time such as 30s, or 0 for no end", f.duration)
	}
	return nil
}

// demo runs until ctx ends or the duration is over, and prints the summary.
func demo(ctx context.Context, f demoFlags, stdout, stderr io.Writer) error {
	screen := &screen{terminal: openTerminal(stdout), errors: stderr}
	log := newLogger(screen, LogConfig{Level: "warn", Format: "text"})
	c := demoConfig(f)
	closeServers, err := startServers(ctx, f, &c)
	if err != nil {
		return err
	}
	defer closeServers()
	if faults := c.Validate(); len(faults) > 0 {
		return &usageError{faults}
	}
	d, err := predictor.LoadFS(buyerintent.Bundle(), demoName, predictorConfig(c))
	if err != nil {
		return fmt.Errorf("the bundled model: %w", err)
	}
	s, err := newService(c, d, log)
	if err != nil {
		return err
	}
	traffic, err := newTraffic(c.Kafka.Brokers, demoEvents, f.rate)
	if err != nil {
		return err
	}
	defer traffic.client.Close()
	keys, err := openKeys(c.Cache)
	if err != nil {
		return err
	}
	defer keys.client.Close()
	screen.welcome(c, d, s, traffic.user(), f)

	consuming, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	stopped := make(chan error, 1)
	go func() { stopped <- s.run(consuming) }()
	w := &watch{service: s, traffic: traffic, keys: keys, screen: screen}
	err = w.shop(ctx, f.duration, stopped)
	if err == nil {
		w.finish(c.Delivery.DrainTimeout)
		stop()
		err = <-stopped
	}
	if err != nil {
		return err
	}
	return w.sum()
}

// demoConfig is the configuration of a pipeline like any other, where scry.yaml would be.
func demoConfig(f demoFlags) Config {
	c := DefaultConfig()
	c.Name = demoName
	c.Kafka.Group = demoGroup
	c.Input.Topics = []string{demoEvents}
	c.Input.EventTime.Path = "ts"
	c.Input.Start = "latest" // of a real cluster, not what an earlier demo left
	c.Output.Topic = demoOutput
	c.Output.DeadLetterTopic = demoName + ".dlq"
	c.Model.URI = "bundled"
	c.Kafka.Brokers = f.brokers
	c.Cache.URL = config.Secret(f.redis)
	c.HTTP.Health = freeAddress(c.HTTP.Health)
	c.HTTP.Admin = freeAddress(c.HTTP.Admin)
	return c
}

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
			embedded.Topic{Name: demoEvents, Partitions: f.partitions, Group: demoGroup},
			embedded.Topic{Name: demoOutput, Partitions: f.partitions},
			embedded.Topic{Name: c.Output.DeadLetterTopic, Partitions: 1})
		if err != nil {
			return nil, err
		}
		stops = append(stops, kafka.Close)
		c.Kafka.Brokers = kafka.Brokers()
	} else if err := createTopics(ctx, c, f.partitions); err != nil {
		return nil, err
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

func createTopics(ctx context.Context, c *Config, partitions int32) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.Kafka.Brokers...), kgo.RequestRetries(3))
	if err != nil {
		return fmt.Errorf("--brokers: %w", err)
	}
	defer client.Close()
	made, err := kadm.NewClient(client).CreateTopics(ctx, partitions, -1, nil, demoEvents, demoOutput, c.Output.DeadLetterTopic)
	if err != nil {
		return fmt.Errorf("--brokers %v: cannot create the topics: %w; give the address of a Kafka that runs, or leave --brokers out for the one inside", c.Kafka.Brokers, err)
	}
	for _, t := range made.Sorted() {
		if t.Err != nil && !errors.Is(t.Err, kerr.TopicAlreadyExists) {
			return fmt.Errorf("topic %s is absent and cannot be created: %w %s; create it, then start the demo again", t.Topic, t.Err, t.ErrMessage)
		}
	}
	return nil
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
