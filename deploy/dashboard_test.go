package deploy

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// A dashboard is the part of grafana/dashboard.json that the tests look at.
type dashboard struct {
	UID        string
	Templating struct {
		List []struct {
			Name, Type, Definition string
		}
	}
	Annotations struct {
		List []struct{ Expr string }
	}
	Panels []panel
}

type panel struct {
	ID          int
	Type, Title string
	GridPos     struct{ X, Y, W, H int }
	Datasource  struct{ UID string }
	Targets     []struct{ Expr string }
}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	var d dashboard
	if err := json.Unmarshal([]byte(read(t, "grafana/dashboard.json")), &d); err != nil {
		t.Fatal(err)
	}
	if len(d.Panels) == 0 {
		t.Fatal("grafana/dashboard.json has no panels")
	}
	return d
}

func TestDashboardUsesMetricsThatExist(t *testing.T) {
	table := metricsTable(t)
	d := readDashboard(t)
	shown := make(map[string]bool)
	for _, p := range d.Panels {
		if (p.Type == "row") != (len(p.Targets) == 0) {
			t.Errorf("panel %q of type %s has %d queries", p.Title, p.Type, len(p.Targets))
		}
		for _, q := range p.Targets {
			checkMetrics(t, table, "panel "+p.Title, q.Expr)
			if !strings.Contains(q.Expr, `{job=~"$job", instance=~"$instance"`) || p.Datasource.UID != "${datasource}" {
				t.Errorf("panel %q ignores the choice of source, pipeline and process: %s", p.Title, q.Expr)
			}
			for name := range table {
				if strings.Contains(q.Expr, name) {
					shown[name] = true
				}
			}
		}
	}
	for name := range table {
		if !shown[name] {
			t.Errorf("the dashboard does not show %s", name)
		}
	}
	for _, v := range d.Templating.List {
		if v.Type == "query" && !strings.Contains(v.Definition, "up{") {
			checkMetrics(t, table, "variable "+v.Name, v.Definition)
		}
	}
}

// Panels have ids of their own, lie within the 24 columns, and not on each other.
func TestDashboardIsLaidOut(t *testing.T) {
	ids := make(map[int]string)
	taken := make(map[string]string)
	for _, p := range readDashboard(t).Panels {
		if other, twice := ids[p.ID]; twice {
			t.Errorf("panels %q and %q have the id %d", other, p.Title, p.ID)
		}
		ids[p.ID] = p.Title
		g := p.GridPos
		if g.W < 1 || g.H < 1 || g.X+g.W > 24 {
			t.Errorf("panel %q lies at %+v", p.Title, g)
		}
		for x := g.X; x < g.X+g.W; x++ {
			for y := g.Y; y < g.Y+g.H; y++ {
				at := fmt.Sprint(x, ",", y)
				if other, on := taken[at]; on {
					t.Fatalf("panels %q and %q lie on each other", other, p.Title)
				}
				taken[at] = p.Title
			}
		}
	}
}

// What Grafana is told to load is what Compose mounts, and asks who answers.
func TestGrafanaIsProvisioned(t *testing.T) {
	var sources struct {
		Datasources []struct{ Type, URL string }
	}
	var folders struct {
		Providers []struct {
			Type    string
			Options struct{ Path string }
		}
	}
	unmarshal := func(path string, to any) {
		if err := yaml.Unmarshal([]byte(read(t, path)), to); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
	unmarshal("grafana/provisioning/datasources/prometheus.yaml", &sources)
	unmarshal("grafana/provisioning/dashboards/scry.yaml", &folders)
	if len(sources.Datasources) != 1 || sources.Datasources[0].Type != "prometheus" || sources.Datasources[0].URL != "http://prometheus:9090" {
		t.Errorf("data sources: %+v", sources.Datasources)
	}
	grafana := loadProject(t).Services["grafana"]
	home := *grafana.Environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
	if len(folders.Providers) != 1 || !strings.HasPrefix(home, folders.Providers[0].Options.Path+"/") {
		t.Fatalf("dashboards are looked for in %+v, the home is %s", folders.Providers, home)
	}
	var targets []string
	for _, v := range grafana.Volumes {
		targets = append(targets, v.Target)
		if v.Target == home {
			if _, err := os.Stat(v.Source); err != nil {
				t.Error(err)
			}
		}
	}
	for _, want := range []string{home, "/etc/grafana/provisioning"} {
		if !slices.Contains(targets, want) {
			t.Errorf("%s is not mounted: %v", want, targets)
		}
	}
}
