package botorhuman

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"scry/internal/testenv"
	"scry/predictor"
	"scry/predictor/feature"
)

// TestBundle: the bundle reads access logs, reproduces its golden rows and does not look
// at the user agent.
func TestBundle(t *testing.T) {
	d, err := predictor.Load("bundle", predictor.Config{Format: "access_log", Entity: "remote_host"})
	if err != nil {
		t.Fatal(err)
	}
	if d.Name != "bot-or-human" || !slices.Equal(d.Labels, []string{"human", "bot"}) || d.Golden.Rows != 100 {
		t.Errorf("%s, labels %q, %d golden rows", d.Name, d.Labels, d.Golden.Rows)
	}
	for _, f := range d.Features {
		if f.Path == "user_agent" || f.Path == "user_agent_length" {
			t.Errorf("feature %s sees the user agent", f.Name)
		}
	}
	info, err := os.Stat("bundle/model.ubj")
	if err != nil || info.Size() > 100_000 {
		t.Errorf("model.ubj: %v, %v", info, err)
	}
}

// TestRealLines: a crawler that fetches a feed and a person whose browser fetches a page's
// picture are told apart, and every known category occurs in a real log.
func TestRealLines(t *testing.T) {
	d, err := predictor.Load("bundle", predictor.Config{Format: "access_log"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		line string
		bot  bool
	}{
		{`66.249.73.135 - - [17/May/2015:10:05:40 +0000] "GET /blog/tags/firefox?flav=rss20 HTTP/1.1" 200 16021 "-" "-"`, true},
		{`83.149.9.216 - - [17/May/2015:10:05:03 +0000] "GET /images/jordan-80.png HTTP/1.1" 200 6146 "http://semicomplete.com/blog/" "-"`, false},
	} {
		if p, err := d.Score([]byte(c.line)); err != nil || p[0] > 0.5 != c.bot {
			t.Errorf("%v, %v: %s", p, err, c.line)
		}
	}
	text, err := os.ReadFile(filepath.Join(testenv.Shared(t), "data", "elastic", "apache_logs"))
	if err != nil {
		t.Fatal(err)
	}
	s, row, malformed := feature.NewScratch(len(d.Features)), make([]float64, len(d.Features)), 0
	used := make([]map[float64]bool, len(d.Features))
	for line := range bytes.Lines(text) {
		if _, err := d.Extractor.Extract(line, row, s); errors.Is(err, feature.ErrMalformed) {
			malformed++
			continue
		}
		for i, x := range row {
			if used[i] == nil {
				used[i] = map[float64]bool{}
			}
			if x == x {
				used[i][x] = true
			}
		}
	}
	for i, f := range d.Features {
		if len(used[i]) < 2 || len(f.Categories) > 0 && len(used[i]) < len(f.Categories) {
			t.Errorf("%s: %d values occur, of categories %q", f.Name, len(used[i]), f.Categories)
		}
	}
	if malformed != 1 {
		t.Errorf("%d malformed lines", malformed)
	}
}
