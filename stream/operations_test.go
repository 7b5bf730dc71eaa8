package stream

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"scry/checkpoint"
)

// The metrics table of docs/operations.md and the code name the same metrics, with the
// same types and labels.
func TestTheMetricsTableIsTrue(t *testing.T) {
	documented := metricsTable(t)
	kept := keptMetrics(t)
	for name, m := range kept {
		switch d, ok := documented[name]; {
		case !ok:
			t.Errorf("%s (%s) is not in docs/operations.md", name, m)
		case d != m:
			t.Errorf("%s: docs/operations.md says %s, the code %s", name, d, m)
		}
	}
	for name := range documented {
		if _, ok := kept[name]; !ok {
			t.Errorf("docs/operations.md lists %s, which no consumer has", name)
		}
	}
}

// A metricShape is what a query depends on.
type metricShape struct{ kind, labels string }

func (m metricShape) String() string { return m.kind + " by " + m.labels }

// metricsTable reads the lines | `scry_name` | type | labels | … | of the page.
func metricsTable(t *testing.T) map[string]metricShape {
	t.Helper()
	page, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	table := make(map[string]metricShape)
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(line, "|")
		if len(cells) < 6 || !strings.HasPrefix(strings.TrimSpace(cells[1]), "`scry_") {
			continue
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(strings.ReplaceAll(cells[i], "`", ""))
		}
		if _, twice := table[cells[1]]; twice {
			t.Errorf("docs/operations.md lists %s twice", cells[1])
		}
		table[cells[1]] = metricShape{cells[2], cells[3]}
		if cells[4] == "" {
			t.Errorf("docs/operations.md does not say what %s means", cells[1])
		}
	}
	return table
}

// A recorder notes what is described to the registry it stands before.
type recorder struct {
	*prometheus.Registry
	described map[string]bool
}

var fqName = regexp.MustCompile(`fqName: "([^"]*)"`)

func (r *recorder) Register(c prometheus.Collector) error {
	descs := make(chan *prometheus.Desc, 100)
	c.Describe(descs)
	close(descs)
	for d := range descs {
		r.described[fqName.FindStringSubmatch(d.String())[1]] = true
	}
	return r.Registry.Register(c)
}

func (r *recorder) MustRegister(cs ...prometheus.Collector) {
	for _, c := range cs {
		if err := r.Register(c); err != nil {
			panic(err)
		}
	}
}

// keptMetrics gathers every metric of a consumer that has a partition, a projector with one,
// a certificate, and has retried.
func keptMetrics(t *testing.T) map[string]metricShape {
	t.Helper()
	r := &recorder{prometheus.NewRegistry(), map[string]bool{}}
	cfg := DefaultConfig()
	cfg.Kafka.TLS = newAuthority(t, time.Now().Add(time.Hour)).writeClient(t.TempDir())
	cfg.Cache.URL, cfg.Cache.From = "redis://x", "output"
	c, err := New(cfg, doubler(), Env{Registerer: r})
	if err != nil {
		t.Fatal(err)
	}
	p := checkpoint.Partition{Topic: "in", ID: 0}
	c.sources.add(newSource(p))
	c.tracker.Assign(p, checkpoint.Position{}, false)
	c.metrics.retried("kafka")
	p.Topic = "out"
	c.projector.sources.add(newSource(p))
	c.projector.tracker.Assign(p, checkpoint.Position{}, false)

	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	kept := make(map[string]metricShape)
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "scry_") {
			t.Errorf("%s does not begin with scry_", f.GetName())
		}
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		slices.Sort(labels)
		kept[f.GetName()] = metricShape{strings.ToLower(f.GetType().String()), strings.Join(labels, ", ")}
	}
	for name := range r.described {
		if _, ok := kept[name]; !ok {
			t.Errorf("%s is registered and has no series here: make it have one in this test", name)
		}
	}
	return kept
}
