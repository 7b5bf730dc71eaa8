package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

const dialTimeout = 10 * time.Second

// clientOpts are what every Kafka client needs to reach the brokers and log in. dial replaces
// the network's when it is not nil. An error names the file at fault; it is worth no retry.
func (k KafkaConfig) clientOpts(dial func(ctx context.Context, network, address string) (net.Conn, error)) ([]kgo.Opt, error) {
	if dial == nil {
		dial = (&net.Dialer{Timeout: dialTimeout}).DialContext
	}
	if k.TLS.Enabled {
		if _, err := k.TLS.load("kafka.tls"); err != nil {
			return nil, err
		}
		dial = k.TLS.over("kafka.tls", dial)
	}
	opts := []kgo.Opt{kgo.SeedBrokers(k.Brokers...), kgo.Dialer(dial)}
	if k.SASL.TokenFile != "" {
		if _, err := k.SASL.token(); err != nil {
			return nil, err
		}
	}
	if m := k.SASL.login(); m != nil {
		opts = append(opts, kgo.SASL(m))
	}
	return opts, nil
}

// Client makes a client of the cluster, with opts besides. It connects at its first request.
func (k KafkaConfig) Client(opts ...kgo.Opt) (*kgo.Client, error) {
	reach, err := k.clientOpts(nil)
	if err != nil {
		return nil, err
	}
	return kgo.NewClient(append(reach, opts...)...)
}

// login is the mechanism configured; nil: none.
func (c SASLConfig) login() sasl.Mechanism {
	switch c.Mechanism {
	case "PLAIN":
		return plain.Auth{User: c.User, Pass: c.Password.Reveal()}.AsMechanism()
	case "SCRAM-SHA-256":
		return scram.Auth{User: c.User, Pass: c.Password.Reveal()}.AsSha256Mechanism()
	case "SCRAM-SHA-512":
		return scram.Auth{User: c.User, Pass: c.Password.Reveal()}.AsSha512Mechanism()
	case "OAUTHBEARER":
		return bearer{oauth.Oauth(func(context.Context) (oauth.Auth, error) {
			token, err := c.token()
			return oauth.Auth{Token: token}, err
		})}
	}
	return nil
}

// token is read again at each login: tokens live for minutes and are renewed on disk.
func (c SASLConfig) token() (string, error) {
	if c.TokenFile == "" {
		return c.Token.Reveal(), nil
	}
	text, err := readSmall("kafka.sasl.token_file", c.TokenFile)
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(text))
	if token == "" {
		return "", fmt.Errorf("kafka.sasl.token_file: %s is empty; write the bearer token into it", c.TokenFile)
	}
	return token, nil
}

// bearer gives a refused token the error that a refused password has. Brokers answer it not
// with a code but with a challenge (RFC 7628, 3.2.2), which the client takes for garbage.
type bearer struct{ sasl.Mechanism }

// Authenticate is of sasl.Mechanism.
func (m bearer) Authenticate(ctx context.Context, host string) (sasl.Session, []byte, error) {
	s, first, err := m.Mechanism.Authenticate(ctx, host)
	return bearerSession{s}, first, err
}

type bearerSession struct{ sasl.Session }

// Challenge is of sasl.Session.
func (s bearerSession) Challenge(answer []byte) (bool, []byte, error) {
	done, next, err := s.Session.Challenge(answer)
	if err != nil && len(answer) > 0 {
		err = fmt.Errorf("%w: the broker says %.200q", kerr.SaslAuthenticationFailed, answer)
	}
	return done, next, err
}

// explain gives an error of a connection its mend. permanent tells that the brokers refuse
// these credentials, which no retry changes; a certificate may yet be rotated.
func (k KafkaConfig) explain(err error) (explained error, permanent bool) {
	mend, permanent := k.mend(err)
	if mend == "" {
		return err, false
	}
	return fmt.Errorf("%w; %s", err, mend), permanent
}

const startKafka = "start Kafka, or correct kafka.brokers"

// mend says what to do about an error of a connection; empty: it is none, or of another kind.
func (k KafkaConfig) mend(err error) (mend string, permanent bool) {
	if mend := tlsMend(err, "the brokers", "kafka.brokers", "kafka.tls"); mend != "" {
		return mend, false
	}
	switch {
	case errors.Is(err, kerr.SaslAuthenticationFailed) && k.SASL.Mechanism == "OAUTHBEARER":
		return "the brokers refuse the token: renew the one in kafka.sasl.token_file or kafka.sasl.token", true
	case errors.Is(err, kerr.SaslAuthenticationFailed):
		return fmt.Sprintf("the brokers refuse user %q with %s: check kafka.sasl.user and kafka.sasl.password", k.SASL.User, k.SASL.Mechanism), true
	case errors.Is(err, kerr.UnsupportedSaslMechanism):
		return "the brokers do not offer " + k.SASL.Mechanism + ": write another kafka.sasl.mechanism", true
	case errors.Is(err, kerr.IllegalSaslState):
		return "this port of the brokers expects no login: take kafka.sasl out, or write another port in kafka.brokers", true
	case errors.Is(err, io.EOF):
		return "if the broker goes on closing connections, check that kafka.tls.enabled and kafka.sasl are what this port of it expects", false
	case unreachable(err):
		return startKafka, false
	}
	return "", false
}

// unreachable tells that nobody listens at an address, that its name is unknown, or that
// nothing answers there.
func unreachable(err error) bool {
	var dial *net.OpError
	var slow net.Error
	return errors.As(err, &dial) && dial.Op == "dial" || errors.As(err, &slow) && slow.Timeout()
}

// readSmall reads a file that the key at path names. More than a MiB is not what it should be.
func readSmall(path, file string) ([]byte, error) {
	const most = 1 << 20
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; check the path and its permissions", path, err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && len(text) > most {
		err = fmt.Errorf("%s is larger than 1 MiB", file)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w; give the path of a small text file", path, err)
	}
	return text, nil
}
