package deploy

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"scry/internal/embedded"
	"scry/internal/shop"
	"scry/internal/testenv"
)

// A pipeline is what docker-compose.yml runs, with its own scry.yaml, on a broker and a
// Redis in this process: events come in all the time, and processes of the real program
// are started and stopped.
type pipeline struct {
	t      *testing.T
	binary string
	kafka  *embedded.Kafka
	redis  *embedded.Redis
	cut    atomic.Bool // events are cut off in their middle
	late   atomic.Bool // events are a minute old
}

func newPipeline(t *testing.T) *pipeline {
	t.Helper()
	p := &pipeline{t: t, binary: filepath.Join(t.TempDir(), "scry")}
	if out, err := exec.Command("go", "build", "-o", p.binary, "../cmd/scry").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	var err error
	if p.kafka, err = embedded.StartKafka("127.0.0.1:0", embedded.Topic{Name: "shop.events", Partitions: 4, Group: "buyer-intent"},
		embedded.Topic{Name: "shop.predictions", Partitions: 4}, embedded.Topic{Name: "buyer-intent.dlq", Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kafka.Close)
	p.redisUp(fmt.Sprintf("127.0.0.1:%d", testenv.FreePort(t)))
	t.Cleanup(func() { p.redis.Close() })
	return p
}

func (p *pipeline) redisUp(addr string) {
	p.t.Helper()
	var err error
	if p.redis, err = embedded.StartRedis(addr); err != nil {
		p.t.Fatal(err)
	}
}

// traffic sends 1,000 events a second until the test ends.
func (p *pipeline) traffic() {
	p.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(p.kafka.Brokers()...), kgo.DefaultProduceTopic("shop.events"))
	if err != nil {
		p.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		visitors := shop.New(1, 20_000)
		for tick := time.NewTicker(20 * time.Millisecond); ; {
			select {
			case <-ctx.Done():
				tick.Stop()
				return
			case now := <-tick.C:
				for range 20 {
					key, event := visitors.Next(nil, now)
					if p.cut.Load() {
						event = event[:len(event)/2]
					}
					r := &kgo.Record{Key: key, Value: event, Timestamp: now}
					if p.late.Load() {
						r.Timestamp = now.Add(-time.Minute)
					}
					client.Produce(ctx, r, nil)
				}
			}
		}
	}()
	p.t.Cleanup(func() {
		stop()
		<-done
		client.Close()
	})
}

