package stream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"time"
)

// load reads the files into a configuration for one connection. They are read for each: dials
// are rare, the files small, and so a rotation needs no watching and is never missed. at is
// where c stands in the configuration: kafka.tls.
func (c TLSConfig) load(at string) (*tls.Config, error) {
	t := &tls.Config{ServerName: c.ServerName, MinVersion: tls.VersionTLS12}
	if c.CA != "" {
		text, err := readSmall(at+".ca", c.CA)
		if err != nil {
			return nil, err
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s.ca: %s holds no certificate; give a PEM file of the authorities to trust", at, c.CA)
		}
	}
	if c.Cert != "" {
		pair, err := c.pair(at)
		if err != nil {
			return nil, err
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}

// pair reads the client's certificate and key.
func (c TLSConfig) pair(at string) (tls.Certificate, error) {
	cert, err := readSmall(at+".cert", c.Cert)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := readSmall(at+".key", c.Key)
	if err != nil {
		return tls.Certificate{}, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("%s.cert: %s with %s.key: %s: %w; give a PEM certificate and its unencrypted private key", at, c.Cert, at, c.Key, err)
	}
	return pair, nil
}

// over encrypts what dial connects.
func (c TLSConfig) over(at string, dial func(ctx context.Context, network, address string) (net.Conn, error)) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, dialTimeout)
		defer cancel()
		t, err := c.load(at)
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

// tlsMend says what to do about an error of TLS with who, whose addresses and TLS are configured
// at these keys; empty: it is none. A certificate may yet be rotated.
func tlsMend(err error, who, addresses, at string) string {
	var (
		hostname x509.HostnameError
		untrust  x509.UnknownAuthorityError
		invalid  x509.CertificateInvalidError
		notTLS   tls.RecordHeaderError
		remote   *net.OpError
	)
	switch {
	case errors.As(err, &hostname):
		return "write a name the certificate bears in " + addresses + " or " + at + ".server_name"
	case errors.As(err, &untrust):
		return "give the authority of " + who + " in " + at + ".ca"
	case errors.As(err, &invalid):
		return "the certificate of " + who + " must be renewed"
	case errors.As(err, &notTLS):
		return "this port of " + who + " speaks no TLS: turn " + at + ".enabled off, or write another port in " + addresses
	case errors.As(err, &remote) && remote.Op == "remote error": // crypto/tls's name for an alert
		return who + " refused the connection's TLS: check " + at + ".cert and " + at + ".key"
	}
	return ""
}

// certNotAfter is when the client's certificate expires, by the file as it is now; false when
// there is none to read.
func (c TLSConfig) certNotAfter() (time.Time, bool) {
	if c.Cert == "" {
		return time.Time{}, false
	}
	text, err := readSmall("cert", c.Cert)
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
