package stream

import (
	"testing"
	"time"
)

// TestAppendTime: it is RFC 3339 on every day that there can be.
func TestAppendTime(t *testing.T) {
	for ms := int64(0); ms <= maxEventTime; ms += 86400000 - 7919 {
		want := time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z")
		if got := string(appendTime(nil, ms)); got != want {
			t.Fatalf("%d: %s, want %s", ms, got, want)
		}
	}
}
