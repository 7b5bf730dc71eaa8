//go:build faults

package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const brokers = 3

// A cluster is three real brokers with two listeners each: scry knows those whose
// advertised addresses are proxies, so that every connection it makes can be broken;
// producers and observers take the others.
type cluster struct {
	dir     string
	port    int
	server  *toxiproxy.ApiServer
	proxies [brokers]*toxiproxy.Proxy
	adm     *kadm.Client
}

// The proxied listeners lie so far above a broker's port, their proxies further.
const (
	proxied = 100
	proxies = 200
)

func startCluster(dir string) (*cluster, error) {
	log := zerolog.Nop()
	c := &cluster{dir: dir, port: freePorts(), server: toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), log)}
	for i := range brokers {
		port := c.port + i
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("extra-%d.properties", i+1)), fmt.Appendf(nil, `
listeners=PLAINTEXT://127.0.0.1:%d,PROXIED://127.0.0.1:%d,CONTROLLER://127.0.0.1:%d
advertised.listeners=PLAINTEXT://127.0.0.1:%d,PROXIED://127.0.0.1:%d
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
broker.session.timeout.ms=5000
broker.heartbeat.interval.ms=1000
group.min.session.timeout.ms=1000
group.consumer.min.session.timeout.ms=1000
group.consumer.session.timeout.ms=%d
group.consumer.min.heartbeat.interval.ms=100
group.consumer.heartbeat.interval.ms=500
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
log.cleaner.backoff.ms=2000
`, port, port+proxied, port+1000, port, port+proxies, session.Milliseconds()), 0o600); err != nil {
			return nil, err
		}
		c.proxies[i] = toxiproxy.NewProxy(c.server, fmt.Sprint("broker-", i+1), fmt.Sprintf("127.0.0.1:%d", port+proxies), fmt.Sprintf("127.0.0.1:%d", port+proxied))
		if err := c.proxies[i].Start(); err != nil {
			return nil, err
		}
	}
	if err := c.mend(); err != nil {
		return nil, err
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.direct()...))
	if err != nil {
		return nil, err
	}
	c.adm = kadm.NewClient(cl)
	if err := c.commitsTopic(); err != nil {
		return nil, err
	}
	return c, c.compactCommits()
}

