package stream

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	once  = "exactly_once"
	least = "at_least_once"
)

// answered is the fault of requests that are answered by an error.
func answered(name, of string, fs ...kfake.Fault) fault {
	return fault{name: name, of: of, inject: func(w *trial) {
		w.t.Helper()
		for _, f := range fs {
			w.answer(f)
		}
	}}
}

// on is an answer to requests of some kinds: err, n times.
func on(err *kerr.Error, n int, topic string, keys ...kmsg.Key) kfake.Fault {
	return kfake.Fault{Keys: keys, Topic: topic, Err: err, Count: n}
}

// tampered is the fault of requests that are carried out and whose answer is not what
// arrives.
func tampered(name, of string, key kmsg.Key, n int, with func(kmsg.Response) error) fault {
	return fault{name: name, of: of, inject: func(w *trial) {
		w.t.Helper()
		w.tamper(key, n, with)
	}}
}

// saying alters the answer to the end of a transaction.
func saying(err *kerr.Error) func(kmsg.Response) error {
	return func(resp kmsg.Response) error {
		end := resp.(*kmsg.EndTxnResponse)
		end.ErrorCode, end.ProducerID, end.ProducerEpoch = err.Code, -1, -1
		return nil
	}
}

// repeat does something n times, with a pause after each: what it shakes is to be at work
// between.
func repeat(n int, pause time.Duration, do func(w *trial)) func(w *trial) {
	return func(w *trial) {
		for range n {
			do(w)
			time.Sleep(pause)
		}
	}
}

var faultTable = []fault{
	{name: "none", inject: func(*trial) {}},
	answered("not leader", "",
		on(kerr.NotLeaderForPartition, 5, "out", kmsg.Produce), on(kerr.NotLeaderForPartition, 5, "in", kmsg.Fetch)),
	answered("produce applied, answered with a timeout", "", on(kerr.RequestTimedOut, 5, "out", kmsg.Produce)),
	tampered("produce applied, the connection cut", "", kmsg.Produce, 5, cut),
	{name: "message too large", refuses: true, inject: (*trial).sendHuge},
	answered("out of order sequence", "", on(kerr.OutOfOrderSequenceNumber, 3, "out", kmsg.Produce)),
	answered("invalid producer epoch", "", on(kerr.InvalidProducerEpoch, 3, "out", kmsg.Produce)),
	answered("offset out of range", "", on(kerr.OffsetOutOfRange, 3, "in", kmsg.Fetch)),

	answered("OffsetCommit: illegal generation", least, on(kerr.IllegalGeneration, 3, "", kmsg.OffsetCommit)),
	answered("OffsetCommit applied, answered with a timeout", least, on(kerr.RequestTimedOut, 3, "", kmsg.OffsetCommit)),
	tampered("OffsetCommit applied, the connection cut", least, kmsg.OffsetCommit, 3, cut),
	answered("TxnOffsetCommit: illegal generation", once, on(kerr.IllegalGeneration, 3, "", kmsg.TxnOffsetCommit)),
	answered("TxnOffsetCommit applied, answered with a timeout", once, on(kerr.RequestTimedOut, 3, "", kmsg.TxnOffsetCommit)),
	tampered("TxnOffsetCommit applied, the connection cut", once, kmsg.TxnOffsetCommit, 3, cut),
	answered("EndTxn: concurrent transactions", once, on(kerr.ConcurrentTransactions, 5, "", kmsg.EndTxn)),
	answered("EndTxn: coordinator errors", once, on(kerr.NotCoordinator, 3, "", kmsg.EndTxn),
		on(kerr.CoordinatorLoadInProgress, 3, "", kmsg.EndTxn), on(kerr.CoordinatorNotAvailable, 3, "", kmsg.EndTxn)),
	tampered("EndTxn applied, answered with an error", once, kmsg.EndTxn, 3, saying(kerr.UnknownServerError)),
	tampered("EndTxn applied, answered with a timeout", once, kmsg.EndTxn, 3, saying(kerr.RequestTimedOut)),
	tampered("EndTxn applied, answered as fenced", once, kmsg.EndTxn, 3, saying(kerr.ProducerFenced)),
	tampered("EndTxn applied, the connection cut", once, kmsg.EndTxn, 3, cut),
	{name: "producer fenced", of: once, inject: repeat(3, 300*time.Millisecond, (*trial).fence)},

	{name: "heartbeat: unknown member", inject: repeat(2, time.Second, (*trial).evict)},
	{name: "coordinators move", inject: repeat(5, 200*time.Millisecond, func(w *trial) { w.kafka.RehashCoordinators() })},
	{name: "leaders shuffled", inject: repeat(5, 200*time.Millisecond, func(w *trial) { w.kafka.ShufflePartitionLeaders() })},
	{name: "node removed", inject: (*trial).removeNode},
	{name: "members joining and leaving", inject: repeat(4, 500*time.Millisecond, func(w *trial) {
		w.join()
		w.leave()
	})},
	{name: "late acknowledgement after revoke", set: func(c *Config) { c.Delivery.DrainTimeout = 200 * time.Millisecond }, expired: true,
		inject: (*trial).acknowledgeLate},
	{name: "partitions added", inject: (*trial).addPartitions},
}

