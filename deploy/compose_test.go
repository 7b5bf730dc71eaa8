package deploy

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v4"
)

// loadProject reads docker-compose.yml as Docker Compose does: against the
// specification's schema, with anchors, merges and interpolation resolved.
func loadProject(t *testing.T) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{"../docker-compose.yml"}, cli.WithWorkingDirectory(".."))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return project
}

func TestComposeIsWhole(t *testing.T) {
	project := loadProject(t)
	names := project.ServiceNames()
	if want := []string{"grafana", "kafka", "prometheus", "redis", "scry", "topics", "traffic"}; !slices.Equal(names, want) {
		t.Errorf("services %v, want %v", names, want)
	}
	for name, s := range project.Services {
		if s.Build == nil && !regexp.MustCompile(`:v?\d+\.\d+`).MatchString(s.Image) {
			t.Errorf("%s: image %q has no version", name, s.Image)
		}
		if s.Restart != "unless-stopped" && name != "topics" {
			t.Errorf("%s: restart is %q", name, s.Restart)
		}
		// scry's check is in its image; traffic answers nothing, and topics ends.
		if s.HealthCheck == nil && !slices.Contains([]string{"scry", "traffic", "topics"}, name) {
			t.Errorf("%s has no health check", name)
		}
		for _, p := range s.Ports {
			if p.HostIP != "127.0.0.1" {
				t.Errorf("%s: port %s is open to others: %q", name, p.Published, p.HostIP)
			}
		}
		for _, v := range s.Volumes {
			switch v.Type {
			case types.VolumeTypeBind:
				if _, err := os.Stat(v.Source); err != nil {
					t.Errorf("%s mounts what is not there: %v", name, err)
				}
				if !v.ReadOnly {
					t.Errorf("%s can write to %s", name, v.Source)
				}
			case types.VolumeTypeVolume:
				if _, ok := project.Volumes[v.Source]; !ok {
					t.Errorf("%s mounts volume %s, which is not declared", name, v.Source)
				}
			}
		}
		for on, d := range s.DependsOn {
			other := project.Services[on]
			if d.Condition == types.ServiceConditionHealthy && other.HealthCheck == nil {
				t.Errorf("%s waits for the health of %s, which has no check", name, on)
			}
		}
		if b := s.Build; b != nil {
			checkBuild(t, name, b, s)
		}
	}
}

func checkBuild(t *testing.T, name string, b *types.BuildConfig, s types.ServiceConfig) {
	t.Helper()
	text := read(t, filepath.Join(b.Context, b.Dockerfile))
	if !strings.Contains(text, " AS "+b.Target+"\n") {
		t.Errorf("%s: %s has no stage %q", name, b.Dockerfile, b.Target)
	}
	if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Equal(s.SecurityOpt, []string{"no-new-privileges:true"}) {
		t.Errorf("%s could do without a writable disk, capabilities and new privileges", name)
	}
}

// The topics that the pipeline and the shop name are the ones that are created.
func TestComposeCreatesThePipelinesTopics(t *testing.T) {
	project := loadProject(t)
	var pipeline struct {
		Name   string
		Kafka  struct{ Brokers []string }
		Input  struct{ Topics []string }
		Model  struct{ URI string }
		Output struct{ Topic string }
	}
	if err := yaml.Unmarshal([]byte(read(t, "compose/scry.yaml")), &pipeline); err != nil {
		t.Fatal(err)
	}
	created := strings.Join(project.Services["topics"].Command, " ")
	for _, topic := range append(pipeline.Input.Topics, pipeline.Output.Topic, pipeline.Name+".dlq") {
		if !strings.Contains(created, "create "+topic+" ") {
			t.Errorf("topic %s is not created", topic)
		}
	}
	traffic := project.Services["traffic"].Command
	if !slices.Contains(traffic, pipeline.Input.Topics[0]) || !slices.Contains(traffic, pipeline.Kafka.Brokers[0]) {
		t.Errorf("traffic %v does not go to what the pipeline reads: %v at %v", traffic, pipeline.Input.Topics, pipeline.Kafka.Brokers)
	}
	bundle := slices.ContainsFunc(project.Services["scry"].Volumes, func(v types.ServiceVolumeConfig) bool {
		_, err := os.Stat(filepath.Join(v.Source, "features.yaml"))
		return v.Target == pipeline.Model.URI && err == nil
	})
	if !bundle {
		t.Errorf("no bundle is mounted at %s", pipeline.Model.URI)
	}
	if !strings.Contains(*project.Services["kafka"].Environment["KAFKA_ADVERTISED_LISTENERS"], "://"+pipeline.Kafka.Brokers[0]) {
		t.Errorf("the broker does not advertise %s", pipeline.Kafka.Brokers[0])
	}
	if !strings.Contains(read(t, "prometheus/prometheus.yml"), "names: [scry]") {
		t.Error("prometheus.yml does not scrape the service scry")
	}
}

// What there is to the image without a Docker to build it: nothing it copies is absent,
// the last stage is scry's own, and that runs as nobody, with a probe.
func TestDockerfile(t *testing.T) {
	text := read(t, "Dockerfile")
	for _, m := range regexp.MustCompile(`(?m)^COPY ([^-].*) \S+$`).FindAllStringSubmatch(text, -1) {
		for _, source := range strings.Fields(m[1]) {
			if _, err := os.Stat(filepath.Join("..", source)); err != nil {
				t.Errorf("COPY %s: %v", source, err)
			}
		}
	}
	for _, m := range regexp.MustCompile(` (\./\S+/\S+)`).FindAllStringSubmatch(regexp.MustCompile(`(?m)^RUN go build.*$`).FindString(text), -1) {
		if _, err := os.Stat(filepath.Join("..", m[1])); err != nil {
			t.Errorf("go build %s: %v", m[1], err)
		}
	}
	if !strings.Contains(read(t, "../go.mod"), "\ngo "+regexp.MustCompile(`golang:(\S+)`).FindStringSubmatch(text)[1]+".") {
		t.Error("the image is built with another Go than go.mod's")
	}
	last := text[strings.LastIndex(text, "\nFROM ")+1:]
	for _, line := range []string{" AS scry\n", "\nUSER nonroot:nonroot\n", "\nENV SCRY_HTTP_HEALTH=0.0.0.0:9090\n", "\nHEALTHCHECK ", `"/scry", "health", "http://127.0.0.1:9090/livez"`} {
		if !strings.Contains(last, line) {
			t.Errorf("the last stage lacks %q", line)
		}
	}
}
