package embedded

import (
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

const (
	usualKafka = "127.0.0.1:9092"

	// keepBytes is how much of a topic stays, in bytes as produced: a megabyte is
	// some 2,000 events. A day at 1,000 events a second would be 40 GB.
	keepBytes = 16 << 20
	// A segment is the smallest piece of memory that trimming gives back.
	segmentBytes = "1048576"
	trimEvery    = time.Second
)

// A Topic is created at start.
type Topic struct {
	Name       string
	Partitions int32
	// Group, when named, still has to read the topic: what it has not committed is
	// kept, however much that is.
	Group string
}

// Kafka is one broker without replicas or disk.
type Kafka struct {
	cluster *kfake.Cluster
	topics  []Topic
	keep    int64 // bytes a topic
	stop    func()
	trimmed chan struct{}
}

// StartKafka starts a broker and creates the topics; others are not created by
// themselves. It listens on addr (host:port), which is also the address it tells its
// clients; empty: 127.0.0.1:9092, or a free port of this machine when that is taken.
// Of each topic it keeps the last 16 MiB or so.
func StartKafka(addr string, topics ...Topic) (*Kafka, error) {
	return startKafka(addr, keepBytes, trimEvery, topics)
}

func startKafka(addr string, keep int64, every time.Duration, topics []Topic) (*Kafka, error) {
	k := &Kafka{topics: topics, keep: keep, trimmed: make(chan struct{})}
	err := open(addr, usualKafka, func(addr string) (err error) {
		k.cluster, err = kfake.NewCluster(
			kfake.NumBrokers(1),
			kfake.ListenFn(func(network, _ string) (net.Listener, error) { return net.Listen(network, addr) }),
		)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("embedded Kafka: %w", err)
	}
	for _, t := range topics {
		if err := k.cluster.CreateTopic(t.Name, t.Partitions, map[string]string{"segment.bytes": segmentBytes}); err != nil {
			k.cluster.Close()
			return nil, fmt.Errorf("embedded Kafka: create topic %s: %w", t.Name, err)
		}
	}
	stop := make(chan struct{})
	k.stop = sync.OnceFunc(func() { close(stop) })
	go func() {
		defer close(k.trimmed)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				for _, t := range k.topics {
					k.trim(t)
				}
			}
		}
	}()
	return k, nil
}

// trim deletes the oldest records of a topic beyond what it keeps. The broker's own
// retention would do, but for one thing: it also deletes what nobody has read yet.
func (k *Kafka) trim(t Topic) {
	for _, p := range k.cluster.PartitionInfos(t.Name) {
		excess := p.NumBytes - k.keep/int64(t.Partitions)
		if excess <= 0 {
			continue
		}
		records := float64(p.HighWatermark - p.LogStartOffset)
		to := p.LogStartOffset + int64(records*float64(excess)/float64(p.NumBytes))
		if t.Group != "" {
			to = min(to, k.committed(t, p.Partition))
		}
		if to > p.LogStartOffset {
			// It can fail only for a topic deleted meanwhile: nothing to trim then.
			_ = k.cluster.DeleteRecords(t.Name, p.Partition, to)
		}
	}
}

// committed is where the topic's group stands in a partition; 0: nowhere yet.
func (k *Kafka) committed(t Topic, partition int32) int64 {
	if g := k.cluster.GroupInfo(t.Group); g != nil {
		return g.Commits[t.Name][partition].Offset
	}
	return 0
}

// Brokers returns the addresses to connect to.
func (k *Kafka) Brokers() []string { return k.cluster.ListenAddrs() }

// Close stops the broker and drops its connections. Close the clients first: they
// take it for an outage. A second Close does nothing.
func (k *Kafka) Close() {
	k.stop()
	<-k.trimmed
	k.cluster.Close()
}
