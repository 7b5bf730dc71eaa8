package stream

import (
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"scry/internal/config"
	"scry/predictor/feature"
)

// Validate returns every fault of the configuration at once, none when it is sound. It looks
// at nothing but the values: no file, no broker.
func (c Config) Validate() config.Faults {
	faults := config.Check("", c)
	c.Kafka.validate(&faults)
	c.Input.validate(&faults)
	c.Output.validate(&faults, c.Input.Topics)
	c.Cache.validate(&faults)
	if group := projectorGroup(c); c.Cache.projected() && len(group) > maxName {
		faults.Add("kafka.group", c.Kafka.Group, "leaves no room for the name of the projector's group, "+group, "write a shorter name")
	}
	return faults
}

func (k KafkaConfig) validate(faults *config.Faults) {
	for i, broker := range k.Brokers {
		if problem := addressProblem(broker); problem != "" {
			faults.Add(element("kafka.brokers", i), broker, problem, "write host:port, such as kafka-1:9092")
		}
	}
	if k.Instance != "" && !legalName.MatchString(k.Instance) {
		faults.Add("kafka.instance", k.Instance, "not a legal instance name", nameMend)
	}
	if len(k.Group) > maxName {
		faults.Add("kafka.group", k.Group, "longer than 249 characters", "write a shorter name")
	}
	k.TLS.validate("kafka.tls", faults)
	k.SASL.validate(faults)
}

// addressProblem says what keeps address from being host:port; empty: nothing.
func addressProblem(address string) string {
	host, port, err := net.SplitHostPort(address)
	switch {
	case strings.Contains(address, "://"):
		return "is a URL, not an address"
	case err != nil && !strings.Contains(address, ":"):
		return "has no port"
	case err != nil || strings.ContainsAny(host, " /"):
		return "not an address"
	case host == "":
		return "has no host"
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "its port is not a number from 1 to 65535"
	}
	return ""
}

func (c TLSConfig) validate(at string, faults *config.Faults) {
	switch {
	case c.Cert != "" && c.Key == "":
		faults.Add(at+".key", "", "the certificate in "+at+".cert needs its private key", "write the path of the key's PEM file")
	case c.Key != "" && c.Cert == "":
		faults.Add(at+".cert", "", "the key in "+at+".key needs its certificate", "write the path of the certificate's PEM file")
	}
	if !c.Enabled && c != (TLSConfig{}) {
		faults.Add(at+".enabled", "false", "TLS is set up but off: connections would be in the clear",
			"write true, or take the other "+at+" keys out")
	}
}

func (c SASLConfig) validate(faults *config.Faults) {
	need := func(missing bool, path, what string) {
		if missing {
			faults.Add(path, "", c.Mechanism+" needs "+what, "write it, or take kafka.sasl.mechanism out")
		}
	}
	none := func(given bool, path string) {
		switch {
		case given && c.Mechanism == "":
			faults.Add(path, "", "is given without a mechanism, so nobody would log in",
				"set kafka.sasl.mechanism, or take it out")
		case given:
			faults.Add(path, "", c.Mechanism+" does not use it", "take it out, or change kafka.sasl.mechanism")
		}
	}
	token := c.Token != "" || c.TokenFile != ""
	switch c.Mechanism {
	case "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512":
		need(c.User == "", "kafka.sasl.user", "a user")
		need(c.Password == "", "kafka.sasl.password", "a password")
		none(c.Token != "", "kafka.sasl.token")
		none(c.TokenFile != "", "kafka.sasl.token_file")
	case "OAUTHBEARER":
		need(!token, "kafka.sasl.token_file", "a token or a file that holds it")
		none(c.User != "", "kafka.sasl.user")
		none(c.Password != "", "kafka.sasl.password")
		if c.Token != "" && c.TokenFile != "" {
			faults.Add("kafka.sasl.token", "", "both a token and a file that holds it", "keep one of the two")
		}
	case "":
		none(c.User != "", "kafka.sasl.user")
		none(c.Password != "", "kafka.sasl.password")
		none(c.Token != "", "kafka.sasl.token")
		none(c.TokenFile != "", "kafka.sasl.token_file")
	}
}

