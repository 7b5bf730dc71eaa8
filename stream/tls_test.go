package stream

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"maps"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"scry/internal/config"
)

// An authority issues certificates for 127.0.0.1 that expire when it says.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	ends time.Time
}

func newAuthority(t *testing.T, ends time.Time) *authority {
	a := &authority{t: t, ends: ends}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(ends.Unix()), Subject: pkix.Name{CommonName: ends.String()}, NotAfter: ends,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	_, a.cert, a.key = a.sign(template, template, nil)
	return a
}

func (a *authority) sign(template, by *x509.Certificate, key *ecdsa.PrivateKey) ([]byte, *x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	if key == nil {
		key = own
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by, &own.PublicKey, key)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), cert, own
}

// issue returns a certificate and its key in PEM.
func (a *authority) issue() (cert, key []byte) {
	a.t.Helper()
	cert, _, own := a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotAfter: a.ends, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.cert, a.key)
	der, err := x509.MarshalECPrivateKey(own)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
}

// server is the configuration of a broker that demands a certificate of this authority.
func (a *authority) server() *tls.Config {
	a.t.Helper()
	cert, key := a.issue()
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		a.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}
}

// writeClient puts a client's files into dir, as a rotation does.
func (a *authority) writeClient(dir string) TLSConfig {
	a.t.Helper()
	cert, key := a.issue()
	c := TLSConfig{Enabled: true, CA: filepath.Join(dir, "ca.pem"), Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	root := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
	for path, text := range map[string][]byte{c.CA: root, c.Cert: cert, c.Key: key} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	return c
}

// ping connects a new client once.
func ping(t *testing.T, opts []kgo.Opt) error {
	t.Helper()
	client, err := kgo.NewClient(append(opts[:len(opts):len(opts)], kgo.RequestRetries(0))...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return client.Ping(ctx)
}

func TestTLSFollowsRotatedFiles(t *testing.T) {
	first := newAuthority(t, time.Now().Add(time.Hour).Truncate(time.Second))
	second := newAuthority(t, time.Now().Add(2*time.Hour).Truncate(time.Second))
	var server atomic.Pointer[tls.Config]
	server.Store(first.server())
	kafka := kfake.MustCluster(kfake.NumBrokers(1), kfake.TLS(&tls.Config{
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return server.Load(), nil },
	}))
	defer kafka.Close()

	dir := t.TempDir()
	k := KafkaConfig{Brokers: kafka.ListenAddrs(), TLS: first.writeClient(dir)}
	opts, err := k.clientOpts(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := ping(t, opts); err != nil {
		t.Fatalf("before the rotation: %v", err)
	}
	if ends, ok := k.TLS.certNotAfter(); !ok || !ends.Equal(first.ends) {
		t.Errorf("expires at %v, %v, want %v", ends, ok, first.ends)
	}

	server.Store(second.server())
	err = ping(t, opts)
	if explained, permanent := k.explain(err); err == nil || permanent || !strings.HasSuffix(explained.Error(), "give the authority of the brokers in kafka.tls.ca") {
		t.Errorf("with the old files: %v, permanent %v", explained, permanent)
	}

	second.writeClient(dir)
	if err := ping(t, opts); err != nil {
		t.Errorf("after the rotation: %v", err)
	}
	if ends, _ := k.TLS.certNotAfter(); !ends.Equal(second.ends) {
		t.Errorf("expires at %v, want %v", ends, second.ends)
	}
}

// hangUp listens as Kafka's plain port answers TLS: it closes. (The fake waits.)
func hangUp(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.(*net.TCPConn).CloseWrite()
			_, _ = io.Copy(io.Discard, conn) // or the close would be a reset
			conn.Close()
		}
	}()
	return l.Addr().String()
}

func TestTLSErrorsNameTheMend(t *testing.T) {
	ends := time.Now().Add(time.Hour)
	ours, other := newAuthority(t, ends), newAuthority(t, ends.Add(time.Hour))
	secure := kfake.MustCluster(kfake.NumBrokers(1), kfake.TLS(ours.server()))
	defer secure.Close()
	clear := hangUp(t)
	right := ours.writeClient(t.TempDir())

	alone := right
	alone.Cert, alone.Key = "", ""
	stranger := other.writeClient(t.TempDir())
	stranger.CA = right.CA
	misnamed := right
	misnamed.ServerName = "kafka"
	for name, tc := range map[string]struct {
		brokers []string
		tls     TLSConfig
		want    string
	}{
		"no certificate":       {secure.ListenAddrs(), alone, "check kafka.tls.cert and kafka.tls.key"},
		"a stranger's":         {secure.ListenAddrs(), stranger, "check kafka.tls.cert and kafka.tls.key"},
		"another name":         {secure.ListenAddrs(), misnamed, "kafka.tls.server_name"},
		"no TLS at the broker": {[]string{clear}, right, "kafka.tls.enabled"},
		"no TLS here":          {secure.ListenAddrs(), TLSConfig{}, "kafka.tls.enabled"},
	} {
		t.Run(name, func(t *testing.T) {
			k := KafkaConfig{Brokers: tc.brokers, TLS: tc.tls}
			opts, err := k.clientOpts(nil)
			if err != nil {
				t.Fatal(err)
			}
			err = ping(t, opts)
			if err == nil {
				t.Fatal("connected")
			}
			if explained, permanent := k.explain(err); permanent || !strings.Contains(explained.Error(), tc.want) {
				t.Errorf("got %v, permanent %v, want %s", explained, permanent, tc.want)
			}
		})
	}
}