// lose deletes a topic's records that the group has not read.
func (p *pipeline) lose(topic string) {
	p.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(p.kafka.Brokers()...))
	if err != nil {
		p.t.Fatal(err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	ends, err := admin.ListEndOffsets(p.t.Context(), topic)
	if err == nil {
		_, err = admin.DeleteRecords(p.t.Context(), ends.Offsets())
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// scry starts a process that answers at health.
func (p *pipeline) scry(health, bundle string, sets ...string) *process {
	p.t.Helper()
	args := []string{"run", "-c", "compose/scry.yaml", "--set", "kafka.brokers=" + p.kafka.Brokers()[0], "--set", "cache.url=" + p.redis.URL(),
		"--set", "model.uri=" + bundle, "--set", "http.admin=127.0.0.1:0"}
	for _, s := range sets {
		args = append(args, "--set", s)
	}
	process := start(p.t, []string{"SCRY_HTTP_HEALTH=" + health}, p.binary, args...)
	until(p.t, "scry answers at "+health, func() bool {
		select {
		case err := <-process.ended:
			p.t.Fatalf("scry: %v\n%s", err, process.log)
		default:
		}
		return exec.Command(p.binary, "health", "http://"+health+"/livez").Run() == nil
	})
	return process
}

// Alerts fire and clear on a running scry, one cause after the other, and the
// dashboard's queries all find something to show.
func TestAlertsFireAndClear(t *testing.T) {
	tool(t, "prometheus")
	p := newPipeline(t)
	const bundle = "../examples/buyer-intent/bundle"
	a, b := fmt.Sprintf("127.0.0.1:%d", testenv.FreePort(t)), fmt.Sprintf("127.0.0.1:%d", testenv.FreePort(t))
	first := p.scry(a, bundle)
	prom := startPrometheus(t, a, b)
	p.traffic()

	// The second process is not there yet: the only thing wrong.
	prom.fires("ScryTargetDown " + b)
	until(t, "predictions", func() bool {
		n, err := prom.series("scry_predictions_total > 3000")
		return err == nil && n > 0
	})
	if names := prom.firing(); !slices.Equal(names, []string{"ScryTargetDown " + b}) {
		t.Errorf("firing while all is well but for one process: %v", names)
	}

	second := p.scry(b, secondVersion(t, bundle))
	prom.clears("ScryTargetDown " + b)
	p.late.Store(true)
	prom.fires("ScryMixedModels", "ScrySlow")
	p.late.Store(false)
	second.stop()
	prom.clears("ScryMixedModels", "ScrySlow")

	// It need not reach a broker for its certificate to be watched.
	cert, key := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	writeCertificate(t, cert, key, time.Hour)
	second = p.scry(b, bundle, "kafka.tls.enabled=true", "kafka.tls.cert="+cert, "kafka.tls.key="+key)
	prom.fires("ScryCertificateExpires kafka " + b)
	writeCertificate(t, cert, key, 30*24*time.Hour)
	prom.clears("ScryCertificateExpires kafka " + b)

	addr := strings.TrimSuffix(strings.TrimPrefix(p.redis.URL(), "redis://"), "/0")
	p.redis.Close()
	prom.fires("ScryDependencyDown redis", "ScryNoSuccess", "ScryLagGrows")
	p.redisUp(addr)
	prom.fires("ScryCacheLoss") // it keeps nothing on disk
	prom.clears("ScryDependencyDown redis", "ScryNoSuccess", "ScryLagGrows")

	p.cut.Store(true)
	prom.fires("ScryHeld " + a)
	first.stop()
	p.lose("shop.events")
	first = p.scry(a, bundle, "output.hold_when_rejected=1", "input.on_data_loss=earliest", "cache.on_failure=skip")
	prom.clears("ScryHeld " + a)
	prom.fires("ScryRecordsLost", "ScryDeadLetterBurst")
	p.cut.Store(false)
	prom.clears("ScryDeadLetterBurst", "ScryCacheLoss")

	p.redis.Close()
	prom.fires("ScryCacheSkipped")
	p.redisUp(addr)
	prom.clears("ScryCacheSkipped")

	const projected = "Behind the output topic"
	if empty := emptyPanels(t, prom); !slices.Equal(empty, []string{projected}) {
		t.Errorf("panels that show nothing: %q", empty)
	}
	second.stop()
	second = p.scry(b, bundle, "cache.from=output")
	until(t, "the projector's panel", func() bool { return !slices.Contains(emptyPanels(t, prom), projected) })
	prom.clears("ScryRecordsLost")
	first.stop()
	second.stop()
}

// writeCertificate writes a client's certificate that ends after so long, and its key.
func writeCertificate(t *testing.T, cert, key string, ends time.Duration) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(ends)}
	public, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	write(t, cert, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: public})))
	write(t, key, string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret})))
}

// secondVersion copies a bundle as its next version.
func secondVersion(t *testing.T, bundle string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(bundle)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "features.yaml")
	write(t, path, strings.Replace(read(t, path), `version: "1"`, `version: "2"`, 1))
	return dir
}

// emptyPanels evaluates every query of the dashboard, and returns the panels with one that
// shows nothing.
func emptyPanels(t *testing.T, prom *prometheus) (titles []string) {
	t.Helper()
	fill := strings.NewReplacer("$job", "scry.*", "$instance", ".*", "$__rate_interval", "20s")
	for _, panel := range readDashboard(t).Panels {
		for _, q := range panel.Targets {
			switch n, err := prom.series(fill.Replace(q.Expr)); {
			case err != nil:
				t.Errorf("panel %q: %s: %v", panel.Title, q.Expr, err)
			case n == 0 && !slices.Contains(titles, panel.Title):
				titles = append(titles, panel.Title)
			}
		}
	}
	for _, a := range readDashboard(t).Annotations.List {
		if _, err := prom.series(fill.Replace(a.Expr)); err != nil {
			t.Errorf("annotation %s: %v", a.Expr, err)
		}
	}
	return titles
}
