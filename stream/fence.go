package stream

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// fencePredecessor ends what an earlier producer of the same transactional id has left
// open, and keeps it from writing. It is called when the group has let this member in:
// a second process of the same instance, which it does not, fences nobody.
func (s *session) fencePredecessor(ctx context.Context) error {
	if !s.consumer.exactlyOnce() || s.fenced {
		return nil
	}
	if _, _, err := s.client.ProducerID(ctx); err != nil {
		return fmt.Errorf("producer id of %s: %w", s.consumer.transactional.id, err)
	}
	s.fenced = true
	return nil
}

// replaced returns an error when another process has this static member's place: then a
// transaction was fenced for good. Only the classic protocol lets it in.
func (s *session) replaced(ctx context.Context) error {
	k := s.consumer.cfg.Kafka
	if k.Instance == "" || k.Protocol != "classic" {
		return nil
	}
	req := kmsg.NewPtrHeartbeatRequest()
	req.Group, req.InstanceID = k.Group, &k.Instance
	req.MemberID, req.Generation = s.client.GroupMetadata()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	resp, err := req.RequestWith(ctx, s.client)
	if err != nil {
		return nil // it is not known; the next session learns it
	}
	if err := kerr.ErrorForCode(resp.ErrorCode); errors.Is(err, kerr.FencedInstanceID) {
		return fenced(err)
	}
	return nil
}

// stuckTransaction is how long a transaction must be open to be taken for a dead member's:
// no member loses its place sooner, and a living one is done in a fraction of it. One that
// is ended by mistake is made again.
const stuckTransaction = 2 * time.Second

// settled is lookUp after the transactions of the group that still hold positions back
// have ended. Those of dead members it ends, rather than wait for their timeout.
func (s *session) settledLookUp(ctx context.Context, adm *kadm.Client, topics []string) (*lookup, error) {
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, 500*time.Millisecond) {
		look, err := lookUp(kadm.RequireStable(ctx), adm, s.consumer.cfg.Kafka.Group, topics)
		if !errors.Is(err, kerr.UnstableOffsetCommit) {
			return look, err
		}
		if err := s.abortStuck(ctx, adm); err != nil {
			s.consumer.log.Info("cannot end a dead member's transaction, the brokers will when it times out", "error", err)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, err
		}
	}
}

// abortStuck ends the transactions that members of the group have had open for too long.
func (s *session) abortStuck(ctx context.Context, adm *kadm.Client) error {
	listed, err := adm.ListTransactions(ctx, nil, []string{"Ongoing"})
	if err != nil {
		return fmt.Errorf("listing transactions: %w", err)
	}
	c := s.consumer
	var ids []string
	for _, id := range listed.TransactionalIDs() {
		if strings.HasPrefix(id, transactionalPrefix(c.cfg.Kafka.Group)) && id != c.transactional.id {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	open, err := adm.DescribeTransactions(ctx, ids...)
	if err != nil {
		return fmt.Errorf("describing transactions: %w", err)
	}
	for _, t := range open {
		age := time.Since(time.UnixMilli(t.StartTimestamp))
		if t.Err != nil || t.State != "Ongoing" || age < stuckTransaction {
			continue
		}
		if err := abortTransaction(ctx, s.client, t.TxnID); err != nil {
			return fmt.Errorf("transaction of %s: %w", t.TxnID, err)
		}
		c.log.Info("ended the transaction of a dead member", "transactional_id", t.TxnID, "open_for", age.Round(time.Millisecond))
	}
	return nil
}

// abortTransaction takes over a transactional id, which aborts what is open under it.
func abortTransaction(ctx context.Context, client *kgo.Client, id string) error {
	req := kmsg.NewPtrInitProducerIDRequest()
	req.TransactionalID = &id
	req.TransactionTimeoutMillis = int32(transactionTimeout.Milliseconds())
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return err
	}
	err = kerr.ErrorForCode(resp.ErrorCode)
	if errors.Is(err, kerr.ConcurrentTransactions) { // it is being aborted
		return nil
	}
	return err
}
