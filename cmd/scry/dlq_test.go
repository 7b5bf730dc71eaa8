package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"scry/internal/testenv"
	"scry/predictor"
	"scry/stream"
)

// scryNow runs a command to its end in this process.
func scryNow(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, log bytes.Buffer
	code = run(args, &out, &log)
	return code, out.String(), log.String()
}

// strictBundle is the shared model with a features.yaml that requires PageValues.
func strictBundle(t *testing.T, model string) string {
	t.Helper()
	return editedBundle(t, model, "path: page.value, missing: nan", "path: page.value")
}

// TestDeadLettersAreRedrivenAfterAMend requires a feature that events lack, mends the
// bundle and redrives: each has the score that a direct call gives it, under the id it
// would have had, and a second call repeats nothing.
func TestDeadLettersAreRedrivenAfterAMend(t *testing.T) {
	model := filepath.Join(testenv.Shared(t), "models", "osi-xgb")
	d, err := predictor.Load(model, predictor.Config{Threshold: 0.5, Entity: "user_id"})
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, 3)
	events, _ := sharedEvents(t)
	strict := strictBundle(t, model)
	before, err := predictor.Load(strict, predictor.Config{})
	if err != nil {
		t.Fatal(err)
	}
	lacking := 0
	for i := range events {
		if i%5 == 0 {
			events[i] = bytes.Replace(events[i], []byte(`"value"`), []byte(`"worth"`), 1)
		}
		if _, err := before.Score(events[i]); err != nil {
			lacking++
		}
	}
	ids := w.produce(events, 50)
	config := w.config(strict)
	mended := w.config(model)
	running := w.scry("run", "-c", config)
	dead := 0
	w.read(w.dlq, time.Minute, func(*kgo.Record) bool { dead++; return dead == lacking+ids.poison })

	code, out, log := scryNow(t, "dlq", "ls", "-c", config, "--by", "reason")
	if code != 0 || !strings.Contains(out, "missing_feature") || !strings.Contains(out, "malformed") {
		t.Errorf("ls --by reason: %d\n%s%s", code, out, log)
	}
	code, out, _ = scryNow(t, "dlq", "ls", "-c", config, "--reason", "missing_feature", "--limit", "0", "--json")
	var letters []stream.DeadLetter
	for line := range strings.Lines(out) {
		var l stream.DeadLetter
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		letters = append(letters, l)
	}
	if code != 0 || len(letters) != lacking {
		t.Fatalf("ls: %d, %d lines, want %d", code, len(letters), lacking)
	}
	first := letters[0]
	event := events[ids.at[first.ID]]
	if _, out, _ = scryNow(t, "dlq", "show", "-c", config, first.ID); !strings.Contains(out, string(event)) || !strings.Contains(out, "PageValues") {
		t.Errorf("show %s:\n%s", first.ID, out)
	}
	if _, out, _ = scryNow(t, "dlq", "show", "-c", config, "--raw", first.ID); out != string(event) {
		t.Errorf("show --raw %s: %s", first.ID, out)
	}

	for _, dry := range []string{"--dry-run", "--dry-run=false"} {
		if code, out, log := scryNow(t, "dlq", "redrive", "-c", config, dry, first.ID, "elsewhere-0-1"); code != 1 || !strings.Contains(log, "no dead letter of elsewhere-0-1 waits") {
			t.Errorf("redrive of what does not wait: %d\n%s%s", code, out, log)
		}
	}
	// Before the mend, and after, without doing it.
	if _, out, _ = scryNow(t, "dlq", "redrive", "-c", config, "--reason", "missing_feature", "--dry-run", "--json"); !strings.Contains(out, fmt.Sprintf(`"failed":%d`, lacking)) {
		t.Errorf("dry run before the mend: %s", out)
	}
	if _, out, _ = scryNow(t, "dlq", "redrive", "-c", mended, "--dry-run"); !strings.Contains(out, "would be scored: "+count(lacking)+", fail again: "+count(ids.poison)) {
		t.Errorf("dry run after the mend: %s", out)
	}

	sum := redrive(t, 0, mended, "--reason", "missing_feature") // beside run
	if sum != (stream.Redriven{Scored: int64(lacking), NotChosen: sum.NotChosen}) {
		t.Errorf("redrive: %+v, want %d scored", sum, lacking)
	}
	if sum := redrive(t, 0, mended, "--reason", "missing_feature"); sum != (stream.Redriven{}) {
		t.Errorf("the second redrive: %+v", sum)
	}
	if sum := redrive(t, 1, mended); sum != (stream.Redriven{Failed: int64(ids.poison)}) {
		t.Errorf("redrive of poison: %+v", sum)
	}
	if _, out, _ = scryNow(t, "dlq", "ls", "-c", mended, "--json"); strings.Count(out, `"attempts":2`) != ids.poison {
		t.Errorf("after two attempts:\n%s", out)
	}

	seen := map[string]int{}
	w.read(w.out, time.Minute, func(r *kgo.Record) bool {
		var p prediction
		if err := json.Unmarshal(r.Value, &p); err != nil {
			t.Fatal(err)
		}
		i, ok := ids.at[p.ID]
		if !ok {
			t.Fatalf("%s is of no event", p.ID)
		}
		if direct, err := d.Score(events[i]); err != nil || direct[0] != p.Score {
			t.Errorf("%s: score %v, a direct call gives %v, %v", p.ID, p.Score, direct, err)
		}
		seen[p.ID]++
		return len(seen) == len(events)
	})
	for id, n := range seen {
		if n != 1 {
			t.Errorf("%s has %d predictions", id, n)
		}
	}
	ends, err := kadm.NewClient(w.client).ListEndOffsets(context.Background(), w.in)
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	ends.Each(func(o kadm.ListedOffset) { total += int(o.Offset) })
	if total != len(events)+ids.poison {
		t.Errorf("the source holds %d records, want %d", total, len(events)+ids.poison)
	}
	if running.ProcessState != nil {
		t.Error("run has ended")
	}
}

