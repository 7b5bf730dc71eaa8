package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// maxExpanded bounds what all variables of one file may expand to, so that a file of
// references to a long variable cannot fill the memory.
const maxExpanded = 4 << 20

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// An expander replaces ${VAR} and ${VAR:-default} in values; $$ is a dollar, and a dollar
// before anything else is itself. The default serves when VAR is unset or empty, as in a shell.
// What a variable holds is not expanded again.
type expander struct {
	lookup func(string) (string, bool)
	size   int // what has been expanded so far
}

// expand returns text with its variables replaced, and the names of those that were set.
func (e *expander) expand(text string) (value string, used []string, w *wrong) {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(text, "$")
		b.WriteString(before)
		if !found {
			return b.String(), used, nil
		}
		switch {
		case strings.HasPrefix(rest, "$"):
			b.WriteByte('$')
			text = rest[1:]
		case strings.HasPrefix(rest, "{"):
			inner, after, closed := strings.Cut(rest[1:], "}")
			if !closed {
				return "", nil, &wrong{"a ${ without its }", "close it, or write $${ for the characters themselves"}
			}
			value, name, w := e.variable(inner)
			if w != nil {
				return "", nil, w
			}
			b.WriteString(value)
			if name != "" && !slices.Contains(used, name) {
				used = append(used, name)
			}
			text = after
		default:
			b.WriteByte('$')
			text = rest
		}
	}
}

// variable looks up the inside of one ${...}; name is empty when the default served.
func (e *expander) variable(inner string) (value, name string, w *wrong) {
	name, fallback, hasDefault := strings.Cut(inner, ":-")
	if !variableName.MatchString(name) {
		return "", "", &wrong{fmt.Sprintf("${%s} does not name a variable", shorten(inner)),
			"write ${NAME} or ${NAME:-default}, and $${ for the characters themselves"}
	}
	if strings.Contains(fallback, "${") {
		return "", "", &wrong{"a variable inside the default of ${" + name + "}", "write a plain default: variables do not nest"}
	}
	value, isSet := e.lookup(name)
	switch {
	case hasDefault && value == "":
		value, name = fallback, ""
	case !isSet:
		return "", "", &wrong{"the environment variable " + name + " is not set",
			"set it, or give a default: ${" + name + ":-default}"}
	}
	if e.size += len(value); e.size > maxExpanded {
		return "", "", &wrong{"the file's variables hold more than 4 MiB", "keep settings short"}
	}
	return value, name, nil
}
