package checkpoint

import (
	"math"
	"strings"
	"testing"
)

var topicA = [16]byte{0x0f, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xa5}

func TestEncode(t *testing.T) {
	got := Encode(Metadata{TopicID: topicA, Born: 1764000000000, EventTime: 1764000000123})
	want := "scry/1 topic=0f0102030405060708090a0b0c0d0ea5 born=1764000000000 event=1764000000123"
	if got != want {
		t.Errorf("Encode = %q, want %q", got, want)
	}
	if got := Encode(Metadata{}); got != "scry/1" {
		t.Errorf("Encode of nothing = %q", got)
	}
	longest := Encode(Metadata{TopicID: topicA, Born: math.MinInt64, EventTime: math.MinInt64})
	if len(longest) > 100 {
		t.Errorf("the longest metadata has %d bytes: %q", len(longest), longest)
	}
}

func TestDecode(t *testing.T) {
	full := Metadata{TopicID: topicA, Born: 12, EventTime: 34}
	for _, c := range []struct {
		in     string
		want   Metadata
		origin Origin
	}{
		{"scry/1 topic=0f0102030405060708090a0b0c0d0ea5 born=12 event=34", full, Ours},
		{"scry/1 event=34 topic=0f0102030405060708090a0b0c0d0ea5 born=12", full, Ours},
		{"scry/1 colour=blue born=12 flag", Metadata{Born: 12}, Ours},
		{"scry/1", Metadata{}, Ours},
		{"scry/1 event=-5", Metadata{EventTime: -5}, Ours},
		{"scry/2 born=12", Metadata{}, Newer},
		{"scry/2", Metadata{}, Newer},
		{"", Metadata{}, Foreign},
		{"scry", Metadata{}, Foreign},
		{"scry/", Metadata{}, Foreign},
		{"scry/0 born=12", Metadata{}, Foreign},
		{"scry/x born=12", Metadata{}, Foreign},
		{"NgAAAAAB", Metadata{}, Foreign}, // Kafka Streams
		{`{"version":1}`, Metadata{}, Foreign},
		{"scry/1 topic=0f01", Metadata{}, Foreign},
		{"scry/1 topic=zz0102030405060708090a0b0c0d0ea5", Metadata{}, Foreign},
		{"scry/1 born=12 born=yesterday", Metadata{}, Foreign},
		{"scry/1 event=9223372036854775808", Metadata{}, Foreign},
		{"scry/1 " + strings.Repeat("x", MaxMetadata), Metadata{}, Foreign},
	} {
		got, origin := Decode(c.in)
		if got != c.want || origin != c.origin {
			t.Errorf("Decode(%.60q) = %v, %v; want %v, %v", c.in, got, origin, c.want, c.origin)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("")
	f.Add("scry/2 born=1")
	f.Add("scry/1 topic=0f0102030405060708090a0b0c0d0ea5 born=12 event=-34 more=x")
	f.Fuzz(func(t *testing.T, s string) {
		m, origin := Decode(s)
		if origin != Ours {
			if m != (Metadata{}) {
				t.Fatalf("Decode(%q) = %v although the metadata is absent", s, m)
			}
			return
		}
		if again, origin := Decode(Encode(m)); again != m || origin != Ours {
			t.Fatalf("Decode(Encode(%v)) = %v, %v", m, again, origin)
		}
	})
}

func FuzzRoundTrip(f *testing.F) {
	f.Add(topicA[:], int64(1764000000000), int64(-1))
	f.Fuzz(func(t *testing.T, id []byte, born, event int64) {
		m := Metadata{Born: born, EventTime: event}
		copy(m.TopicID[:], id)
		s := Encode(m)
		if len(s) > 100 {
			t.Fatalf("%d bytes: %q", len(s), s)
		}
		if got, origin := Decode(s); got != m || origin != Ours {
			t.Fatalf("Decode(%q) = %v, %v; want %v", s, got, origin, m)
		}
	})
}
