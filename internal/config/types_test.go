package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

func TestBytes(t *testing.T) {
	for text, want := range map[string]Bytes{
		"0": 0, "17": 17, "17B": 17, "64MiB": 64 << 20, "64 mib": 64 << 20, "64Mi": 64 << 20,
		"1GB": 1e9, "1kb": 1000, "3TiB": 3 << 40, " 5KiB ": 5120, "9223372036854775807": 1<<63 - 1,
	} {
		var b Bytes
		if err := b.UnmarshalText([]byte(text)); err != nil || b != want {
			t.Errorf("%q reads as %d, %v", text, b, err)
		}
		again := Bytes(-1)
		if err := again.UnmarshalText([]byte(b.String())); err != nil || again != b {
			t.Errorf("%d writes as %q, reads as %d, %v", b, b.String(), again, err)
		}
	}
	for _, text := range []string{"", "MiB", "-1", "1.5GiB", "1 MiBs", "8388608TiB", "9223372036854775808", "0x10", "1e3", "١"} {
		var b Bytes
		if err := b.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q reads as %d", text, b)
		}
	}
	out, err := json.Marshal(map[string]Bytes{"size": 64 << 20})
	if err != nil || string(out) != `{"size":"64MiB"}` {
		t.Errorf("JSON: %s, %v", out, err)
	}
	var in struct{ Size Bytes }
	if err := yaml.Unmarshal([]byte("size: 2GB"), &in); err != nil || in.Size != 2e9 {
		t.Errorf("YAML: %d, %v", in.Size, err)
	}
}

func TestSecretShowsNowhere(t *testing.T) {
	type login struct {
		User     string
		Password Secret
	}
	const word = "hunter2"
	l := login{"me", word}
	var shown strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%U", "%10s", "%-9q", "%#q"} {
		fmt.Fprintf(&shown, verb+verb+verb+"\n", l, &l, l.Password)
	}
	fmt.Fprintln(&shown, l, l.Password, []Secret{word}, map[string]Secret{"k": word}, &l.Password)
	var b bytes.Buffer
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "secret", l.Password, "login", l)
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", "secret", l.Password, "login", l)
	for _, marshal := range []func(any) ([]byte, error){json.Marshal, yaml.Marshal} {
		out, err := marshal(l)
		if err != nil || !strings.Contains(string(out), mask) {
			t.Errorf("marshalled: %s, %v", out, err)
		}
		b.Write(out)
	}
	all := shown.String() + b.String()
	if strings.Contains(all, word) || strings.Contains(strings.ToLower(all), fmt.Sprintf("%x", word)) {
		t.Errorf("a secret shows:\n%s", all)
	}
	if Secret("").String() != "" || Secret(word).Reveal() != word {
		t.Error("an empty secret shows as empty, Reveal reveals")
	}
	var in login
	if err := json.Unmarshal([]byte(`{"Password":"hunter2"}`), &in); err != nil || in.Password != word {
		t.Errorf("JSON reads %q, %v", in.Password.Reveal(), err)
	}
}

func TestMaskedURL(t *testing.T) {
	for url, want := range map[Secret]string{
		"":                                    "",
		"redis://localhost:6379/0":            "redis://localhost:6379/0",
		"redis://user:hunter2@host:6379/0":    "redis://user:****@host:6379/0",
		"redis://:hunter2@host":               "redis://:****@host",
		"rediss://u:p@host/0?x=hunter2":       "rediss://u:****@host/0?****",
		"redis://hunter2@host/0":              "redis://****@host/0",
		"redis://u:p@a:1/0?addr=b:1&addr=c:1": "redis://u:****@a:1/0?addr=b:1&addr=c:1",
		"redis://a:1?addr=b:1&x=hunter2":      "redis://a:1?****",
		"redis://u:p@hunter2@host/0":          "redis://u:****@host/0",
		"redis://u:12/hunter2@host/0":         "****",
		"redis://u:12?hunter2@host/0":         "****",
		"redis://u:12#hunter2@host/0":         "****",
		"redis://u:hun/ter2@host":             "****",
		"redis://u:%zz@host":                  "****",
		"hunter2":                             "****",
		"redis:hunter2":                       "****",
		"redis:///hunter2":                    "****",
	} {
		if got := url.MaskedURL(); got != want {
			t.Errorf("%s shows as %s, want %s", url.Reveal(), got, want)
		}
	}
}
