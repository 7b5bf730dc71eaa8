package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"scry/internal/shop"
	"scry/stream"
)

const (
	trafficTick = 5 * time.Millisecond
	// An event is about 450 bytes; a longer one costs an allocation of its own.
	eventRoom = 512
	// The first event that is cut off comes soon after the start.
	poisonFirst = 500
	// A user of the shop opens a page about every so many seconds.
	pageEvery = 20
)

// An eventSource makes events: shop.Shop does. Both results may alias buf's memory.
type eventSource interface {
	Next(buf []byte, now time.Time) (key, event []byte)
}

// A traffic sends a source's events to a topic, at a steady rate.
type traffic struct {
	client *kgo.Client
	topic  string
	rate   float64 // events a second
	events eventSource
	poison int         // one event in so many is cut off in its middle; 0: none
	first  *kgo.Record // made and not yet sent
	made   int
	closed time.Time // when the last event was due

	acked, poisoned atomic.Uint64 // what the broker has, and what of it was cut off
	failed          atomic.Pointer[error]
}

// openShop simulates a shop for so many events a second.
func openShop(rate float64) eventSource {
	return shop.New(uint64(time.Now().UnixNano()), int(rate*pageEvery))
}

func newTraffic(k stream.KafkaConfig, topic string, rate float64, events eventSource) (*traffic, error) {
	client, err := k.Client(kgo.ClientID("scry-traffic"),
		kgo.ProducerLinger(0), kgo.ProducerBatchCompression(kgo.Lz4Compression()))
	if err != nil {
		return nil, err
	}
	return &traffic{client: client, topic: topic, rate: rate, events: events}, nil
}

// user makes the first event and returns who it is about.
func (t *traffic) user() string {
	t.first, _ = t.next(nil, time.Now())
	return string(t.first.Key)
}

// run sends the events due since start until ctx ends, and returns when the broker has
// them all.
func (t *traffic) run(ctx context.Context, start time.Time) error {
	t.closed = time.Time{}
	p := pace{rate: t.rate, start: start}
	if t.first != nil {
		t.produce(t.first)
		p.given = 1
	}
	tick := time.NewTicker(trafficTick)
	defer tick.Stop()
	for t.closed.IsZero() {
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
		now := time.Now()
		if end, ok := ctx.Deadline(); ok && now.After(end) {
			now = end // the last are sent late, and no more than the rate says
		}
		if ctx.Err() != nil {
			t.closed = now
		}
		t.send(p.due(now), now)
	}
	return t.flush()
}

// preload sends n events as fast as the brokers take them. progress is told how many
// they have.
func (t *traffic) preload(ctx context.Context, n int, progress func(acked uint64)) error {
	const some = 1000
	for left := n; left > 0 && ctx.Err() == nil && t.failed.Load() == nil; left -= some {
		t.send(min(some, left), time.Now())
		progress(t.acked.Load())
	}
	return t.flush()
}

// A pace says how many events are due. That goes by the clock and not by ticks, so a
// late tick is made up for and the rate does not drift; after a pause of the whole
// process, more than a second is not made up for.
type pace struct {
	rate  float64
	start time.Time
	given int
}

func (p *pace) due(now time.Time) int {
	due := int(now.Sub(p.start).Seconds()*p.rate+1e-6) - p.given
	if excess := due - int(max(p.rate, 1)); excess > 0 {
		p.start = p.start.Add(time.Duration(float64(excess) / p.rate * float64(time.Second)))
		due -= excess
	}
	due = max(due, 0)
	p.given += due
	return due
}

// next makes an event at the start of room and returns what is left of that.
func (t *traffic) next(room []byte, now time.Time) (*kgo.Record, []byte) {
	key, event := t.events.Next(room[:0], now)
	room = room[min(len(event), len(room)):]
	t.made++
	if t.poison > 0 && t.made%t.poison == poisonFirst {
		event = event[:len(event)/2]
		t.poisoned.Add(1)
	}
	return &kgo.Record{Topic: t.topic, Key: key, Value: event}, room
}

// send makes n events and hands them to the client.
func (t *traffic) send(n int, now time.Time) {
	room := make([]byte, n*eventRoom)
	for range n {
		var r *kgo.Record
		r, room = t.next(room, now)
		t.produce(r)
	}
}

func (t *traffic) produce(r *kgo.Record) {
	t.client.Produce(context.Background(), r, func(_ *kgo.Record, err error) {
		if err != nil {
			err = fmt.Errorf("producing to %s: %w", t.topic, err)
			t.failed.CompareAndSwap(nil, &err)
			return
		}
		t.acked.Add(1)
	})
}

// flush waits for the acknowledgements and returns the first that was a refusal.
func (t *traffic) flush() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := t.client.Flush(ctx); err != nil {
		return fmt.Errorf("%d events were not acknowledged within 10 s: %w", t.client.BufferedProduceRecords(), err)
	}
	if err := t.failed.Load(); err != nil {
		return *err
	}
	return nil
}
