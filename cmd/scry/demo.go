package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	buyerintent "scry/examples/buyer-intent"
	"scry/internal/config"
	"scry/predictor"
)

// The demo's names.
const (
	demoName   = "buyer-intent"
	demoEvents = "shop.events"
	demoOutput = "shop.predictions"
)

// One of the demo's events in so many is cut off in its middle.
const poisonEvery = 5000

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
		Args:              exactArgs(0),
		ValidArgsFunction: cobra.NoFileCompletions,
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
	traffic, err := newTraffic(c.Kafka, demoEvents, f.rate, openShop(f.rate))
	if err != nil {
		return err
	}
	defer traffic.client.Close()
	traffic.poison = poisonEvery
	keys, err := openKeys(c.Cache)
	if err != nil {
		return err
	}
	defer keys.client.Close()
	screen.welcome(c, d, s, traffic.user(), f)

	consuming, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var failed error
	stopped := make(chan struct{})
	go func() {
		failed = s.run(consuming)
		close(stopped)
	}()
	w := &watch{service: s, traffic: traffic, keys: keys, screen: screen}
	if w.await(ctx, stopped) {
		if err = w.shop(ctx, f.duration, stopped); err == nil {
			w.finish(c.Delivery.DrainTimeout, stopped)
		}
	}
	stop()
	<-stopped
	if err := errors.Join(err, failed); err != nil {
		return err
	}
	return w.sum()
}

// demoConfig is the configuration of a pipeline like any other, where scry.yaml would be.
func demoConfig(f demoFlags) Config {
	c := DefaultConfig()
	c.Name = demoName
	// A new group each time, which starts at the end: of a real cluster, no other demo's
	// events are counted.
	c.Kafka.Group = "scry-demo-" + strings.ToLower(rand.Text()[:8])
	c.Input.Topics = []string{demoEvents}
	c.Input.EventTime.Path = "ts"
	c.Input.Start = "latest"
	c.Output.Topic = demoOutput
	c.Output.DeadLetterTopic = demoName + ".dlq"
	c.Model.URI = "bundled"
	c.Kafka.Brokers = f.brokers
	c.Cache.URL = config.Secret(f.redis)
	c.HTTP.Health = freeAddress(c.HTTP.Health)
	c.HTTP.Admin = freeAddress(c.HTTP.Admin)
	return c
}
