// Package deploy holds what runs scry in Compose and watches it in Prometheus and
// Grafana. Its tests hold those files against the code, the docs and the real tools.
package deploy

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

const runbook = "docs/operations.md"

// A ruleFile is the part of prometheus/alerts.yml that the tests look at.
type ruleFile struct {
	Groups []struct {
		Name  string `yaml:"name"`
		Rules []rule `yaml:"rules"`
	} `yaml:"groups"`
}

type rule struct {
	Record      string            `yaml:"record"`
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

func readRules(t *testing.T) []rule {
	t.Helper()
	var f ruleFile
	if err := yaml.Unmarshal([]byte(read(t, "prometheus/alerts.yml")), &f); err != nil {
		t.Fatal(err)
	}
	var rules []rule
	for _, g := range f.Groups {
		rules = append(rules, g.Rules...)
	}
	if len(rules) == 0 {
		t.Fatal("prometheus/alerts.yml has no rules")
	}
	return rules
}

// Whoever is called finds a section on each alert, of its own.
func TestEveryAlertHasARunbook(t *testing.T) {
	sections := anchors(read(t, "../"+runbook))
	tested := read(t, "prometheus/alerts_test.yml")
	alerts := make(map[string]bool)
	for _, r := range readRules(t) {
		if r.Alert == "" {
			continue
		}
		alerts[r.Alert] = true
		for _, key := range []string{"summary", "description"} {
			if r.Annotations[key] == "" {
				t.Errorf("%s has no %s", r.Alert, key)
			}
		}
		if s := r.Labels["severity"]; s != "critical" && s != "warning" {
			t.Errorf("%s has severity %q, not critical or warning", r.Alert, s)
		}
		anchor := strings.ToLower(r.Alert)
		if want := runbook + "#" + anchor; r.Annotations["runbook_url"] != want {
			t.Errorf("%s: runbook_url is %q, want %q", r.Alert, r.Annotations["runbook_url"], want)
		}
		if !sections[anchor] {
			t.Errorf("%s has no section in %s", r.Alert, runbook)
		}
		if !strings.Contains(tested, "alertname: "+r.Alert+"\n") || !strings.Contains(tested, "{alertname: "+r.Alert+", ") {
			t.Errorf("%s is not seen to fire and to be silent in alerts_test.yml", r.Alert)
		}
	}
	for anchor := range sections {
		if strings.HasPrefix(anchor, "scry") && !containsFold(alerts, anchor) {
			t.Errorf("%s has a section %s, which is no alert", runbook, anchor)
		}
	}
}

func containsFold(names map[string]bool, name string) bool {
	for n := range names {
		if strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}

func TestRulesUseMetricsThatExist(t *testing.T) {
	table := metricsTable(t)
	for _, r := range readRules(t) {
		checkMetrics(t, table, r.Alert+r.Record, r.Expr)
	}
}

// promtool parses configuration and rules, and runs the rules' own tests.
func TestPromtool(t *testing.T) {
	promtool := tool(t, "promtool")
	for _, args := range [][]string{
		{"check", "config", "prometheus/prometheus.yml"},
		{"check", "rules", "prometheus/alerts.yml"},
		{"test", "rules", "prometheus/alerts_test.yml"},
	} {
		if out, err := exec.Command(promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// checkMetrics reports the metrics of scry in a query that the table does not list, and
// queries without any metric that is known.
func checkMetrics(t *testing.T, table map[string]string, where, query string) {
	t.Helper()
	known := strings.Contains(query, "up{")
	for _, word := range metricName.FindAllString(query, -1) {
		name := word
		if strings.Contains(word, ":") {
			name = strings.Split(word, ":")[1] // a recording rule: level:metric:operations
		}
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			if bare, cut := strings.CutSuffix(name, suffix); cut && table[bare] == "histogram" {
				name = bare
			}
		}
		switch {
		case table[name] != "", strings.HasPrefix(name, "process_"), strings.HasPrefix(name, "go_"):
			known = true
		default:
			t.Errorf("%s uses %s, which %s does not list", where, word, runbook)
		}
	}
	if !known {
		t.Errorf("%s uses no metric: %s", where, query)
	}
}

var metricName = regexp.MustCompile(`\b(?:[a-z_]+:)?(?:scry|process|go)_[a-z_]+(?::[a-z_]+)?`)

// metricsTable reads the types of the metrics that the runbook's page lists.
func metricsTable(t *testing.T) map[string]string {
	t.Helper()
	row := regexp.MustCompile("(?m)^\\| `(scry_[a-z_]+)` \\| ([a-z]+) \\|")
	table := make(map[string]string)
	for _, m := range row.FindAllStringSubmatch(read(t, "../"+runbook), -1) {
		table[m[1]] = m[2]
	}
	if len(table) < 20 {
		t.Fatalf("%s lists %d metrics; has its table another form?", runbook, len(table))
	}
	return table
}

// anchors returns what links can point to on a page, as GitHub makes it of headings.
func anchors(page string) map[string]bool {
	found := make(map[string]bool)
	for line := range strings.Lines(page) {
		if text := strings.TrimLeft(line, "#"); text != line && strings.HasPrefix(text, " ") {
			slug := regexp.MustCompile(`[^a-z0-9 _-]`).ReplaceAllString(strings.ToLower(strings.TrimSpace(text)), "")
			found[strings.ReplaceAll(slug, " ", "-")] = true
		}
	}
	return found
}

func TestLinksWithinTheRunbookLead(t *testing.T) {
	page := read(t, "../"+runbook)
	sections := anchors(page)
	for _, m := range regexp.MustCompile(`\]\(#([^)]*)\)`).FindAllStringSubmatch(page, -1) {
		if !sections[m[1]] {
			t.Errorf("%s links to #%s, which is not there", runbook, m[1])
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// tool returns a program's path. Without it the test skips, or fails where nothing may
// skip for want of a service.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("SCRY_REQUIRE_SERVICES") == "1" {
		t.Fatalf("%v; install Debian's package prometheus (SCRY_REQUIRE_SERVICES=1)", err)
	}
	t.Skipf("%v; install Debian's package prometheus", err)
	return ""
}
