package stream

import (
	"strings"
	"testing"
)

func valid() Config {
	c := DefaultConfig()
	c.Kafka.Group, c.Input.Topics, c.Output.Topic, c.Output.DeadLetterTopic = "g", []string{"in"}, "out", "g.dlq"
	return c
}

// Each case breaks one thing, or several, and names every fault that must come of it.
func TestValidate(t *testing.T) {
	long := strings.Repeat("x", 250)
	for name, tc := range map[string]struct {
		change func(*Config)
		want   string // "path: problem", a line each
	}{
		"nothing": {func(*Config) {}, ""},
		"zero":    {func(c *Config) { *c = Config{} }, "kafka.brokers: is required\nkafka.group: is required\nkafka.session_timeout: less than 1s\nkafka.protocol: not a value this key knows\ninput.topics: is required\ninput.format: not a value this key knows\ninput.event_time.unit: not a value this key knows\ninput.start: is required\ninput.on_data_loss: not a value this key knows\noutput.topic: is required\noutput.dead_letter_topic: is required\noutput.hold_when_rejected: less than 0.001\noutput.compression: not a value this key knows\ncache.from: not a value this key knows\ncache.on_failure: not a value this key knows\ndelivery.guarantee: not a value this key knows\ndelivery.max_in_flight: less than 1MiB\ndelivery.commit_interval: less than 10ms\ndelivery.transaction_interval: less than 1ms\ndelivery.drain_timeout: less than 1ms"},
		"brokers": {func(c *Config) {
			c.Kafka.Brokers = []string{"a:1", "[::1]:9092", "b", ":1", "c:0", "d:x", "kafka://e:1", "f g:1", "::1:9"}
		}, "kafka.brokers[2]: has no port\nkafka.brokers[3]: has no host\nkafka.brokers[4]: its port is not a number from 1 to 65535\nkafka.brokers[5]: its port is not a number from 1 to 65535\nkafka.brokers[6]: is a URL, not an address\nkafka.brokers[7]: not an address\nkafka.brokers[8]: not an address"},
		"group":      {func(c *Config) { c.Kafka.Group = long }, "kafka.group: longer than 249 characters"},
		"instance":   {func(c *Config) { c.Kafka.Instance = "a/b" }, "kafka.instance: not a legal instance name"},
		"session":    {func(c *Config) { c.Kafka.SessionTimeout = 31 * 60e9 }, "kafka.session_timeout: more than 30m"},
		"topics":     {func(c *Config) { c.Input.Topics = []string{"a", "b b", "..", long, "a", "t-x_y.z"} }, "input.topics[1]: not a legal topic name\ninput.topics[2]: not a legal topic name\ninput.topics[3]: not a legal topic name\ninput.topics[4]: is named twice"},
		"loop":       {func(c *Config) { c.Output.Topic, c.Output.DeadLetterTopic = "in", "in" }, "output.topic: is an input topic: predictions would be read back as events\noutput.dead_letter_topic: is an input topic: dead letters would be read back as events\noutput.dead_letter_topic: is the output topic too: its readers expect predictions"},
		"start word": {func(c *Config) { c.Input.Start = "newest" }, "input.start: neither a word this key knows nor a time"},
		"start time": {func(c *Config) { c.Input.Start = "2026-11-24T10:00:00+01:00" }, ""},
		"paths":      {func(c *Config) { c.Input.Entity, c.Input.EventTime.Path = "user..id", "[0]" }, "input.entity: not a path: character 6: a key is missing; an odd one is quoted: [\"a.b\"]\ninput.event_time.path: not a path: character 1: an event is an object, so a path begins with a key"},
		"odd paths":  {func(c *Config) { c.Input.Entity, c.Input.EventTime.Path = `["user.id"][0]`, "time of day" }, ""},
		"fields": {func(c *Config) {
			c.Input.Format, c.Input.Entity, c.Input.EventTime.Path = "access_log", "user_id", "ts"
		}, "input.entity: no field of an access log\ninput.event_time.path: a line of an access log tells its own time"},
		"fields fine": {func(c *Config) {
			c.Input.Format, c.Input.Entity, c.Input.EventTime.Path = "access_log", "remote_host", "time"
		}, ""},
		"hold":              {func(c *Config) { c.Output.HoldWhenRejected = 1.5 }, "output.hold_when_rejected: more than 1"},
		"in flight":         {func(c *Config) { c.Delivery.MaxInFlight = 9 << 30 }, "delivery.max_in_flight: more than 8GiB"},
		"drain":             {func(c *Config) { c.Delivery.DrainTimeout = 0 }, "delivery.drain_timeout: less than 1ms"},
		"ttl":               {func(c *Config) { c.Cache.TTL = -1 }, "cache.ttl: less than 0"},
		"never expires":     {func(c *Config) { c.Cache.TTL = 0 }, ""},
		"cache":             {func(c *Config) { c.Cache.URL = "http://u:hunter2@h/0" }, "cache.url: not a Redis URL"},
		"cache fine":        {func(c *Config) { c.Cache.URL = "rediss://u:p@h:1/2" }, ""},
		"cluster":           {func(c *Config) { c.Cache.URL = "redis://u:p@h:1?addr=h2:1&addr=h3:1" }, ""},
		"cluster address":   {func(c *Config) { c.Cache.URL = "redis://h:1?addr=h2" }, "cache.url: not a Redis URL"},
		"sentinel":          {func(c *Config) { c.Cache.URL, c.Cache.Sentinel = "redis://h", SentinelConfig{"m", "u", "p"} }, ""},
		"sentinel unnamed":  {func(c *Config) { c.Cache.URL, c.Cache.Sentinel.Password = "redis://h", "hunter2" }, "cache.sentinel.master: the Sentinels' user or password is given, but not whom to ask them for"},
		"cache TLS":         {func(c *Config) { c.Cache.URL, c.Cache.TLS.CA = "rediss://h", "ca" }, ""},
		"cache TLS off":     {func(c *Config) { c.Cache.URL, c.Cache.TLS.CA = "redis://h", "ca" }, "cache.tls.enabled: TLS is set up but off: connections would be in the clear"},
		"cache cert alone":  {func(c *Config) { c.Cache.URL, c.Cache.TLS.Cert = "rediss://h", "c" }, "cache.tls.key: the certificate in cache.tls.cert needs its private key"},
		"cert alone":        {func(c *Config) { c.Kafka.TLS = TLSConfig{Enabled: true, Cert: "c"} }, "kafka.tls.key: the certificate in kafka.tls.cert needs its private key"},
		"key alone":         {func(c *Config) { c.Kafka.TLS = TLSConfig{Enabled: true, Key: "k"} }, "kafka.tls.cert: the key in kafka.tls.key needs its certificate"},
		"TLS off":           {func(c *Config) { c.Kafka.TLS.CA = "ca" }, "kafka.tls.enabled: TLS is set up but off: connections would be in the clear"},
		"plain":             {func(c *Config) { c.Kafka.SASL = SASLConfig{Mechanism: "PLAIN", User: "u", Password: "hunter2"} }, ""},
		"no login":          {func(c *Config) { c.Kafka.SASL.Mechanism = "SCRAM-SHA-256" }, "kafka.sasl.user: SCRAM-SHA-256 needs a user\nkafka.sasl.password: SCRAM-SHA-256 needs a password"},
		"no mechanism":      {func(c *Config) { c.Kafka.SASL.Password = "hunter2" }, "kafka.sasl.password: is given without a mechanism, so nobody would log in"},
		"unknown mechanism": {func(c *Config) { c.Kafka.SASL = SASLConfig{Mechanism: "GSSAPI", User: "u"} }, "kafka.sasl.mechanism: not a value this key knows"},
		"no token":          {func(c *Config) { c.Kafka.SASL.Mechanism = "OAUTHBEARER" }, "kafka.sasl.token_file: OAUTHBEARER needs a token or a file that holds it"},
		"two tokens": {func(c *Config) {
			c.Kafka.SASL = SASLConfig{Mechanism: "OAUTHBEARER", Token: "t", TokenFile: "f", User: "u"}
		}, "kafka.sasl.user: OAUTHBEARER does not use it\nkafka.sasl.token: both a token and a file that holds it"},
	} {
		t.Run(name, func(t *testing.T) {
			c := valid()
			tc.change(&c)
			var got []string
			for _, f := range c.Validate() {
				got = append(got, f.Path+": "+f.Problem)
				if f.Mend == "" || strings.Contains(f.Error(), "hunter2") {
					t.Errorf("no mend, or a secret: %v", f)
				}
			}
			if all := strings.Join(got, "\n"); all != tc.want {
				t.Errorf("got:\n%s\nwant:\n%s", all, tc.want)
			}
		})
	}
}
