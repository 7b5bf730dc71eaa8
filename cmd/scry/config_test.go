package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	"scry/internal/config"
)

const (
	examplePath = "../../examples/scry.yaml"
	least       = "name: x\ninput: {topics: [a]}\noutput: {topic: b}\nmodel: {uri: m}\n"
)

func writeConfig(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "scry.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// unsetEnv keeps the variables of whoever runs the tests out of them.
func unsetEnv(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		t.Setenv(name, "") // restores it afterwards
		os.Unsetenv(name)
	}
}

func TestFiveMistakes(t *testing.T) {
	// docs/config.md shows what this prints.
	path := writeConfig(t, `name: buyer intent

kafka:
  sesion_timeout: 20s
  brokers: [localhost]
input:
  topics: [web.events]
output:
  topic: web.events
cache:
  ttl: 24
model: {uri: m}
`)
	_, _, err := loadConfig(path, nil)
	var invalid *configError
	if !errors.As(err, &invalid) {
		t.Fatalf("got %v, want a configError", err)
	}
	want := `scry.yaml: 5 mistakes
line 1: name: "buyer intent": not a legal name; write up to 200 letters, digits, dots, underscores and dashes
line 4: kafka.sesion_timeout: unknown key; did you mean kafka.session_timeout?
line 5: kafka.brokers[0]: "localhost": has no port; write host:port, such as kafka-1:9092
line 9: output.topic: "web.events": is an input topic: predictions would be read back as events; write another topic
line 11: cache.ttl: "24": not a duration; write its unit: 24s, 24ms or 24h`
	if got := strings.TrimPrefix(err.Error(), filepath.Dir(path)+"/"); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	if doc, err := os.ReadFile("../../docs/config.md"); err != nil || !strings.Contains(string(doc), want) {
		t.Errorf("docs/config.md does not show these mistakes (%v)", err)
	}
}

func TestConfigErrorsOfOtherKinds(t *testing.T) {
	for text, want := range map[string]string{
		"":                        "/scry.yaml: the file is empty; start from examples/scry.yaml",
		least + "log: {level: x}": "/scry.yaml: 1 mistake\nline 5: log.level: \"x\": not a value this key knows; write debug, info, warn or error",
		"name: x\n":               "/scry.yaml: 3 mistakes\ninput.topics: is required; write a list\noutput.topic: is required; write a text\nmodel.uri: is required; write a text",
		"kafka: {group: ''}\n" + least[len("name: x\n"):]: "/scry.yaml: 2 mistakes\nline 1: kafka.group: is required; write a text\nname: is required; write a name for the pipeline, such as buyer-intent",
		least + "http: {health: '9090', admin: ':9'}":     "/scry.yaml: 1 mistake\nline 5: http.health: \"9090\": not an address to listen at; write host:port, such as 127.0.0.1:9090",
		least + "http: {health: ':9', admin: ':9'}":       "/scry.yaml: 1 mistake\nline 5: http.admin: \":9\": is http.health's address too; write another port",
	} {
		if _, _, err := loadConfig(writeConfig(t, text), nil); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%q:\n%v\nwant\n%s", text, err, want)
		}
	}
	if _, _, err := loadConfig("", []string{"name=x"}); err == nil || !strings.HasPrefix(err.Error(), "no configuration file was given; give one with -c scry.yaml, or start from examples/scry.yaml; without it: 3 mistakes\n") {
		t.Errorf("without a file: %v", err)
	}
}

