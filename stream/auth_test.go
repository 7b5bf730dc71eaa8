package stream

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"scry/internal/config"
)

func (k KafkaConfig) login(t *testing.T) error {
	t.Helper()
	opts, err := k.clientOpts(nil)
	if err != nil {
		t.Fatal(err)
	}
	return ping(t, opts)
}

func TestLogin(t *testing.T) {
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		t.Run(mechanism, func(t *testing.T) {
			kafka := kfake.MustCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser(mechanism, "me", "hunter2"))
			defer kafka.Close()
			k := KafkaConfig{Brokers: kafka.ListenAddrs(), SASL: SASLConfig{Mechanism: mechanism, User: "me", Password: "hunter2"}}
			if err := k.login(t); err != nil {
				t.Fatal(err)
			}
			// The fake hangs up on a wrong password.
			k.SASL.Password = "hunter3"
			err := k.login(t)
			if explained, _ := k.explain(err); err == nil || !strings.Contains(explained.Error(), "kafka.sasl") {
				t.Errorf("a wrong password: %v", explained)
			}
			// Kafka answers with a code.
			kafka.ControlKey(int16(kmsg.SASLAuthenticate), func(r kmsg.Request) (kmsg.Response, error, bool) {
				kafka.KeepControl()
				resp := r.ResponseKind().(*kmsg.SASLAuthenticateResponse)
				resp.ErrorCode = kerr.SaslAuthenticationFailed.Code
				resp.ErrorMessage = kmsg.StringPtr("Authentication failed: Invalid username or password")
				return resp, nil, true
			})
			explained, permanent := k.explain(k.login(t))
			want := `the brokers refuse user "me" with ` + mechanism + ": check kafka.sasl.user and kafka.sasl.password"
			if !permanent || !strings.HasSuffix(explained.Error(), want) {
				t.Errorf("got %v, permanent %v, want %s", explained, permanent, want)
			}
			if strings.Contains(explained.Error(), "hunter") {
				t.Errorf("a password shows: %v", explained)
			}
		})
	}
}

func TestMechanismThatTheBrokersLack(t *testing.T) {
	kafka := kfake.MustCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser("PLAIN", "me", "hunter2"))
	defer kafka.Close()
	k := KafkaConfig{Brokers: kafka.ListenAddrs(), SASL: SASLConfig{Mechanism: "OAUTHBEARER", Token: "t"}}
	explained, permanent := k.explain(k.login(t))
	if want := "do not offer OAUTHBEARER: write another kafka.sasl.mechanism"; !permanent || !strings.HasSuffix(explained.Error(), want) {
		t.Errorf("got %v, permanent %v, want %s", explained, permanent, want)
	}
	k.SASL = SASLConfig{}
	err := k.login(t)
	if explained, permanent := k.explain(err); err == nil || permanent || !strings.Contains(explained.Error(), "kafka.sasl") {
		t.Errorf("without a login: %v, permanent %v", explained, permanent)
	}
}

// The fake knows no OAUTHBEARER, so the two requests of a login are answered here as RFC 7628
// and Kafka have it: nothing when the token is good, else a challenge that tells why.
func TestTokenFileIsReadAtEachLogin(t *testing.T) {
	kafka := kfake.MustCluster(kfake.NumBrokers(1))
	defer kafka.Close()
	var good atomic.Value
	kafka.ControlKey(int16(kmsg.SASLHandshake), func(r kmsg.Request) (kmsg.Response, error, bool) {
		kafka.KeepControl()
		return r.ResponseKind(), nil, true
	})
	kafka.ControlKey(int16(kmsg.SASLAuthenticate), func(r kmsg.Request) (kmsg.Response, error, bool) {
		kafka.KeepControl()
		resp := r.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		if !bytes.Contains(r.(*kmsg.SASLAuthenticateRequest).SASLAuthBytes, []byte("auth=Bearer "+good.Load().(string)+"\x01")) {
			resp.SASLAuthBytes = []byte(`{"status":"invalid_token"}`)
		}
		return resp, nil, true
	})

	file := filepath.Join(t.TempDir(), "token")
	renew := func(token string) {
		if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	good.Store("one")
	renew("one")
	k := KafkaConfig{Brokers: kafka.ListenAddrs(), SASL: SASLConfig{Mechanism: "OAUTHBEARER", TokenFile: file}}
	opts, err := k.clientOpts(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := ping(t, opts); err != nil {
		t.Fatal(err)
	}
	good.Store("two")
	explained, permanent := k.explain(ping(t, opts))
	if explained == nil || !permanent || !strings.Contains(explained.Error(), "invalid_token") || !strings.Contains(explained.Error(), "kafka.sasl.token_file") {
		t.Errorf("an old token: %v, permanent %v", explained, permanent)
	}
	renew("two")
	if err := ping(t, opts); err != nil {
		t.Errorf("the same options with a renewed file: %v", err)
	}
	k.SASL = SASLConfig{Mechanism: "OAUTHBEARER", Token: config.Secret("two")}
	if err := k.login(t); err != nil {
		t.Errorf("a token of the configuration: %v", err)
	}
}
