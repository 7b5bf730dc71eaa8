package config

// Bytes is a size: 64MiB, 1GB or a plain number of bytes.
type Bytes int64

// Secret is a value that must not be seen: printing it gives asterisks. Reveal gives the value.
type Secret string

// String masks the value.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "****"
}

// GoString masks the value.
func (s Secret) GoString() string { return `"` + s.String() + `"` }

// Reveal returns the value itself, for the one place that needs it.
func (s Secret) Reveal() string { return string(s) }