// commitsTopic makes the brokers create the topic of the commits, which they do when
// somebody asks for a coordinator, and returns when its partitions have leaders: a reader
// that comes earlier may overlook it for long.
func (c *cluster) commitsTopic() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for ctx.Err() == nil {
		_ = c.adm.FindGroupCoordinators(ctx, "any")
		if ends, err := c.adm.ListEndOffsets(ctx, offsetsTopic); err == nil && len(ends[offsetsTopic]) > 0 && ends.Error() == nil {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("the brokers do not create %s", offsetsTopic)
}

// compactCommits keeps the topic of the commits short, as brokers do in the long run and
// not within a suite: a coordinator has then read it in milliseconds. One that is still at
// it when its broker loses the partition and gets it again, which happens whenever all
// brokers come up at once, is broken (Kafka 4.3.1, CoordinatorRuntime): the end of the
// first load opens the group for business in the middle of the second, and the second dies
// at the first commit that comes between. The group is then back where its log was 16,384
// records from its start, members, positions and all, until the next move.
func (c *cluster) compactCommits() error {
	var alter []kadm.AlterConfig
	for name, value := range map[string]string{"segment.ms": "10000", "min.cleanable.dirty.ratio": "0.01", "delete.retention.ms": "60000"} {
		alter = append(alter, kadm.AlterConfig{Name: name, Value: &value})
	}
	rs, err := c.adm.AlterTopicConfigs(context.Background(), alter, offsetsTopic)
	if err == nil {
		err = rs[0].Err
	}
	return err
}

// freePorts returns the first of the ports a cluster takes.
func freePorts() int {
	for {
		base := 20000 + rand.IntN(9000)
		free := true
		for i := range brokers {
			for _, port := range []int{base + i, base + i + proxied, base + i + proxies, base + i + 1000} {
				l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
				if err != nil {
					free = false
					continue
				}
				l.Close()
			}
		}
		if free {
			return base
		}
	}
}

// mend starts what does not run and returns when every broker knows every other.
func (c *cluster) mend() error {
	return c.script("start", c.dir, fmt.Sprint(brokers), fmt.Sprint(c.port))
}

func (c *cluster) stop() error { return c.script("stop", c.dir) }

func (c *cluster) script(args ...string) error {
	cmd := exec.Command(filepath.Join(root, "scripts", "kafka.sh"), args...)
	cmd.Env = append(os.Environ(), "KAFKA_OPTS=-Xms256m -Xmx384m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("kafka.sh %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

func (c *cluster) direct() []string { return c.addresses(0) }

func (c *cluster) proxied() []string { return c.addresses(proxies) }

func (c *cluster) addresses(above int) (as []string) {
	for i := range brokers {
		as = append(as, fmt.Sprintf("127.0.0.1:%d", c.port+i+above))
	}
	return as
}

// end signals a broker and waits for its process to be gone.
func (c *cluster) end(broker int, with syscall.Signal) error {
	text, err := os.ReadFile(filepath.Join(c.dir, fmt.Sprintf("broker-%d.pid", broker)))
	if err != nil {
		return err
	}
	var pid int
	if _, err := fmt.Sscan(string(text), &pid); err != nil {
		return err
	}
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if err := syscall.Kill(pid, with); errors.Is(err, syscall.ESRCH) || zombie(pid) {
			return nil
		} else if err != nil {
			return err
		}
		with = 0 // once
	}
	return fmt.Errorf("broker %d is still there", broker)
}

// zombie reports whether a process has ended and nobody has waited for it.
func zombie(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && strings.Contains(string(stat), ") Z ")
}

// limitMessages sets the largest batch that a topic takes.
func (c *cluster) limitMessages(t testing.TB, topic, size string) {
	t.Helper()
	rs, err := c.adm.AlterTopicConfigs(context.Background(), []kadm.AlterConfig{{Name: "max.message.bytes", Value: &size}}, topic)
	if err == nil {
		err = rs[0].Err
	}
	if err != nil {
		t.Fatal(err)
	}
}

// alone reports whether a group, of the classic protocol, is at rest with one member.
func (c *cluster) alone(group string) bool {
	groups, err := c.adm.DescribeGroups(context.Background(), group)
	return err == nil && groups[group].State == "Stable" && len(groups[group].Members) == 1
}

// transactions are those that are open.
func (c *cluster) transactions() (open []string) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	ts, err := c.adm.DescribeTransactions(ctx)
	if err != nil {
		return []string{err.Error()}
	}
	for _, t := range ts.Sorted() {
		if strings.HasPrefix(t.State, "Complete") || t.State == "Empty" {
			continue
		}
		open = append(open, fmt.Sprintf("%s: %s since %s of %v", t.TxnID, t.State, time.UnixMilli(t.StartTimestamp).Format(time.TimeOnly), t.Topics))
	}
	return open
}

// A toxic is a way to break connections.
type toxic struct {
	Name       string         `json:"name"`
	Type       string         `json:"type"`
	Stream     string         `json:"stream"`
	Attributes map[string]int `json:"attributes"`
}

// poison adds toxics to a proxy and returns how to take them away.
func poison(p *toxiproxy.Proxy, toxics ...toxic) (mend func(), err error) {
	for i, t := range toxics {
		t.Name = fmt.Sprint("toxic-", i)
		text, err := json.Marshal(t)
		if err != nil {
			return nil, err
		}
		if _, err := p.Toxics.AddToxicJson(strings.NewReader(string(text))); err != nil {
			return nil, err
		}
	}
	return func() { p.Toxics.ResetToxics(context.Background()) }, nil
}

// during breaks every connection to the brokers for a while.
func (c *cluster) during(d time.Duration, toxics ...toxic) error {
	var mends []func()
	defer func() {
		for _, mend := range mends {
			mend()
		}
	}()
	for _, p := range c.proxies {
		mend, err := poison(p, toxics...)
		if err != nil {
			return err
		}
		mends = append(mends, mend)
	}
	time.Sleep(d)
	return nil
}

// createTopics makes topics whose records have the producer's timestamps, or those of
// their append.
func (c *cluster) createTopics(t testing.TB, timestamps string, topics ...string) {
	t.Helper()
	rs, err := c.adm.CreateTopics(context.Background(), partitions, brokers, map[string]*string{"message.timestamp.type": &timestamps}, topics...)
	if err == nil {
		err = rs.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
}
