package config

import (
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
)

const mask = "****"

// Secret is a value that must not be seen: printing, logging or marshalling it gives asterisks,
// Reveal gives the value. (fmt cannot mask a Secret in an unexported field: keep it exported.)
type Secret string

// String masks the value.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return mask
}

// Format masks the value under every verb; Stringer alone would leave %d.
func (s Secret) Format(f fmt.State, verb rune) {
	text := s.String()
	if verb == 'q' || f.Flag('#') {
		text = strconv.Quote(text)
	}
	_, _ = io.WriteString(f, text)
}

// MarshalText masks the value, in JSON and YAML too.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText takes the text as the value.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = Secret(text)
	return nil
}

// LogValue masks the value.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// Reveal returns the value itself, for the one place that needs it.
func (s Secret) Reveal() string { return string(s) }

// MaskedURL shows a URL with only its password masked: redis://user:****@host:6379/0.
// Whatever does not look like one, or leaves a doubt where its password ends, is masked whole.
func (s Secret) MaskedURL() string {
	u, err := url.Parse(string(s))
	if err != nil || u.Scheme == "" || u.Host == "" {
		return s.String()
	}
	if strings.Contains(u.Path+u.RawQuery+u.Fragment, "@") {
		return s.String() // an unescaped / or ? in the password ended the host early
	}
	shown := u.Scheme + "://"
	if u.User != nil {
		if _, hasPassword := u.User.Password(); hasPassword {
			shown += url.User(u.User.Username()).String() + ":"
		}
		shown += mask + "@" // a lone name may be a password without its colon
	}
	shown += u.Host + u.EscapedPath()
	if query := u.Query(); len(query) == 1 && query.Has("addr") { // more hosts
		shown += "?" + u.RawQuery
	} else if u.RawQuery != "" {
		shown += "?" + mask
	}
	return shown
}
