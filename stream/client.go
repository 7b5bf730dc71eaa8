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
func (s *session) join() (err error) {
	c := s.consumer
	opts := append(c.connect[:len(c.connect):len(c.connect)],
		kgo.ClientID("scry"),
		kgo.WithHooks(&brokerWatch{health: c.health}),
		kgo.WithPools(newRecordPools()),

		kgo.ConsumerGroup(c.cfg.Kafka.Group),
		kgo.ConsumeTopics(c.cfg.Input.Topics...),
		kgo.SessionTimeout(c.cfg.Kafka.SessionTimeout),
		kgo.HeartbeatInterval(min(c.cfg.Kafka.SessionTimeout/3, 3*time.Second)),
		// A member that drains must not be taken for dead.
		kgo.RebalanceTimeout(max(time.Minute, c.cfg.Delivery.DrainTimeout+10*time.Second)),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(s.assigned),
		kgo.AdjustFetchOffsetsFn(s.resume),
		kgo.OnPartitionsRevoked(s.revoked),
		kgo.OnPartitionsLost(s.lost),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(),
		kgo.FetchMaxBytes(fetchMaxBytes),
		kgo.FetchMaxPartitionBytes(fetchMaxBytes),
		kgo.FetchMaxWait(500*time.Millisecond),

		kgo.ProducerBatchCompression(codec(c.cfg.Output.Compression)),
		kgo.ProducerLinger(0),
		kgo.ProducerBatchMaxBytesFn(c.limits.of),
		// The window bounds what is in flight; the client's own bound would block its
		// acknowledgements when a dead letter follows from one.
		kgo.MaxBufferedRecords(1<<30),
	)
	if c.cfg.Kafka.Protocol == "consumer" {
		opts = append(opts, kgo.ServerSideBalancer())
	} else {
		opts = append(opts, kgo.Balancers(kgo.CooperativeStickyBalancer()))
	}
	if c.cfg.Kafka.Instance != "" {
		opts = append(opts, kgo.InstanceID(c.cfg.Kafka.Instance))
	}
	if c.exactlyOnce() {
		opts = append(opts, c.transactional.opts()...)
	}
	if s.client, err = kgo.NewClient(opts...); err == nil {
		c.client.Store(s.client)
	}
	close(s.joined)
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
