package stream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"scry/checkpoint"
)

// What the client may hold of one fetch: compressed bytes a broker answers with at the
// most, so that a poll and the one behind it stay in tens of megabytes.
const fetchMaxBytes = 4 << 20

// join makes the one client that reads the input, writes the output and is the group's
// member. The group's callbacks may run from here on.
func (c *Consumer) join() (err error) {
	opts := append(c.connect[:len(c.connect):len(c.connect)],
		kgo.ClientID("scry"),
		kgo.WithHooks(&brokerWatch{health: c.health}),
		kgo.WithPools(newRecordPools()),

		kgo.ConsumerGroup(c.cfg.Kafka.Group),
		kgo.ConsumeTopics(c.cfg.Input.Topics...),
		kgo.SessionTimeout(c.cfg.Kafka.SessionTimeout),
		// A member that drains must not be taken for dead.
		kgo.RebalanceTimeout(max(time.Minute, c.cfg.Delivery.DrainTimeout+10*time.Second)),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(c.assigned),
		kgo.AdjustFetchOffsetsFn(c.resume),
		kgo.OnPartitionsRevoked(c.revoked),
		kgo.OnPartitionsLost(c.lost),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(),
		kgo.FetchMaxBytes(fetchMaxBytes),
		kgo.FetchMaxPartitionBytes(fetchMaxBytes),
		kgo.FetchMaxWait(500*time.Millisecond),

		kgo.ProducerBatchCompression(codec(c.cfg.Output.Compression)),
		kgo.ProducerLinger(0),
		kgo.ProducerBatchMaxBytesFn(c.limit),
		// The window bounds what is in flight; the client's own bound would block its
		// acknowledgements when a dead letter follows from one.
		kgo.MaxBufferedRecords(1<<30),
	)
	if c.cfg.Kafka.Protocol == "consumer" {
		opts = append(opts, kgo.ServerSideBalancer())
	} else {
		opts = append(opts, kgo.Balancers(kgo.CooperativeStickyBalancer()),
			kgo.HeartbeatInterval(min(c.cfg.Kafka.SessionTimeout/3, 3*time.Second)))
	}
	if c.cfg.Kafka.Instance != "" {
		opts = append(opts, kgo.InstanceID(c.cfg.Kafka.Instance))
	}
	c.client, err = kgo.NewClient(opts...)
	close(c.joined)
	return err
}

func codec(name string) kgo.CompressionCodec {
	switch name {
	case "none":
		return kgo.NoCompression()
	case "gzip":
		return kgo.GzipCompression()
	case "lz4":
		return kgo.Lz4Compression()
	case "zstd":
		return kgo.ZstdCompression()
	default:
		return kgo.SnappyCompression()
	}
}

// limitWork ends the work in flight when its part of drain_timeout has passed since loop
// ended; the rest is kept for the commit and for leaving the group. It does not wait for
// the loop to return: that may be in a poll which waits for partitions to be given back.
func (c *Consumer) limitWork(loop context.Context) {
	context.AfterFunc(loop, func() {
		select {
		case <-c.work.Done():
		case <-time.After(c.cfg.Delivery.DrainTimeout * 3 / 4):
			c.cancelWork()
		}
	})
}

// drain gives what is in flight until work's deadline and commits what is durable.
func (c *Consumer) drain() {
	if err := c.window.empty(c.work); err != nil {
		_, batches, _ := c.window.load()
		c.log.Warn("drain deadline passed: what is in flight is abandoned and will be read again", "batches", batches)
	}
	c.cancelWork()
	ctx, cancel := context.WithTimeout(context.Background(), c.cfg.Delivery.DrainTimeout/8)
	defer cancel()
	if err := c.commit(ctx); err != nil {
		c.log.Warn("last commit failed: some events will be read again", "error", err)
	}
}

// close leaves the group and closes the connections. A static member stays in the
// group on purpose: its partitions wait for it until the session timeout.
func (c *Consumer) close() {
	done := make(chan struct{})
	go func() {
		c.client.CloseAllowingRebalance()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(c.cfg.Delivery.DrainTimeout / 8):
		c.log.Warn("leaving the group took too long; it will notice by the session timeout")
	}
	close(c.toCache)
	if c.cache != nil {
		c.cache.close()
	}
}

// brokerWatch notes whether brokers can be reached: the client retries what fails and
// says nothing. One broker of several that is down is the client's to work around;
// none that answers is an outage.
type brokerWatch struct {
	health   *Health
	answered atomic.Int64 // when a broker last did, Unix ms
}

// silence is how long no broker may answer before a failed connection is an outage: an
// idle consumer hears from one every FetchMaxWait.
const silence = 2 * time.Second

// OnBrokerConnect is of kgo.HookBrokerConnect.
func (w *brokerWatch) OnBrokerConnect(meta kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, kgo.ErrClientClosed) || time.Now().UnixMilli()-w.answered.Load() < silence.Milliseconds() {
		return
	}
	w.health.report("kafka", fmt.Errorf("broker %s: %w", net.JoinHostPort(meta.Host, strconv.Itoa(int(meta.Port))), err))
}

// OnBrokerRead is of kgo.HookBrokerRead.
func (w *brokerWatch) OnBrokerRead(_ kgo.BrokerMetadata, _ int16, _ int, _, _ time.Duration, err error) {
	if err == nil {
		w.answered.Store(time.Now().UnixMilli())
		if w.health.isDown("kafka") {
			w.health.report("kafka", nil)
		}
	}
}

// policy is the resume rule's part of the config.
func (c InputConfig) policy() checkpoint.Policy {
	p := checkpoint.Policy{}
	switch c.Start {
	case "earliest", "":
	case "latest":
		p.Start = checkpoint.Latest
	default:
		t, err := time.Parse(time.RFC3339, c.Start)
		if err == nil {
			p.Start, p.Time = checkpoint.AtTime, t.UnixMilli()
		}
	}
	if c.OnDataLoss == "earliest" {
		p.OnDataLoss = checkpoint.FromEarliest
	}
	return p
}
