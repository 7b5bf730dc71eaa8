package stream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"time"
)

// load reads the files into a configuration for one connection. They are read for each: dials
// are rare, the files small, and so a rotation needs no watching and is never missed.
func (c TLSConfig) load() (*tls.Config, error) {
	t := &tls.Config{ServerName: c.ServerName, MinVersion: tls.VersionTLS12}
	if c.CA != "" {
		text, err := readSmall("kafka.tls.ca", c.CA)
		if err != nil {
			return nil, err
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("kafka.tls.ca: %s holds no certificate; give a PEM file of the authorities to trust", c.CA)
		}
	}
	if c.Cert != "" {
		pair, err := c.pair()
		if err != nil {
			return nil, err
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}

// pair reads the client's certificate and key.
func (c TLSConfig) pair() (tls.Certificate, error) {
	cert, err := readSmall("kafka.tls.cert", c.Cert)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := readSmall("kafka.tls.key", c.Key)
	if err != nil {
		return tls.Certificate{}, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("kafka.tls.cert: %s with kafka.tls.key: %s: %w; give a PEM certificate and its unencrypted private key", c.Cert, c.Key, err)
	}
	return pair, nil
}

// over encrypts what dial connects.
func (c TLSConfig) over(dial func(ctx context.Context, network, address string) (net.Conn, error)) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, dialTimeout)
		defer cancel()
		t, err := c.load()
		if err != nil {
			return nil, err
		}
		if t.ServerName == "" {
			if t.ServerName, _, err = net.SplitHostPort(address); err != nil {
				return nil, err
			}
		}
		raw, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		conn := tls.Client(raw, t)
		if err := conn.HandshakeContext(ctx); err != nil {
			raw.Close()
			return nil, fmt.Errorf("TLS with %s: %w", address, err)
		}
		return conn, nil
	}
}

// certNotAfter is when the client's certificate expires, by the file as it is now; false when
// there is none to read.
func (k KafkaConfig) certNotAfter() (time.Time, bool) {
	if !k.TLS.Enabled || k.TLS.Cert == "" {
		return time.Time{}, false
	}
	text, err := readSmall("kafka.tls.cert", k.TLS.Cert)
	if err != nil {
		return time.Time{}, false
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		leaf, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return time.Time{}, false
		}
		return leaf.NotAfter, true
	}
	return time.Time{}, false
}