func TestPrintConfig(t *testing.T) {
	t.Setenv("SCRY_KAFKA_SASL_PASSWORD", "hunter2")
	t.Setenv("SCRY_LOG_LEVEL", "debug")
	t.Setenv("REDIS", "redis://u:hunter2@cache:6379/0")
	path := writeConfig(t, least+"cache:\n  url: ${REDIS}\nkafka: {sasl: {mechanism: PLAIN, user: me}}\n")
	c, p, err := loadConfig(path, []string{"log.level=warn", "kafka.brokers=a:1,b:2"})
	if err != nil {
		t.Fatal(err)
	}
	if c.Kafka.SASL.Password.Reveal() != "hunter2" || c.Log.Level != "warn" || c.Kafka.Group != "x" || c.Output.DeadLetterTopic != "x.dlq" {
		t.Errorf("read %#v", c)
	}
	var b strings.Builder
	if err := printConfig(&b, c, p); err != nil {
		t.Fatal(err)
	}
	printed := b.String()
	for _, want := range []string{
		"name: x # scry.yaml:1\n",
		"brokers: [a:1, b:2] # flag --set\n",
		"group: x # default (name)\n",
		"session_timeout: 10s # default\n",
		`password: "****" # env SCRY_KAFKA_SASL_PASSWORD` + "\n",
		`url: "redis://u:****@cache:6379/0" # scry.yaml:6, $REDIS` + "\n",
		"level: warn # flag --set\n",
	} {
		if !strings.Contains(strings.Join(strings.Fields(printed), " ")+"\n", strings.TrimSpace(want)) {
			t.Errorf("%q is not in\n%s", want, printed)
		}
	}
	if strings.Contains(printed, "hunter2") {
		t.Errorf("a secret shows:\n%s", printed)
	}
	unsetEnv(t, "SCRY_KAFKA_SASL_PASSWORD", "SCRY_LOG_LEVEL")
	_, _, err = loadConfig(writeConfig(t, printed), nil)
	if err == nil || !strings.Contains(err.Error(), ": 2 mistakes") {
		t.Errorf("read back with the masks: %v", err)
	}
	again, _, err := loadConfig(writeConfig(t, printed), []string{"kafka.sasl.password=hunter2", "cache.url=redis://u:hunter2@cache:6379/0"})
	if err != nil {
		t.Fatal(err)
	}
	want := config.Keys(c)
	for i, k := range config.Keys(again) {
		if !k.Section && k.Text() != want[i].Text() {
			t.Errorf("%s reads back as %s, want %s", k.Path, k.Text(), want[i].Text())
		}
	}
}

// The example holds every key, at its default but for those that a pipeline must choose.
func TestExample(t *testing.T) {
	unsetEnv(t, "KAFKA_BROKERS", "KAFKA_PASSWORD", "REDIS_URL")
	c, p, err := loadConfig(examplePath, nil)
	if err != nil {
		t.Fatal(err)
	}
	chosen := map[string]bool{
		"name": true, "input.topics": true, "output.topic": true, "model.uri": true, "cache.url": true,
		"input.entity": true, "input.event_time.path": true, "kafka.group": true, "output.dead_letter_topic": true,
	}
	defaults := config.Keys(DefaultConfig())
	for i, k := range config.Keys(c) {
		if k.Section {
			continue
		}
		if p.Origin(k.Path).Source == "default" {
			t.Errorf("%s lacks %s", examplePath, k.Path)
		}
		if want := defaults[i].Text(); !chosen[k.Path] && k.Text() != want {
			t.Errorf("%s gives %s as %s, the default is %s", examplePath, k.Path, k.Text(), want)
		}
	}
}

func TestSchema(t *testing.T) {
	schema, err := jsonschema.NewCompiler().Compile("../../docs/schemas/config.json")
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile(examplePath)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		text  string
		valid bool
	}{
		{string(example), true},
		{least, true},
		{"kafka:\n", true},
		{"cache: {ttl: 0}", true},
		{"cache: {ttl: 1h30m}", true},
		{"cache: {ttl: '${TTL}'}", true},
		{"delivery: {max_in_flight: 1048576}", true},
		{"delivery: {max_in_flight: 64 Mi}", true},
		{"kafka: {brokers: 'a:1,b:2', tls: {enabled: '${TLS:-false}'}}", true},
		{"model: {paths: {a: b}, threshold: 1}", true},
		{"cache: {ttl: 24}", false},
		{"cache: {tll: 24h}", false},
		{"delivery: {max_in_flight: 64 pages}", false},
		{"kafka: {protocol: raft}", false},
		{"kafka: {tls: {enabled: maybe}}", false},
		{"model: {threshold: 1.5}", false},
		{"model: {paths: {a: [b]}}", false},
		{"names: x", false},
	} {
		var doc any
		if err := yaml.Unmarshal([]byte(tc.text), &doc); err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(doc); (err == nil) != tc.valid {
			t.Errorf("%.60q: valid %v, want %v: %v", tc.text, err == nil, tc.valid, err)
		}
	}
}
