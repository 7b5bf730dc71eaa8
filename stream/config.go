package stream

import (
	"time"

	"scry/internal/config"
)

// Config is what the consumer does; the sections of scry.yaml it owns. Each field
// is documented here and nowhere else: docs/config.md is made from these comments and
// tags (config.Key tells what the tags mean).
type Config struct {
	Kafka    KafkaConfig    `yaml:"kafka"`
	Input    InputConfig    `yaml:"input"`
	Output   OutputConfig   `yaml:"output"`
	Cache    CacheConfig    `yaml:"cache"`
	Delivery DeliveryConfig `yaml:"delivery"`
}

// KafkaConfig is how to reach the cluster and join the group.
type KafkaConfig struct {
	// Brokers are the addresses to start from, host:port.
	Brokers []string `yaml:"brokers" required:"true"`
	// Group is the consumer group. Default: the pipeline's name.
	Group string `yaml:"group" required:"true"`
	// Instance makes this a static member of the group (group.instance.id). Set it only for names
	// that stay, such as a StatefulSet's pods: a static member that stops keeps its partitions
	// until the session timeout.
	Instance string `yaml:"instance"`
	// SessionTimeout is how long the group waits for a member that went silent.
	SessionTimeout time.Duration `yaml:"session_timeout" min:"1s" max:"30m"`
	// Protocol is the group protocol: classic (cooperative-sticky) or consumer (KIP-848, brokers 4.3 and later).
	Protocol string `yaml:"protocol" enum:"classic,consumer"`
	// TLS encrypts the connections.
	TLS TLSConfig `yaml:"tls"`
	// SASL authenticates to the brokers.
	SASL SASLConfig `yaml:"sasl"`
}

// TLSConfig is one side of mutual TLS; files are read again when they change.
type TLSConfig struct {
	// Enabled turns TLS on.
	Enabled bool `yaml:"enabled"`
	// CA is a PEM file of the authorities to trust. Default: the system's.
	CA string `yaml:"ca"`
	// Cert is a PEM file with this client's certificate, for mutual TLS.
	Cert string `yaml:"cert"`
	// Key is the PEM file of Cert's private key.
	Key string `yaml:"key"`
	// ServerName is the name the servers' certificates are checked against. Default: the host of each.
	ServerName string `yaml:"server_name"`
}

// SASLConfig is who this client is.
type SASLConfig struct {
	// Mechanism is PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER; empty: no authentication.
	Mechanism string `yaml:"mechanism" enum:",PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER"`
	// User is the user name, for PLAIN and SCRAM.
	User string `yaml:"user"`
	// Password is the password, for PLAIN and SCRAM.
	Password config.Secret `yaml:"password"`
	// Token is a bearer token, for OAUTHBEARER.
	Token config.Secret `yaml:"token"`
	// TokenFile is a file holding the bearer token, read again at each login, for OAUTHBEARER.
	TokenFile string `yaml:"token_file"`
}

// InputConfig is where events come from and how they read.
type InputConfig struct {
	// Topics are the source topics; several share one schema.
	Topics []string `yaml:"topics" required:"true"`
	// Format is how an event is written: json, or access_log for a line of Apache's or nginx's Common or
	// Combined Log Format, with a virtual host before it or not. In a line entity is a field such as
	// remote_host, and the event's time is always the line's.
	Format string `yaml:"format" enum:"json,access_log"`
	// Entity is the path in the event of what the prediction is about. Default: the record's key.
	Entity string `yaml:"entity"`
	// EventTime is when the event happened. Default: the record's timestamp.
	EventTime EventTimeConfig `yaml:"event_time"`
	// Start is where a group without offsets begins: earliest, latest, or an RFC 3339 time.
	Start string `yaml:"start" required:"true"`
	// OnDataLoss is what to do when records that were not read are gone, or the topic was made anew: stop or earliest.
	OnDataLoss string `yaml:"on_data_loss" enum:"stop,earliest"`
}

// EventTimeConfig is where in the event its time is.
type EventTimeConfig struct {
	// Path is the time's path in the event. Default: the record's timestamp.
	Path string `yaml:"path"`
	// Unit is how it is written: rfc3339, s, ms or us.
	Unit string `yaml:"unit" enum:"rfc3339,s,ms,us"`
}