// sendHuge has topics take less than a prediction that is on its way has.
func (w *trial) sendHuge() {
	w.t.Helper()
	limit := "300000"
	rs, err := kadm.NewClient(w.client).AlterTopicConfigs(context.Background(),
		[]kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: &limit}}, "out", "dlq")
	if err = errors.Join(err, firstError(rs)); err != nil {
		w.t.Fatal(err)
	}
	for n := range 2 { // the second when brokers are known to refuse such
		w.load.produce(n, huge)
		patience(func() bool { return w.load.dead(w.witness) == n+1 })
	}
}

func firstError(rs kadm.AlterConfigsResponses) error {
	for _, r := range rs {
		if r.Err != nil {
			return r.Err
		}
	}
	return nil
}

// fence takes the transactional id of a member over, as its successor would.
func (w *trial) fence() {
	w.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(w.brokers...), kgo.TransactionalID(w.members[0].transactional.id))
	if err != nil {
		w.t.Fatal(err)
	}
	defer client.Close()
	if _, _, err := client.ProducerID(context.Background()); err != nil {
		w.t.Error(err)
	}
}

// evict has the group forget a member that goes on.
func (w *trial) evict() {
	w.t.Helper()
	member, _ := w.members[0].Consumer.client.Load().GroupMetadata()
	w.harness.evict(member)
}

func (w *trial) removeNode() {
	w.t.Helper()
	if err := w.kafka.RemoveNode(1); err != nil {
		w.t.Fatal(err)
	}
	time.Sleep(500 * time.Millisecond) // without it
	if _, _, err := w.kafka.AddNode(1, 0); err != nil {
		w.t.Fatal(err)
	}
}

// acknowledgeLate keeps the answers to what is produced until partitions were taken away
// from who waits for them.
func (w *trial) acknowledgeLate() {
	w.t.Helper()
	arrive := make(chan struct{})
	w.wire.tamper(kmsg.Produce, 1000, func(kmsg.Response) error {
		<-arrive
		return nil
	})
	m := w.join()
	if w.cfg.Delivery.Guarantee == least {
		patience(func() bool { return len(m.Lag()) > 0 }) // partitions have moved
	} else {
		time.Sleep(time.Second) // a transaction keeps its partitions
	}
	close(arrive)
}

func (w *trial) addPartitions() {
	w.t.Helper()
	if _, err := kadm.NewClient(w.client).UpdatePartitions(context.Background(), 2*trialPartitions, "in"); err != nil {
		w.t.Fatal(err)
	}
	w.client.ForceMetadataRefresh()
	w.eventually("the workload knows them", func() bool {
		leader, _, err := w.client.PartitionLeader("in", 2*trialPartitions-1)
		return err == nil && leader >= 0
	})
	for _, m := range w.members {
		m.Consumer.client.Load().ForceMetadataRefresh() // rather than wait for half a minute
	}
	w.load.mu.Lock()
	w.load.partitions = 2 * trialPartitions
	w.load.mu.Unlock()
	patience(func() bool { return w.witness.busy() == 2*trialPartitions })
}