func (c InputConfig) validate(faults *config.Faults) {
	for i, topic := range c.Topics {
		checkTopic(faults, element("input.topics", i), topic)
		if slices.Contains(c.Topics[:i], topic) {
			faults.Add(element("input.topics", i), topic, "is named twice", "keep one of the two")
		}
	}
	if c.Start != "earliest" && c.Start != "latest" && c.Start != "" {
		if _, err := time.Parse(time.RFC3339, c.Start); err != nil {
			faults.Add("input.start", c.Start, "neither a word this key knows nor a time",
				"write earliest, latest or a time such as 2026-11-24T10:00:00Z")
		}
	}
	c.validatePaths(faults)
}

func (c InputConfig) validatePaths(faults *config.Faults) {
	when := c.EventTime.Path
	if c.Format == "access_log" {
		if fields := feature.AccessLogFields(); c.Entity != "" && !slices.Contains(fields, c.Entity) {
			faults.Add("input.entity", c.Entity, "no field of an access log", "write one of "+strings.Join(fields, ", "))
		}
		if when != "" && when != "time" {
			faults.Add("input.event_time.path", when, "a line of an access log tells its own time", "leave it out")
		}
		return
	}
	for _, p := range []struct{ key, path string }{{"input.entity", c.Entity}, {"input.event_time.path", when}} {
		if p.path == "" {
			continue
		}
		if err := feature.CheckPath(p.path); err != nil {
			faults.Add(p.key, p.path, "not a path: "+err.Error(), `write keys with dots between them, such as user.id; an odd one is quoted: ["a.b"]`)
		}
	}
}

func (c OutputConfig) validate(faults *config.Faults, inputs []string) {
	for _, t := range []struct{ path, topic, loop string }{
		{"output.topic", c.Topic, "is an input topic: predictions would be read back as events"},
		{"output.dead_letter_topic", c.DeadLetterTopic, "is an input topic: dead letters would be read back as events"},
	} {
		if t.topic == "" {
			continue
		}
		checkTopic(faults, t.path, t.topic)
		if slices.Contains(inputs, t.topic) {
			faults.Add(t.path, t.topic, t.loop, "write another topic")
		}
	}
	if c.Topic == c.DeadLetterTopic && c.Topic != "" {
		faults.Add("output.dead_letter_topic", c.Topic, "is the output topic too: its readers expect predictions", "write another topic")
	}
}

func (c CacheConfig) validate(faults *config.Faults) {
	if c.URL == "" {
		if c.From == "output" {
			faults.Add("cache.url", "", "is empty, and cache.from: output needs one to fill", "write the Redis' address, or take cache.from out")
		}
		return
	}
	if c.projected() && c.OnFailure == "skip" {
		faults.Add("cache.on_failure", c.OnFailure, "has no use with cache.from: output: the stream does not wait for Redis",
			"take it out, or write cache.from: input")
	}
	o, err := c.options()
	if err != nil {
		// What the parser says may quote a part of the password.
		faults.Add("cache.url", c.URL.MaskedURL(), "not a Redis URL", cacheURLMend+", or leave it empty for no cache")
		return
	}
	c.TLS.Enabled = o.TLSConfig != nil // rediss:// says so too
	c.TLS.validate("cache.tls", faults)
	if c.Sentinel.Master == "" && c.Sentinel != (SentinelConfig{}) {
		faults.Add("cache.sentinel.master", "", "the Sentinels' user or password is given, but not whom to ask them for",
			"write the master's name, as SENTINEL MASTERS shows it, or take cache.sentinel out")
	}
}

// Kafka's rule for topics, which it applies to instance names too.
var legalName = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)

const (
	maxName  = 249
	nameMend = "write up to 249 letters, digits, dots, underscores and dashes"
)

func checkTopic(faults *config.Faults, path, topic string) {
	if !legalName.MatchString(topic) || topic == "." || topic == ".." {
		faults.Add(path, topic, "not a legal topic name", nameMend)
	}
}

func element(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }
