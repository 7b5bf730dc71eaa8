package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Bytes is a size: 64MiB, 1GB or a plain number of bytes.
type Bytes int64

// units run from the largest to the smallest and end with the plain byte. Kubernetes' short
// form (Mi) reads too; what is written is always the first name of a unit.
var units = []struct {
	names []string
	size  int64
}{
	{[]string{"TiB", "Ti"}, 1 << 40}, {[]string{"TB"}, 1e12},
	{[]string{"GiB", "Gi"}, 1 << 30}, {[]string{"GB"}, 1e9},
	{[]string{"MiB", "Mi"}, 1 << 20}, {[]string{"MB"}, 1e6},
	{[]string{"KiB", "Ki"}, 1 << 10}, {[]string{"KB"}, 1e3},
	{[]string{"B", ""}, 1},
}

// String gives the largest unit that divides the size: 64MiB.
func (b Bytes) String() string {
	for _, u := range units {
		if n := int64(b); n != 0 && n%u.size == 0 && u.size > 1 {
			return strconv.FormatInt(n/u.size, 10) + u.names[0]
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// MarshalText writes the size with its unit.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// UnmarshalText reads a size: digits and a unit, in any case, with or without a space between.
func (b *Bytes) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	digits := s[:len(s)-len(strings.TrimLeft(s, "0123456789"))]
	n, err := strconv.ParseInt(digits, 10, 64)
	if errors.Is(err, strconv.ErrRange) {
		return errors.New("larger than 8 EiB")
	}
	if err != nil {
		return fmt.Errorf("%q is not a size", s)
	}
	unit := strings.TrimSpace(s[len(digits):])
	for _, u := range units {
		for _, name := range u.names {
			if !strings.EqualFold(unit, name) {
				continue
			}
			if n > math.MaxInt64/u.size {
				return errors.New("larger than 8 EiB")
			}
			*b = Bytes(n * u.size)
			return nil
		}
	}
	return fmt.Errorf("%q is not a unit", unit)
}
