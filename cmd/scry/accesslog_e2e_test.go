package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"scry/internal/testenv"
	"scry/predictor"
)

const botOrHuman = "../../examples/bot-or-human/bundle"

// TestAccessLogThroughRealKafka sends the 10,000 lines of a real server's log, one of
// them cut off, through a real Kafka: each of the others has its prediction, with the
// host as its entity and the line's time, and the one is a dead letter as it was.
func TestAccessLogThroughRealKafka(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(testenv.Shared(t), "data", "elastic", "apache_logs"))
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
	d, err := predictor.Load(botOrHuman, predictor.Config{Format: "access_log", Entity: "remote_host", Threshold: 0.5})
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, 3)
	at := w.produceLines(lines)
	pipeline := []string{"-c", w.config(botOrHuman), "--set", "input.format=access_log",
		"--set", "input.entity=remote_host", "--set", "input.event_time.path=time"}
	w.scry(append([]string{"run"}, pipeline...)...)

	var dead []byte
	var id string
	w.read(w.dlq, 2*time.Minute, func(r *kgo.Record) bool {
		if dead != nil {
			t.Errorf("more than one dead letter: %s", r.Value)
		}
		dead = r.Value
		for _, h := range r.Headers {
			if h.Key == "scry-position" {
				id = string(h.Value)
			}
		}
		return true
	})
	if i := bytes.Index(text, dead); !bytes.HasPrefix(dead, []byte("46.118.127.106 - - [20/May/2015:12:05:17 +0000]")) || text[i+len(dead)] != '\n' {
		t.Errorf("the dead letter is not the line that is cut off: %s", dead)
	}
	seen := map[string]bool{}
	w.read(w.out, 2*time.Minute, func(r *kgo.Record) bool {
		var p prediction
		if err := json.Unmarshal(r.Value, &p); err != nil {
			t.Fatalf("%v: %s", err, r.Value)
		}
		i, ok := at[p.ID]
		if !ok || seen[p.ID] {
			t.Fatalf("%s is a repeat or of no line", p.ID)
		}
		seen[p.ID] = true
		words := strings.Fields(string(lines[i]))
		when, err := time.Parse("[02/Jan/2006:15:04:05", words[3])
		if err != nil {
			t.Fatal(err)
		}
		if p.Entity != words[0] || p.EventTime != when.Format("2006-01-02T15:04:05.000Z") {
			t.Errorf("%s of %s, want %s of %v", p.ID, p.Entity, words[0], when)
		}
		if direct, err := d.Score(lines[i]); err != nil || direct[0] != p.Score {
			t.Errorf("%s: score %v, a direct call gives %v, %v", p.ID, p.Score, direct, err)
		}
		return len(seen) == len(lines)-1
	})
	if len(lines) != 10_000 || len(seen) != 9_999 {
		t.Errorf("%d lines, %d predictions", len(lines), len(seen))
	}

	// The one is explained, and, mended, has its prediction too.
	dlq := func(args ...string) string {
		t.Helper()
		var stdout, stderr bytes.Buffer
		if code := run(append(append([]string{"dlq"}, args...), pipeline...), &stdout, &stderr); code != 0 {
			t.Errorf("dlq %v: exit %d: %s%s", args, code, stdout.String(), stderr.String())
		}
		return stdout.String()
	}
	if says := dlq("show", id); !strings.Contains(says, "the quote that opens user_agent is not closed") {
		t.Errorf("dlq show does not say what is wrong with the user agent:\n%s", says)
	}
	mended := filepath.Join(t.TempDir(), "event")
	if err := os.WriteFile(mended, append(bytes.Clone(dead), "\"\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	dlq("redrive", id, "--value", mended)
	w.read(w.out, time.Minute, func(r *kgo.Record) bool {
		var p prediction
		if err := json.Unmarshal(r.Value, &p); err != nil {
			t.Fatal(err)
		}
		if p.ID != id {
			return false
		}
		if direct, err := d.Score(append(bytes.Clone(dead), '"')); err != nil || direct[0] != p.Score {
			t.Errorf("the mended line: score %v, a direct call gives %v, %v", p.Score, direct, err)
		}
		return true
	})
}

// produceLines writes lines in their order, without keys, and says by the ids of their
// predictions which is which.
func (w *world) produceLines(lines [][]byte) map[string]int {
	w.t.Helper()
	records := make([]*kgo.Record, len(lines))
	for i, line := range lines {
		records[i] = &kgo.Record{Topic: w.in, Value: line}
	}
	if err := w.client.ProduceSync(context.Background(), records...).FirstErr(); err != nil {
		w.t.Fatal(err)
	}
	at := make(map[string]int, len(lines))
	for i, r := range records {
		at[fmt.Sprintf("%s-%d-%d", r.Topic, r.Partition, r.Offset)] = i
	}
	return at
}
