package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"

	"scry/internal/config"
	"scry/stream"
)

//go:generate go test -run TestGeneratedFiles . -update

// Config is a whole pipeline: scry.yaml.
type Config struct {
	// Name labels metrics and names what other keys leave open: the group is NAME, the dead
	// letter topic NAME.dlq.
	Name          string `yaml:"name" required:"true"`
	stream.Config `yaml:",inline"`
	Model         ModelConfig `yaml:"model"`
	HTTP          HTTPConfig  `yaml:"http"`
	Log           LogConfig   `yaml:"log"`
}

// ModelConfig is which model scores the events.
type ModelConfig struct {
	// URI is where the bundle is: a path.
	URI string `yaml:"uri" required:"true"`
	// Paths override where in an event the bundle's features.yaml finds a feature, by the
	// feature's name: PageValues: page.value.
	Paths map[string]string `yaml:"paths"`
	// Threshold is the score from which the second of two classes is the label.
	Threshold float64 `yaml:"threshold" min:"0" max:"1"`
}

// HTTPConfig is the two addresses that scry listens at.
type HTTPConfig struct {
	// Health serves /livez, /readyz and /metrics: nothing private. The image sets 0.0.0.0:9090.
	Health string `yaml:"health" required:"true"`
	// Admin serves the page, the lookup and administration.
	Admin string `yaml:"admin" required:"true"`
	// Pprof adds /debug/pprof to the admin address.
	Pprof bool `yaml:"pprof"`
}

// LogConfig is what is logged, to standard error.
type LogConfig struct {
	// Level is the least that is logged: debug, info, warn or error.
	Level string `yaml:"level" enum:"debug,info,warn,error"`
	// Format is text or json.
	Format string `yaml:"format" enum:"text,json"`
}

// DefaultConfig returns the values in force where nothing else says.
func DefaultConfig() Config {
	return Config{
		Config: stream.DefaultConfig(),
		Model:  ModelConfig{Threshold: 0.5},
		HTTP:   HTTPConfig{Health: "127.0.0.1:9090", Admin: "127.0.0.1:8080"},
		Log:    LogConfig{Level: "info", Format: "text"},
	}
}

// envPrefix begins the environment variables that set a key: SCRY_KAFKA_BROKERS.
const envPrefix = "SCRY"

// exitConfig is the exit code for a configuration that cannot be used (EX_CONFIG of sysexits.h).
const exitConfig = 78

// A configError is a configuration that cannot be used; the process exits with exitConfig.
type configError struct {
	path string // of the file; empty: there was none
	err  error  // config.Faults, or why the file could not be read
}

// Error gives one line a mistake below a line that counts them.
func (e *configError) Error() string {
	where := e.path
	if where == "" {
		where = "no configuration file was given; give one with -c scry.yaml, or start from examples/scry.yaml; without it"
	}
	var faults config.Faults
	switch n := errors.As(e.err, &faults); {
	case !n:
		return where + ": " + e.err.Error()
	case len(faults) == 1:
		return where + ": 1 mistake\n" + faults.Error()
	default:
		return fmt.Sprintf("%s: %d mistakes\n%s", where, len(faults), faults.Error())
	}
}

func (e *configError) Unwrap() error { return e.err }

// loadConfig reads the file at path, unless it is empty, the environment and the arguments of
// --set over the defaults. An error is a *configError that holds every mistake.
func loadConfig(path string, sets []string) (Config, *config.Provenance, error) {
	c := DefaultConfig()
	p, err := config.Load(config.Source{Path: path, Prefix: envPrefix, Env: os.LookupEnv, Sets: sets}, &c)
	if err != nil {
		return c, nil, &configError{path, err}
	}
	c.fillFromName(p)
	if faults := p.Join(c.Validate()); len(faults) > 0 {
		return c, p, &configError{path, faults}
	}
	return c, p, nil
}

// fillFromName gives the keys that nothing set and whose default is made of the name.
func (c *Config) fillFromName(p *config.Provenance) {
	fill := func(path string, value *string, text string) {
		if p.Origin(path).Source == "default" {
			*value = text
			p.Default(path, "name")
		}
	}
	fill("kafka.group", &c.Kafka.Group, c.Name)
	fill("output.dead_letter_topic", &c.Output.DeadLetterTopic, c.Name+".dlq")
}

// legalPipeline leaves room for .dlq in a topic's 249 characters.
var legalPipeline = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,200}$`)

// Validate returns every fault at once.
func (c Config) Validate() config.Faults {
	var faults config.Faults
	switch {
	case c.Name == "":
		faults.Add("name", "", "is required", "write a name for the pipeline, such as buyer-intent")
	case !legalPipeline.MatchString(c.Name):
		faults.Add("name", c.Name, "not a legal name", "write up to 200 letters, digits, dots, underscores and dashes")
	}
	faults = append(faults, c.Config.Validate()...)
	faults = append(faults, config.Check("model", c.Model)...)
	faults = append(faults, config.Check("http", c.HTTP)...)
	faults = append(faults, config.Check("log", c.Log)...)
	c.HTTP.validate(&faults)
	return faults
}

func (c HTTPConfig) validate(faults *config.Faults) {
	for _, l := range []struct{ path, address string }{{"http.health", c.Health}, {"http.admin", c.Admin}} {
		_, port, err := net.SplitHostPort(l.address)
		if err == nil {
			_, err = strconv.ParseUint(port, 10, 16)
		}
		if err != nil && l.address != "" {
			faults.Add(l.path, l.address, "not an address to listen at", "write host:port, such as 127.0.0.1:9090")
		}
	}
	if c.Health == c.Admin && c.Health != "" && !strings.HasSuffix(c.Health, ":0") {
		faults.Add("http.admin", c.Admin, "is http.health's address too", "write another port")
	}
}

// printConfig writes what is in force, with where each value came from and secrets masked.
func printConfig(w io.Writer, c Config, p *config.Provenance) error {
	return p.Print(w, c)
}
