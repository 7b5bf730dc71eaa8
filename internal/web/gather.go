package web

import (
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// gathered holds the metrics of one scrape by name: the page shows what Prometheus sees.
type gathered map[string]*dto.MetricFamily

// gather leaves out what fails: a page with gaps tells more than none.
func gather(from prometheus.Gatherer) gathered {
	families, _ := from.Gather()
	g := make(gathered, len(families))
	for _, f := range families {
		g[f.GetName()] = f
	}
	return g
}

// value returns a metric without labels, 0 when there is none.
func (g gathered) value(name string) float64 {
	for _, m := range g[name].GetMetric() {
		return number(m)
	}
	return 0
}

func (g gathered) count(name string) uint64 { return uint64(g.value(name)) }

// counts returns a metric with one label, by the label's value; never nil.
func (g gathered) counts(name string) map[string]uint64 {
	all := make(map[string]uint64)
	for _, m := range g[name].GetMetric() {
		for _, l := range m.GetLabel() {
			all[l.GetValue()] = uint64(number(m))
		}
	}
	return all
}

func number(m *dto.Metric) float64 {
	if c := m.GetCounter(); c != nil {
		return c.GetValue()
	}
	return m.GetGauge().GetValue()
}
