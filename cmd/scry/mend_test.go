package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
)

// nowhere is an address of this machine at which nothing listens.
const nowhere = "127.0.0.1:1"

func mendConfig(t *testing.T, broker string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "scry.yaml")
	text := fmt.Sprintf("name: test\nkafka: {brokers: [%q]}\ninput: {topics: [in], entity: user_id}\nmodel: {uri: ../../examples/buyer-intent/bundle}\noutput: {topic: out}\ncache: {url: %q}\n",
		broker, "redis://"+nowhere)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Whatever is away, a command says what to do about it.
func TestCommandsNameTheMend(t *testing.T) {
	kafka, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kafka.Close)
	unreachable, empty := mendConfig(t, nowhere), mendConfig(t, kafka.ListenAddrs()[0])
	for args, topic := range map[string]string{
		"dlq ls":                  "test.dlq",
		"dlq show in-0-1":         "test.dlq",
		"dlq redrive":             "test.dlq",
		"dlq redrive --dry-run":   "test.dlq",
		"checkpoint ls":           "in",
		"checkpoint seek --by 1h": "in",
		"cache rebuild":           "out",
		"replay --from 2h":        "in",
		"replay --from 2h --against ../../examples/buyer-intent/bundle": "in",
	} {
		t.Run(args, func(t *testing.T) {
			code, out, log := scryNow(t, append(strings.Fields(args), "-c", unreachable)...)
			if code != 1 || out != "" || !strings.Contains(log, "start Kafka, or correct kafka.brokers") {
				t.Errorf("without brokers: %d\n%s%s", code, out, log)
			}
			code, out, log = scryNow(t, append(strings.Fields(args), "-c", empty)...)
			if code != 1 || out != "" || !strings.Contains(log, "topics are missing: "+topic+"; create them") {
				t.Errorf("without topics: %d\n%s%s", code, out, log)
			}
		})
	}
	code, out, log := scryNow(t, "lookup", "u1", "-c", unreachable)
	if code != 1 || out != "" || !strings.Contains(log, "start Redis, or correct cache.url") {
		t.Errorf("lookup without Redis: %d\n%s%s", code, out, log)
	}
}
