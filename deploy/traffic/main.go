// Traffic sends the page views of a simulated web shop to a Kafka topic, keyed by user,
// until it is stopped: the visitors of docker-compose.yml. One event in 5,000 is cut off
// in its middle, so that there are dead letters to see.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"scry/internal/shop"
)

const (
	tick        = 10 * time.Millisecond
	pageEvery   = 20 // seconds between two pages of a visitor, about
	poisonEvery = 5000
)

func main() {
	brokers := flag.String("brokers", "localhost:9092", "host:port,... to send to")
	topic := flag.String("topic", "shop.events", "an existing topic")
	rate := flag.Float64("rate", 500, "events a second, up to 100000")
	flag.Parse()
	if flag.NArg() > 0 || !(*rate > 0 && *rate <= 1e5) {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := send(ctx, strings.Split(*brokers, ","), *topic, *rate); err != nil {
		fmt.Fprintln(os.Stderr, "traffic:", err)
		os.Exit(1)
	}
}

// send produces until it is stopped, or a broker refuses an event. While brokers are away it
// waits for them.
func send(stopped context.Context, brokers []string, topic string, rate float64) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.DefaultProduceTopic(topic),
		kgo.ClientID("scry-traffic"), kgo.ProducerBatchCompression(kgo.Lz4Compression()))
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, refuse := context.WithCancelCause(stopped)
	defer refuse(nil)

	visitors := shop.New(uint64(time.Now().UnixNano()), int(rate*pageEvery))
	ticks := time.NewTicker(tick)
	defer ticks.Stop()
	for sent, last, due := 0, time.Now(), 0.; ctx.Err() == nil; {
		select {
		case <-ctx.Done():
			continue
		case <-ticks.C:
		}
		now := time.Now()
		due += rate * min(now.Sub(last), time.Second).Seconds() // a longer pause is not made up for
		last = now
		for ; due >= 1 && ctx.Err() == nil; due-- {
			key, event := visitors.Next(make([]byte, 0, 512), now)
			if sent++; sent%poisonEvery == 0 {
				event = event[:len(event)/2]
			}
			client.Produce(ctx, &kgo.Record{Key: key, Value: event}, func(_ *kgo.Record, err error) {
				if err != nil {
					refuse(err)
				}
			})
		}
	}
	if stopped.Err() == nil {
		return context.Cause(ctx)
	}
	return nil
}