// OutputConfig is where predictions and dead letters go.
type OutputConfig struct {
	// Topic receives the predictions.
	Topic string `yaml:"topic" required:"true"`
	// DeadLetterTopic receives events that cannot be scored. Default: NAME.dlq.
	DeadLetterTopic string `yaml:"dead_letter_topic" required:"true"`
	// CloudEvents adds CloudEvents 1.0 binary-mode headers to each prediction.
	CloudEvents bool `yaml:"cloudevents"`
	// HoldWhenRejected is the share of the last 1,000 events that may be rejected before
	// the consumer holds, uncommitted, rather than pour the topic into the dead letters. 1 turns it off.
	HoldWhenRejected float64 `yaml:"hold_when_rejected" min:"0.001" max:"1"`
	// Compression is that of produced batches: lz4, snappy, zstd, gzip or none.
	Compression string `yaml:"compression" enum:"lz4,snappy,zstd,gzip,none"`
}

// CacheConfig is the Redis that holds each entity's newest prediction.
type CacheConfig struct {
	// URL is redis:// or, with TLS, rediss://, with user, password, host and database; empty: no cache.
	// It leads to a single server, to any node of a cluster, or to a Sentinel; ?addr=HOST:PORT adds another.
	URL config.Secret `yaml:"url" mask:"url"`
	// Sentinel is for a Redis that Sentinels watch, which then are what url leads to.
	Sentinel SentinelConfig `yaml:"sentinel"`
	// TLS encrypts the connections; rediss:// in url does too.
	TLS TLSConfig `yaml:"tls"`
	// TTL counts from the event's time; 0: never expires.
	TTL time.Duration `yaml:"ttl" min:"0"`
	// From is input (predictions are written with each batch, beside the output topic) or output (a projector
	// copies them from the output topic once they are committed there, in the consumer group GROUP.cache).
	From string `yaml:"from" enum:"input,output"`
	// OnFailure is block (the stream waits for Redis) or skip (counted; mend with `scry cache rebuild`). With
	// from: output the stream never waits for Redis, and the projector always does.
	OnFailure string `yaml:"on_failure" enum:"block,skip"`
}

// SentinelConfig is which server to ask Sentinels for, and as whom. User and password of cache.url are Redis' own.
type SentinelConfig struct {
	// Master is the name that the Sentinels know the master by; empty: there are none.
	Master string `yaml:"master"`
	// User is the Sentinels' user, if they want one.
	User string `yaml:"user"`
	// Password is the Sentinels' password, if they want one.
	Password config.Secret `yaml:"password"`
}

// DeliveryConfig is what is promised and what may be in flight.
type DeliveryConfig struct {
	// Guarantee is at_least_once, or exactly_once: predictions, dead letters and offsets in Kafka
	// transactions, for readers that read committed.
	Guarantee string `yaml:"guarantee" enum:"at_least_once,exactly_once"`
	// MaxInFlight bounds the memory of events read and not yet delivered: their bytes and 1.5 KiB each.
	MaxInFlight config.Bytes `yaml:"max_in_flight" min:"1MiB" max:"8GiB"`
	// CommitInterval is how often offsets are committed, with at_least_once.
	CommitInterval time.Duration `yaml:"commit_interval" min:"10ms" max:"5m"`
	// TransactionInterval is how long a transaction takes in events while there are more to read,
	// with exactly_once. One that has caught up ends at once.
	TransactionInterval time.Duration `yaml:"transaction_interval" min:"1ms" max:"1s"`
	// DrainTimeout bounds how long a stop or a rebalance waits for work in flight.
	DrainTimeout time.Duration `yaml:"drain_timeout" min:"1ms" max:"1h"`
}

// DefaultConfig returns the values in force where scry.yaml says nothing.
func DefaultConfig() Config {
	return Config{
		Kafka: KafkaConfig{
			Brokers:        []string{"localhost:9092"},
			SessionTimeout: 10 * time.Second,
			Protocol:       "classic",
		},
		Input: InputConfig{
			Format:     "json",
			EventTime:  EventTimeConfig{Unit: "rfc3339"},
			Start:      "earliest",
			OnDataLoss: "stop",
		},
		Output: OutputConfig{HoldWhenRejected: 0.5, Compression: "snappy"},
		Cache:  CacheConfig{TTL: 24 * time.Hour, From: "input", OnFailure: "block"},
		Delivery: DeliveryConfig{
			Guarantee:           "at_least_once",
			MaxInFlight:         32 << 20,
			CommitInterval:      time.Second,
			TransactionInterval: 100 * time.Millisecond,
			DrainTimeout:        25 * time.Second,
		},
	}
}
