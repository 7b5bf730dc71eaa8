// Package config reads a YAML file into a struct the way an operator expects:
// unknown keys refused, variables expanded, where each value came from remembered,
// and every fault found at once, with its line, key, value and mend.
package config

import (
	"fmt"
	"strings"
)

// A Fault is one mistake in a configuration.
type Fault struct {
	Path    string // the key, dotted: kafka.brokers; empty when the file as a whole is at fault
	Value   string // as given; empty when the fault is an absence or the value must not be seen
	Problem string // what is wrong
	Mend    string // what to do about it
	Line    int    // in the file; 0 when the value did not come from it
	Source  string // where else the value came from: "env SCRY_NAME", "flag --set"
}

func (f Fault) Error() string {
	var b strings.Builder
	switch {
	case f.Line > 0:
		fmt.Fprintf(&b, "line %d: ", f.Line)
	case f.Source != "":
		b.WriteString(f.Source + ": ")
	}
	if f.Path != "" {
		b.WriteString(shorten(f.Path))
		if f.Value != "" {
			fmt.Fprintf(&b, ": %q", shorten(f.Value))
		}
		b.WriteString(": ")
	}
	b.WriteString(f.Problem)
	if f.Mend != "" {
		b.WriteString("; " + f.Mend)
	}
	return b.String()
}

// shorten keeps a fault on a line of a terminal whatever the file holds.
func shorten(s string) string {
	const most = 120
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// Faults collects what Validate methods find. The zero value is ready to use.
type Faults []Fault

// Add notes one fault.
func (f *Faults) Add(path, value, problem, mend string) {
	*f = append(*f, Fault{Path: path, Value: value, Problem: problem, Mend: mend})
}

func (f Faults) Error() string {
	s := make([]string, len(f))
	for i := range f {
		s[i] = f[i].Error()
	}
	return strings.Join(s, "\n")
}
