package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"scry/predictor"
)

// A Level is how good or bad a Finding is.
type Level string

// The levels: Warn works and will surprise somebody, Fail keeps a start from working.
const (
	OK   Level = "ok"
	Warn Level = "warn"
	Fail Level = "fail"
)

// A Finding is one thing looked at before a start.
type Finding struct {
	Level  Level  `json:"level"`
	What   string `json:"what"`           // kafka, transactions, topic, group, replay, offsets, redis
	Detail string `json:"detail"`         // what was found
	Mend   string `json:"mend,omitempty"` // what to do about it
}

// preflightTimeout bounds what is asked of brokers and of Redis, each.
const preflightTimeout = 15 * time.Second

// Preflight asks brokers and Redis what a start with cfg would find. It changes nothing: it
// joins no group and writes no topic and no key; to try whether transactions are allowed it
// registers a transactional id that nobody uses. d may be nil.
func Preflight(ctx context.Context, cfg Config, d *predictor.Deployment) []Finding {
	k := &kafkaPreflight{cfg: cfg}
	k.run(ctx)
	return append(k.findings, redisPreflight(ctx, cfg.Cache, d)...)
}

// A kafkaPreflight collects what there is to say about brokers, topics and group.
type kafkaPreflight struct {
	cfg      Config
	adm      *kadm.Client
	brokers  int
	topics   kadm.TopicDetails
	configs  map[string]map[string]string // by topic; without those that may not be seen
	findings []Finding
}

func (k *kafkaPreflight) add(level Level, what, mend, format string, args ...any) {
	k.findings = append(k.findings, Finding{Level: level, What: what, Mend: mend, Detail: fmt.Sprintf(format, args...)})
}

func (k *kafkaPreflight) run(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, preflightTimeout)
	defer cancel()
	client, err := k.cfg.Kafka.Client(kgo.ClientID("scry-validate"), kgo.RequestRetries(2))
	if err != nil {
		k.add(Fail, "kafka", "", "%v", err)
		return
	}
	defer client.Close()
	k.adm = kadm.NewClient(client)
	if !k.cluster(ctx) {
		return
	}
	if k.cfg.Delivery.Guarantee == "exactly_once" {
		k.transactions(ctx, client)
	}
	if k.look(ctx) {
		k.group(ctx)
	}
}

// cluster reports whether there is a cluster to ask more of.
func (k *kafkaPreflight) cluster(ctx context.Context) bool {
	brokers, err := k.adm.ListBrokers(ctx)
	if err != nil {
		mend, _ := k.cfg.Kafka.mend(err)
		k.add(Fail, "kafka", cmp.Or(mend, startKafka), "%s: %v", strings.Join(k.cfg.Kafka.Brokers, ", "), err)
		return false
	}
	k.brokers = len(brokers)
	version := ""
	if versions, err := k.adm.ApiVersions(ctx); err == nil {
		for _, v := range versions.Sorted() {
			// What is guessed as a range is no Kafka.
			if guess := v.VersionGuess(); v.Err == nil && (strings.HasPrefix(guess, "v") || strings.HasPrefix(guess, "at least v")) {
				version = ", Kafka " + strings.Replace(guess, "v", "", 1)
				break
			}
		}
	}
	k.add(OK, "kafka", "", "%s reached%s", plural(k.brokers, "broker"), version)
	return true
}

// transactions tells whether this user may use them. The id it tries is no member's.
func (k *kafkaPreflight) transactions(ctx context.Context, client *kgo.Client) {
	id := transactionalPrefix(k.cfg.Kafka.Group) + "validate"
	switch err := abortTransaction(ctx, client, id); {
	case errors.Is(err, kerr.TransactionalIDAuthorizationFailed):
		k.add(Fail, "transactions", grantTransactions(k.cfg.Kafka.Group), "this user may not use the transactional id %s", id)
	case err != nil:
		k.add(Fail, "transactions", "", "transactional id %s: %v", id, err)
	default:
		k.add(OK, "transactions", "", "this user may use them")
	}
}

