package feature

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func TestEventTime(t *testing.T) {
	for _, c := range []struct {
		unit  TimeUnit
		value string
		want  int64
		ok    bool
	}{
		{RFC3339, `"2026-11-24T10:00:00.123Z"`, 1795514400123, true},
		{"", `"2026-11-24T11:30:00.1239999+01:30"`, 1795514400123, true},
		{RFC3339, `"1969-12-31T23:59:59.9999Z"`, -1, true},
		{RFC3339, `"0000-01-01T00:00:00Z"`, firstMilli, true},
		{RFC3339, `"0000-01-01T00:00:00+00:01"`, 0, false},
		{RFC3339, `"9999-12-31T23:59:59.999Z"`, endMilli - 1, true},
		{RFC3339, `"9999-12-31T23:59:59-00:01"`, 0, false},
		{RFC3339, `"2026-11-24"`, 0, false},
		{RFC3339, `"2026-11-24 10:00:00Z"`, 0, false},
		{RFC3339, `"2026-11-24T10:00:00"`, 0, false},
		{RFC3339, `"2023-02-29T10:00:00Z"`, 0, false},
		{RFC3339, `"2026-11-24T10:00:60Z"`, 0, false},
		{RFC3339, `1795514400`, 0, false},
		{RFC3339, `""`, 0, false},
		{RFC3339, `true`, 0, false},
		{RFC3339, `{}`, 0, false},
		{Seconds, `1795514400`, 1795514400000, true},
		{Seconds, `1795514400.123`, 1795514400123, true},
		{Seconds, `"1795514400.1239999999999999999999"`, 1795514400123, true},
		{Seconds, `1.7955144e9`, 1795514400000, true},
		{Seconds, `-0.0001`, -1, true},
		{Seconds, `-1.0000000000000000000000001`, -1001, true},
		{Seconds, `-1.0000000000000000000000010`, -1001, true},
		{Seconds, `253402300799.9999`, endMilli - 1, true},
		{Seconds, `253402300800`, 0, false},
		{Seconds, `1795514400000`, 0, false},
		{Seconds, `1e400`, 0, false},
		{Seconds, `1e-400`, 0, true},
		{Milliseconds, `1795514400123.9`, 1795514400123, true},
		{Milliseconds, `"1795514400123"`, 1795514400123, true},
		{Milliseconds, `" 1"`, 0, false},
		{Milliseconds, `""`, 0, false},
		{Microseconds, `1795514400123999`, 1795514400123, true},
		{Microseconds, `-1`, -1, true},
		{Microseconds, `false`, 0, false},
	} {
		j, err := NewJSON(nil, JSONConfig{EventTime: "t", TimeUnit: c.unit})
		if err != nil {
			t.Fatal(err)
		}
		f, err := j.Extract([]byte(`{"t":`+c.value+`}`), nil, NewScratch(0))
		if f.HasTime != c.ok || (err == nil) != c.ok || f.EventTime != c.want {
			t.Errorf("%s %s: %d %t %v, want %d %t", c.unit, c.value, f.EventTime, f.HasTime, err, c.want, c.ok)
		}
		if err != nil && !strings.Contains(err.Error(), "event time (t") {
			t.Errorf("%q does not name the field", err)
		}
		if c.ok {
			again, err := j.Extract([]byte(`{"t":"wrong","t":`+c.value+`}`), nil, NewScratch(0))
			if err != nil || again.EventTime != c.want {
				t.Errorf("the last of two times: %d %v, want %d", again.EventTime, err, c.want)
			}
		}
		for _, none := range []string{`{}`, `{"t":null}`, `{"t":` + c.value + `,"t":null}`} {
			if f, err := j.Extract([]byte(none), nil, NewScratch(0)); err != nil || f.HasTime {
				t.Errorf("%s: %t %v", none, f.HasTime, err)
			}
		}
	}
}

// TestUsualTime holds the hand-written parser against package time.
func TestUsualTime(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	usual := 0
	for range 50000 {
		text := fmt.Sprintf("%04d-%02d-%02dT%02d:%02d:%02d", r.IntN(10000), r.IntN(14), r.IntN(33), r.IntN(25), r.IntN(61), r.IntN(61))
		if n := r.IntN(12); n > 0 {
			text += fmt.Sprintf(".%0*d", n, r.IntN(1e9))
		}
		if r.IntN(2) == 0 {
			text += "Z"
		} else {
			text += fmt.Sprintf("%c%02d:%02d", "+-"[r.IntN(2)], r.IntN(25), r.IntN(61))
		}
		want, err := time.Parse(time.RFC3339, text)
		got, ok := usualTime([]byte(text))
		if ok && (err != nil || got != want.UnixMilli()) {
			t.Fatalf("%s: %d, want %d %v", text, got, want.UnixMilli(), err)
		}
		if ok {
			usual++
		}
	}
	if usual < 10000 {
		t.Errorf("only %d of 50000 times were usual", usual)
	}
}
