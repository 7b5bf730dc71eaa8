package main

import (
	"strings"
	"testing"
	"time"
)

// A comparison of nothing says so, and is no success.
func TestReplayAgainstComparesSomething(t *testing.T) {
	p := newTimeline(t, time.Now().Add(-100*time.Second)) // whose events lack every feature
	const model = "../../examples/buyer-intent/bundle"
	against := []string{"replay", "--set", "model.uri=" + model, "--against", model}
	code, out := p.scry(append(against, "--from", "1h")...)
	if code != 1 || !strings.Contains(out, "0 compared, 0 tombstones, 200 rejected by both") || !strings.Contains(out, "nothing was compared: all events were rejected") {
		t.Errorf("of rejects: exit %d\n%s", code, out)
	}
	code, out = p.scry(append(against, "--from", "2h", "--to", "1h", "--json")...)
	if code != 1 || !strings.Contains(out, `"compared": 0`) || !strings.Contains(out, "nothing was compared: there is no event") {
		t.Errorf("of an empty span: exit %d\n%s", code, out)
	}
}