func redrive(t *testing.T, want int, config string, args ...string) (sum stream.Redriven) {
	t.Helper()
	code, out, log := scryNow(t, append([]string{"dlq", "redrive", "-c", config, "--json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &sum); err != nil || code != want {
		t.Fatalf("redrive: code %d, want %d, %v\n%s%s", code, want, err, out, log)
	}
	return sum
}

func TestWhen(t *testing.T) {
	now := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{"": {}, "90m": now.Add(-90 * time.Minute), "2026-11-24T09:00:00Z": now.Add(-time.Hour)} {
		if got, err := parseWhen("--since", text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"yesterday", "-5m", "5"} {
		if _, err := parseWhen("--since", text, now); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

// An event may be anything; what is shown never steers the terminal.
func TestShownEventsDoNoHarm(t *testing.T) {
	for _, value := range [][]byte{[]byte("\x1b[2Jgone"), {0xff, 0xfe}, []byte("a\x00b")} {
		var out bytes.Buffer
		d := &stream.DeadLetter{ID: "in-0-1", Topic: "in", Message: "\x1b[31mred", Key: []byte("\x07"), Value: value}
		if err := writeDeadLetter(&out, d); err != nil {
			t.Fatal(err)
		}
		if bytes.ContainsAny(out.Bytes(), "\x1b\x00\x07") || !bytes.Contains(out.Bytes(), []byte("00000000  ")) {
			t.Errorf("%q is shown as %q", value, out.String())
		}
	}
	var out bytes.Buffer
	if err := writeDeadLetterJSON(&out, &stream.DeadLetter{Value: []byte{0xff}}); err != nil || !strings.Contains(out.String(), `"value_hex": "ff"`) {
		t.Errorf("%v %s", err, out.String())
	}
}