// look examines the topics and reports whether the inputs are there.
func (k *kafkaPreflight) look(ctx context.Context) (inputs bool) {
	in, out, dead := k.cfg.Input.Topics, k.cfg.Output.Topic, k.cfg.Output.DeadLetterTopic
	all := append(slices.Clone(in), out, dead)
	k.topics = kadm.TopicDetails{}
	for _, topic := range all { // one by one: a topic that may not be seen hides the others
		details, err := k.adm.ListTopics(kadm.WithAuthorizedOps(ctx), topic)
		if err != nil {
			details = kadm.TopicDetails{topic: {Err: err}}
		}
		k.topics[topic] = details[topic]
	}
	k.configs = map[string]map[string]string{}
	if described, err := k.adm.DescribeTopicConfigs(ctx, all...); err == nil {
		for _, topic := range described {
			values := map[string]string{}
			for _, c := range topic.Configs {
				values[c.Key] = c.MaybeValue()
			}
			k.configs[topic.Name] = values
		}
	}
	inputs = true
	for _, topic := range in {
		inputs = k.topic(topic, "input", kmsg.ACLOperationRead) && inputs
	}
	needs := []kadm.ACLOperation{kmsg.ACLOperationWrite}
	if k.cfg.Cache.projected() {
		needs = append(needs, kmsg.ACLOperationRead)
	}
	if k.topic(out, "predictions", needs...) {
		k.room(out, "its predictions become dead letters")
	}
	if k.topic(dead, "dead letters", kmsg.ACLOperationWrite) {
		k.room(dead, "its dead letters lose their values")
	}
	return inputs
}

func (k *kafkaPreflight) topic(name, role string, needs ...kadm.ACLOperation) bool {
	t := k.topics[name]
	var lacks []string
	for _, op := range needs {
		if len(t.AuthorizedOperations) > 0 && !slices.Contains(t.AuthorizedOperations, op) || t.Err != nil {
			lacks = append(lacks, strings.ToUpper(op.String()))
		}
	}
	grant := fmt.Sprintf("grant %s on topic %s to this user", strings.Join(lacks, " and "), name)
	switch {
	case errors.Is(t.Err, kerr.TopicAuthorizationFailed):
		k.add(Fail, "topic", grant, "%s (%s): not allowed to see it", name, role)
		return false
	case (t.Err == nil && len(t.Partitions) == 0 || errors.Is(t.Err, kerr.UnknownTopicOrPartition)) && name == k.cfg.Output.DeadLetterTopic:
		k.add(Warn, "topic", "create it, unless this user may create topics", "%s (%s) does not exist: the start creates it, with the brokers' defaults", name, role)
		return false
	case t.Err == nil && len(t.Partitions) == 0, errors.Is(t.Err, kerr.UnknownTopicOrPartition):
		k.add(Fail, "topic", fmt.Sprintf("create it: kafka-topics.sh --bootstrap-server %s --create --topic %s", k.cfg.Kafka.Brokers[0], name),
			"%s (%s) does not exist", name, role)
		return false
	case t.Err != nil:
		k.add(Fail, "topic", "", "%s (%s): %v", name, role, t.Err)
		return false
	case len(lacks) > 0:
		k.add(Fail, "topic", grant, "%s (%s): this user may not %s it", name, role, strings.ToLower(strings.Join(lacks, " or ")))
		return false
	}
	leaderless, replicas := 0, len(t.Partitions.Sorted()[0].Replicas)
	for _, p := range t.Partitions {
		if p.Leader < 0 || p.Err != nil {
			leaderless++
		}
		replicas = min(replicas, len(p.Replicas))
	}
	size := fmt.Sprintf("%s (%s): %s, %s", name, role, plural(len(t.Partitions), "partition"), plural(replicas, "replica"))
	switch {
	case leaderless > 0:
		k.add(Fail, "topic", "bring the brokers back that hold them", "%s, %d without a leader", size, leaderless)
		return false
	case replicas == 1 && k.brokers > 1:
		k.add(Warn, "topic", "raise its replication factor", "%s: it is gone or stands still with one broker of %d", size, k.brokers)
	default:
		k.add(OK, "topic", "", "%s", size)
	}
	return true
}

// batchBytes is how large a batch the client makes when records queue up
// (kgo.ProducerBatchMaxBytes). It does not split one that the broker refuses.
const batchBytes = 1_000_012

// room warns of a topic that takes no full batch.
func (k *kafkaPreflight) room(topic, loss string) {
	most, err := strconv.Atoi(k.configs[topic]["max.message.bytes"])
	if err == nil && most < batchBytes {
		k.add(Warn, "topic", fmt.Sprintf("raise max.message.bytes of %s to %d or more", topic, batchBytes),
			"%s: max.message.bytes is %d, and a busy consumer writes batches of up to %d: where one is refused, %s", topic, most, batchBytes, loss)
	}
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}
