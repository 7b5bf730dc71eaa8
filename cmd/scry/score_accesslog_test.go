package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"scry/internal/testenv"
	"scry/predictor"
)

func scoreLog(t *testing.T, text []byte) (got []scoredRecord, file, errs string) {
	t.Helper()
	dir := t.TempDir()
	file = filepath.Join(dir, "access.log")
	if err := os.WriteFile(file, text, 0o666); err != nil {
		t.Fatal(err)
	}
	config := writeConfig(t, fmt.Sprintf("name: bots\ninput: {topics: [in], format: access_log, entity: remote_host}\noutput: {topic: out}\nmodel: {uri: %s}\n", botOrHuman))
	out, errs := scored(t, 0, "-c", config, file)
	return records(t, out), file, errs
}

// TestScoreAccessLog: a line is an event, with its host and its own time, however long
// ago; what is no line is a reject.
func TestScoreAccessLog(t *testing.T) {
	got, file, errs := scoreLog(t, []byte(`83.149.9.216 - - [17/May/2015:10:05:03 +0000] "GET /images/a.png HTTP/1.1" 200 203023 "http://semicomplete.com/" "Mozilla/5.0 (Macintosh) Chrome/32.0"
not a line
66.249.73.185 - - [17/May/2015:12:05:04 +0200] "GET /robots.txt HTTP/1.1" 404 - "-" "Googlebot/2.1 (+http://www.google.com/bot.html)"
`))
	want := []scoredRecord{
		{ID: file + "-0-1", Entity: "83.149.9.216", EventTime: time.Date(2015, 5, 17, 10, 5, 3, 0, time.UTC)},
		{ID: file + "-0-3", Entity: "66.249.73.185", EventTime: time.Date(2015, 5, 17, 10, 5, 4, 0, time.UTC)},
	}
	if len(got) != len(want) || !strings.Contains(errs, file+":2: malformed event") {
		t.Fatalf("%+v, %s", got, errs)
	}
	for i, r := range got {
		if r.Score <= 0 || r.Score >= 1 {
			t.Errorf("score %v", r.Score)
		}
		if r.Score = 0; r != want[i] {
			t.Errorf("%+v, want %+v", r, want[i])
		}
	}
}

// TestScoreAccessLogOfAServer: every line of a real log has the score that the model
// gives it, and the one that is cut off is a reject.
func TestScoreAccessLogOfAServer(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(testenv.Shared(t), "data/elastic/apache_logs"))
	if err != nil {
		t.Fatal(err)
	}
	d, err := predictor.Load(botOrHuman, predictor.Config{Format: "access_log", Entity: "remote_host", Threshold: 0.5})
	if err != nil {
		t.Fatal(err)
	}
	got, file, errs := scoreLog(t, text)
	rejected, n := 0, 0
	for line := range bytes.Lines(text) {
		n++
		scores, err := d.Score(bytes.TrimSuffix(line, []byte("\n")))
		if err != nil {
			rejected++
			if at := fmt.Sprintf("%s:%d: ", file, n); !strings.Contains(errs, at+err.Error()) {
				t.Errorf("%s%v is not in %s", at, err, errs)
			}
			continue
		}
		if len(got) == 0 {
			t.Fatalf("line %d has no prediction", n)
		}
		host, _, _ := bytes.Cut(line, []byte(" "))
		if r := got[0]; r.ID != fmt.Sprintf("%s-0-%d", file, n) || r.Score != scores[0] || r.Entity != string(host) {
			t.Fatalf("%+v, want the score %v for %s", r, scores[0], line)
		}
		got = got[1:]
	}
	if rejected != 1 || n != 10_000 || len(got) != 0 {
		t.Errorf("%d lines, %d rejected, %d predictions too many", n, rejected, len(got))
	}
}
