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
	Path    string // the key, dotted: kafka.brokers
	Value   string // as given; empty when the fault is an absence
	Problem string // what is wrong
	Mend    string // what to do about it
	Line    int    // in the file; 0 when the value did not come from it
}

func (f Fault) Error() string {
	var b strings.Builder
	if f.Line > 0 {
		fmt.Fprintf(&b, "line %d: ", f.Line)
	}
	b.WriteString(f.Path)
	if f.Value != "" {
		fmt.Fprintf(&b, ": %q", f.Value)
	}
	fmt.Fprintf(&b, ": %s; %s", f.Problem, f.Mend)
	return b.String()
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