func TestFilesAtFaultAreNamed(t *testing.T) {
	dir := t.TempDir()
	good := newAuthority(t, time.Now().Add(time.Hour)).writeClient(dir)
	empty := filepath.Join(dir, "empty")
	large := filepath.Join(dir, "large")
	for path, size := range map[string]int{empty: 0, large: 1<<20 + 1} {
		if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	change := func(f func(*KafkaConfig)) KafkaConfig {
		k := KafkaConfig{TLS: good}
		f(&k)
		return k
	}
	for want, k := range map[string]KafkaConfig{
		"kafka.tls.ca: open " + dir + "/none":                            change(func(k *KafkaConfig) { k.TLS.CA = dir + "/none" }),
		"kafka.tls.ca: " + empty + " holds no":                           change(func(k *KafkaConfig) { k.TLS.CA = empty }),
		"kafka.tls.ca: " + large + " is larger":                          change(func(k *KafkaConfig) { k.TLS.CA = large }),
		"kafka.tls.cert: read " + dir:                                    change(func(k *KafkaConfig) { k.TLS.Cert = dir }),
		"kafka.tls.key: open " + dir + "/none":                           change(func(k *KafkaConfig) { k.TLS.Key = dir + "/none" }),
		"kafka.tls.cert: " + good.Cert + " with kafka.tls.key: " + empty: change(func(k *KafkaConfig) { k.TLS.Key = empty }),
		"kafka.sasl.token_file: " + empty + " is empty":                  change(func(k *KafkaConfig) { k.SASL = SASLConfig{Mechanism: "OAUTHBEARER", TokenFile: empty} }),
		"kafka.sasl.token_file: open " + dir + "/none":                   change(func(k *KafkaConfig) { k.SASL = SASLConfig{Mechanism: "OAUTHBEARER", TokenFile: dir + "/none"} }),
	} {
		if _, err := k.clientOpts(nil); err == nil || !strings.HasPrefix(err.Error(), want) || !strings.Contains(err.Error(), "; ") {
			t.Errorf("got %v, want %s and a mend", err, want)
		}
	}
	none := change(func(k *KafkaConfig) { k.TLS.Cert = empty })
	if _, ok := none.TLS.certNotAfter(); ok {
		t.Error("an empty certificate expires")
	}
}

// Each certificate that is presented is watched, and only those.
func TestCertificateExpiry(t *testing.T) {
	kafka, redis := newAuthority(t, time.Now().Add(time.Hour)), newAuthority(t, time.Now().Add(2*time.Hour))
	cfg := DefaultConfig()
	cfg.Kafka.TLS, cfg.Cache.TLS = kafka.writeClient(t.TempDir()), redis.writeClient(t.TempDir())
	both := map[string]float64{"kafka": float64(kafka.ends.Unix()), "redis": float64(redis.ends.Unix())}
	for _, c := range []struct {
		url       string
		kafka     bool
		cache     bool // cache.tls.enabled
		dependent []string
	}{
		{"rediss://localhost", true, false, []string{"kafka", "redis"}},
		{"redis://localhost", true, true, []string{"kafka", "redis"}},
		{"redis://localhost", true, false, []string{"kafka"}},
		{"rediss://localhost", false, false, []string{"redis"}},
		{"", true, true, []string{"kafka"}},
	} {
		cfg.Cache.URL, cfg.Kafka.TLS.Enabled, cfg.Cache.TLS.Enabled = config.Secret(c.url), c.kafka, c.cache
		registry := prometheus.NewRegistry()
		if _, err := New(cfg, doubler(), Env{Registerer: registry}); err != nil {
			t.Fatal(err)
		}
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		got, want := map[string]float64{}, map[string]float64{}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				if f.GetName() == "scry_certificate_not_after_timestamp_seconds" {
					got[m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue()
				}
			}
		}
		for _, d := range c.dependent {
			want[d] = both[d]
		}
		if !maps.Equal(got, want) {
			t.Errorf("%+v: %v, want %v", c, got, want)
		}
	}
}
