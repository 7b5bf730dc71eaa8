package deploy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"scry/internal/testenv"
)

// A prometheus is a real one, for which a second is a minute of alerts.yml.
type prometheus struct {
	t   *testing.T
	url string
}

// startPrometheus scrapes the targets as the job scry, twice a second.
func startPrometheus(t *testing.T, targets ...string) *prometheus {
	t.Helper()
	binary := tool(t, "prometheus")
	dir := t.TempDir()
	write(t, filepath.Join(dir, "alerts.yml"), hasten(t, read(t, "prometheus/alerts.yml")))
	write(t, filepath.Join(dir, "prometheus.yml"), fmt.Sprintf(`
global: {scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms}
rule_files: [alerts.yml]
scrape_configs:
  - job_name: scry
    static_configs: [{targets: ["%s"]}]
`, strings.Join(targets, `", "`)))
	address := fmt.Sprintf("127.0.0.1:%d", testenv.FreePort(t))
	start(t, nil, binary, "--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+address, "--log.level=warn")
	p := &prometheus{t, "http://" + address}
	until(t, "Prometheus is ready", func() bool {
		answer, err := http.Get(p.url + "/-/ready")
		if err != nil {
			return false
		}
		answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
	return p
}

// hasten makes seconds of minutes and half a minute of an hour, in ranges and in what an
// alert waits for; and of the two minutes without success two seconds.
func hasten(t *testing.T, rules string) string {
	t.Helper()
	rules = regexp.MustCompile(`(\[|offset )1h`).ReplaceAllString(rules, "${1}30s")
	rules = regexp.MustCompile(`(\[|offset |for: )(\d+)m`).ReplaceAllString(rules, "${1}${2}s")
	const success = "(scry_last_success_timestamp_seconds) > "
	if !strings.Contains(rules, success+"120") {
		t.Fatal("ScryNoSuccess is not as this test knows it")
	}
	return strings.ReplaceAll(rules, success+"120", success+"2")
}

// get decodes what the API answers.
func (p *prometheus) get(path string, data any) error {
	answer, err := http.Get(p.url + path)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	reply := struct {
		Status, Error string
		Data          any
	}{Data: data}
	if err := json.NewDecoder(answer.Body).Decode(&reply); err != nil {
		return err
	}
	if reply.Status != "success" {
		return fmt.Errorf("%s: %s", reply.Status, reply.Error)
	}
	return nil
}

// series is how many series a query gives just now.
func (p *prometheus) series(query string) (int, error) {
	var found struct{ Result []any }
	err := p.get("/api/v1/query?query="+url.QueryEscape(query), &found)
	return len(found.Result), err
}

// firing returns the alerts that fire, by name and by what they say it is about:
// ScrySlow, ScryDependencyDown redis, ScryHeld 127.0.0.1:9090.
func (p *prometheus) firing() []string {
	p.t.Helper()
	var found struct {
		Alerts []struct {
			State  string
			Labels map[string]string
		}
	}
	if err := p.get("/api/v1/alerts", &found); err != nil {
		p.t.Fatal(err)
	}
	var names []string
	for _, a := range found.Alerts {
		if a.State == "firing" {
			name := a.Labels["alertname"]
			for _, l := range []string{"dependency", "instance"} {
				if a.Labels[l] != "" {
					name += " " + a.Labels[l]
				}
			}
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (p *prometheus) fires(alerts ...string) {
	p.t.Helper()
	for _, a := range alerts {
		until(p.t, a+" fires", func() bool { return slices.Contains(p.firing(), a) })
	}
}

func (p *prometheus) clears(alerts ...string) {
	p.t.Helper()
	for _, a := range alerts {
		until(p.t, a+" clears", func() bool { return !slices.Contains(p.firing(), a) })
	}
}

// A process is a program that ends with the test.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	log   *bytes.Buffer
	ended chan error
}

func start(t *testing.T, env []string, name string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(name, args...), log: &bytes.Buffer{}, ended: make(chan error, 1)}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.ended <- p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may have ended
		<-p.ended
		if t.Failed() {
			t.Logf("%s:\n%s", filepath.Base(name), p.log)
		}
	})
	return p
}

// stop asks the process to end, which it must do well.
func (p *process) stop() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	if err := <-p.ended; err != nil {
		p.t.Errorf("%s: %v", p.cmd, err)
	}
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(90 * time.Second); !ok(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 90 s: %s", what)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
