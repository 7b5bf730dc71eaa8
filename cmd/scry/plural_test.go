package main

import (
	"strings"
	"testing"

	"scry/internal/batch"
	"scry/stream"
)

func TestOneIsNoPlural(t *testing.T) {
	var out strings.Builder
	p := &progress{terminal: terminal{Writer: &out}}
	p.summary(batch.Totals{Predicted: 1, Cached: stream.CacheCounts{Written: 1}}, true)
	r := replayReport{Cached: true, Replayed: stream.Replayed{Read: 1, Predictions: 1, Written: 1}}
	if err := r.write(&out, false); err != nil {
		t.Fatal(err)
	}
	if err := writeComparison(&out, comparison{Compared: stream.Compared{Read: 1, Tombstones: 1}}, false); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"scry: 1 prediction, 0 rejected", "; cache: 1 key written", "1 event: 1 prediction, 0 tombstones", "\ncache: 1 key written", "1 event: 0 compared, 1 tombstone, "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, &out)
		}
	}
}
