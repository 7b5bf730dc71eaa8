package stream

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"

	"scry/predictor"
)

// deadLetterValue is how much of an event's value a dead letter keeps at the most, so
// that it fits a topic with Kafka's default message size (1 MiB) with its headers.
const deadLetterValue = 900 << 10

// deadLetter is the record that stands for an event without a prediction: the raw key,
// at most keep bytes of the value, the headers, and why. The kafka_dlt headers have the names and the binary,
// big-endian numbers of Spring Kafka's DeadLetterPublishingRecoverer, so its tools read
// them; scry's own are text. docs/schemas/dead_letter.json lists them.
func deadLetter(topic, group string, r *kgo.Record, j *reject, d *predictor.Deployment, attempts, keep int) kgo.Record {
	h := make([]kgo.RecordHeader, 0, len(r.Headers)+14)
	h = append(h, r.Headers...)
	text := func(key, value string) { h = append(h, kgo.RecordHeader{Key: key, Value: []byte(value)}) }
	number := func(key string, value []byte) { h = append(h, kgo.RecordHeader{Key: key, Value: value}) }

	text("kafka_dlt-original-topic", r.Topic)
	number("kafka_dlt-original-partition", binary.BigEndian.AppendUint32(nil, uint32(r.Partition)))
	number("kafka_dlt-original-offset", binary.BigEndian.AppendUint64(nil, uint64(r.Offset)))
	number("kafka_dlt-original-timestamp", binary.BigEndian.AppendUint64(nil, uint64(r.Timestamp.UnixMilli())))
	text("kafka_dlt-original-consumer-group", group)
	text("kafka_dlt-exception-fqcn", "scry."+j.reason)
	text("kafka_dlt-exception-message", truncate(j.err.Error(), 1024))
	text("scry-stage", j.stage)
	text("scry-reason", j.reason)
	text("scry-position", r.Topic+"-"+strconv.Itoa(int(r.Partition))+"-"+strconv.FormatInt(r.Offset, 10))
	text("scry-attempts", strconv.Itoa(attempts))
	text("scry-model", d.Name+"/"+d.Version)

	value := r.Value
	if len(value) > keep {
		sum := sha256.Sum256(value)
		text("scry-value-length", strconv.Itoa(len(value)))
		text("scry-value-sha256", hex.EncodeToString(sum[:]))
		if value = value[:keep]; keep == 0 {
			value = nil
		}
	}
	return kgo.Record{Topic: topic, Key: r.Key, Value: value, Headers: h}
}

// attemptsBefore is how often a record was tried before: a redriven dead letter says.
func attemptsBefore(r *kgo.Record) int {
	for i := len(r.Headers) - 1; i >= 0; i-- {
		if r.Headers[i].Key == "scry-attempts" {
			n, _ := strconv.Atoi(string(r.Headers[i].Value))
			return max(n, 0)
		}
	}
	return 0
}

// truncate returns at most n bytes of s, cut between its runes.
func truncate(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for i := n; i > n-utf8.UTFMax; i-- {
		if utf8.RuneStart(s[i]) {
			return s[:i]
		}
	}
	return s[:n] // it is not UTF-8
}
