package checkpoint

import (
	"encoding/hex"
	"strconv"
	"strings"
)

// MaxMetadata is Kafka's default limit on a commit's metadata in bytes
// (offset.metadata.max.bytes). Encode stays under 100.
const MaxMetadata = 4096

// Metadata is a position's story, kept in the commit's metadata string, so that it is
// written, fenced and deleted with the offset. Zero values mean unknown.
type Metadata struct {
	TopicID   [16]byte // the topic's incarnation
	Born      int64    // when the group was born, Unix ms
	EventTime int64    // highest event time before the position, Unix ms
}

// Origin says who wrote a metadata string.
type Origin int

// Kafka's own tools write an empty string, others what they like; none is an error.
const (
	Foreign Origin = iota // empty, or not in our form: the metadata is absent
	Ours                  // written by this version, or one that only adds fields
	Newer                 // written by a version this one cannot read: absent too
)

const (
	signature = "scry/"
	version   = 1
)

// Encode returns m in a readable form, leaving out what is zero:
//
//	scry/1 topic=<32 hex digits> born=<Unix ms> event=<Unix ms>
func Encode(m Metadata) string {
	b := make([]byte, 0, 100)
	b = append(b, signature...)
	b = strconv.AppendInt(b, version, 10)
	if m.TopicID != [16]byte{} {
		b = append(b, " topic="...)
		b = hex.AppendEncode(b, m.TopicID[:])
	}
	if m.Born != 0 {
		b = append(b, " born="...)
		b = strconv.AppendInt(b, m.Born, 10)
	}
	if m.EventTime != 0 {
		b = append(b, " event="...)
		b = strconv.AppendInt(b, m.EventTime, 10)
	}
	return string(b)
}

// Decode reads what Encode wrote, by this version or a later one: unknown fields are
// ignored. Metadata is zero unless the origin is Ours.
func Decode(s string) (Metadata, Origin) {
	if len(s) > MaxMetadata {
		return Metadata{}, Foreign
	}
	rest, ok := strings.CutPrefix(s, signature)
	if !ok {
		return Metadata{}, Foreign
	}
	head, fields, _ := strings.Cut(rest, " ")
	switch v, err := strconv.ParseUint(head, 10, 16); {
	case err != nil || v < version:
		return Metadata{}, Foreign
	case v > version:
		return Metadata{}, Newer
	}
	var m Metadata
	for field := range strings.FieldsSeq(fields) {
		if !m.set(field) {
			return Metadata{}, Foreign
		}
	}
	return m, Ours
}

// set reports false when a field we know holds what we never write.
func (m *Metadata) set(field string) bool {
	name, value, _ := strings.Cut(field, "=")
	var err error
	switch name {
	case "topic":
		if len(value) != hex.EncodedLen(len(m.TopicID)) {
			return false
		}
		_, err = hex.Decode(m.TopicID[:], []byte(value))
	case "born":
		m.Born, err = strconv.ParseInt(value, 10, 64)
	case "event":
		m.EventTime, err = strconv.ParseInt(value, 10, 64)
	}
	return err == nil
}
