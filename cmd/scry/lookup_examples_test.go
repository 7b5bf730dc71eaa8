package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"scry/internal/testenv"
)

// TestLookupExamples runs examples/lookup against what the pipeline wrote to a real
// Redis: an entity that is fresh, one that is stale, one deleted and one missing.
func TestLookupExamples(t *testing.T) {
	w := newWorld(t, 1)
	events, _ := sharedEvents(t)
	ts := regexp.MustCompile(`"ts":"[^"]*"`)
	at := func(name string, when time.Time) *kgo.Record {
		e := ts.ReplaceAll(events[0], fmt.Appendf(nil, `"ts":"%s"`, when.UTC().Format(time.RFC3339Nano)))
		return &kgo.Record{Topic: w.in, Key: []byte(name), Value: []byte(strings.Replace(string(e), user(events[0]), name, 1))}
	}
	now := time.Now()
	if err := w.client.ProduceSync(context.Background(), at("new", now), at("old", now.Add(-2*time.Hour)),
		&kgo.Record{Topic: w.in, Key: []byte("left")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	w.scry("run", "-c", w.config(filepath.Join(testenv.Shared(t), "models", "osi-xgb")))
	w.eventually("all is cached", func() bool {
		return w.redis.Exists(context.Background(), "pred:osi-xgb:new", "pred:osi-xgb:old", "pred:osi-xgb:left").Val() == 3
	})
	value, err := w.redis.Get(context.Background(), "pred:osi-xgb:new").Result()
	if err != nil {
		t.Fatal(err)
	}
	score := regexp.MustCompile(`"score":([^,]*)`).FindStringSubmatch(value)[1]
	label := "-"
	if m := regexp.MustCompile(`"label":"([^"]*)"`).FindStringSubmatch(value); m != nil {
		label = m[1]
	}
	want := fmt.Sprintf("new fresh %s %s\nold stale %s %s\nleft deleted\nnone missing\n", score, label, score, label)

	cache, err := filepath.Abs("../../.cache/lookup")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []struct{ language, tool, script string }{
		{"go", "go", `go run ../../examples/lookup/go "$@"`},
		{"python", "python3", `[ -x "$CACHE/python/bin/python" ] || python3 -m venv "$CACHE/python"
			"$CACHE/python/bin/python" -c 'import redis' 2>/dev/null || "$CACHE/python/bin/pip" install -q -r ../../examples/lookup/python/requirements.txt >&2
			"$CACHE/python/bin/python" ../../examples/lookup/python/lookup.py "$@"`},
		{"node", "npm", `mkdir -p "$CACHE/node" && cp ../../examples/lookup/node/* "$CACHE/node" && cd "$CACHE/node"
			[ -d node_modules/redis ] || npm install --silent --no-audit --no-fund >&2
			node lookup.mjs "$@"`},
		{"java", "mvn", `mkdir -p "$CACHE/java" && cp ../../examples/lookup/java/* "$CACHE/java" && cd "$CACHE/java"
			mvn -q -B compile dependency:build-classpath -Dmdep.outputFile=target/classpath >&2
			java -cp "target/classes:$(cat target/classpath)" Lookup "$@" 2>/dev/null`},
	} {
		t.Run(l.language, func(t *testing.T) {
			if _, err := exec.LookPath(l.tool); err != nil {
				if os.Getenv("SCRY_REQUIRE_SERVICES") == "1" {
					t.Fatalf("no %s in PATH, and SCRY_REQUIRE_SERVICES=1", l.tool)
				}
				t.Skipf("no %s in PATH", l.tool)
			}
			cmd := exec.Command("bash", "-ec", l.script, "lookup", "new", "old", "left", "none")
			cmd.Env = append(os.Environ(), "CACHE="+cache, "MODEL=osi-xgb", "REDIS_URL="+w.url)
			var log strings.Builder
			cmd.Stderr = &log
			out, err := cmd.Output()
			if err != nil || string(out) != want {
				t.Errorf("%v: prints\n%s\nwant\n%s\n%s", err, out, want, &log)
			}
		})
	}
}
