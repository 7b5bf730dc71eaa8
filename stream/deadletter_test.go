package stream

import (
	"errors"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestDeadLetterMessage: a long one is cut to 1,024 bytes, or to the rune before.
func TestDeadLetterMessage(t *testing.T) {
	x := strings.Repeat("x", 1021)
	for text, want := range map[string]string{
		x:                                x,
		x + "xxx":                        x + "xxx",
		x + "xxxx":                       x + "xxx",
		x + "€":                          x + "€",
		x + "x€":                         x + "x",
		x + "xx€":                        x + "xx",
		x + "xxx€":                       x + "xxx",
		x + "😀":                          x,
		x + strings.Repeat("\x80", 1000): x + "\x80\x80\x80",
	} {
		l := deadLetter("dlq", "g", &kgo.Record{}, &reject{err: errors.New(text)}, doubler(), 1, deadLetterValue)
		for _, h := range l.Headers {
			if h.Key == "kafka_dlt-exception-message" && string(h.Value) != want {
				t.Errorf("%q was cut to %q, want %q", text[1021:], h.Value[min(len(h.Value), 1021):], want[1021:])
			}
		}
	}
}
