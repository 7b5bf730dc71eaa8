package feature

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// maxDepth bounds how deep an event may nest, its top object counting as one.
const maxDepth = 64

// A step goes from a value to one of its members, or, with index >= 0, elements.
type step struct {
	key   string
	index int
}

// parsePath reads a path such as
//
//	session.items[0].price
//	["page.load"]["said \"hi\""][2]
//
// A bare key ends at a dot or a bracket and holds none of . [ ] " or \; any other
// key is a JSON string in brackets, as in JSONPath. An error says at which
// character of the path the fault is, counted from one.
func parsePath(path string) ([]step, error) {
	var steps []step
	for p := 0; p < len(path); {
		s, next, err := nextStep(path, p)
		if err != nil {
			return nil, err
		}
		steps, p = append(steps, s), next
	}
	switch {
	case len(steps) == 0:
		return nil, fmt.Errorf("a path is empty; name the key in the event")
	case steps[0].index >= 0:
		return nil, fmt.Errorf("character 1: an event is an object, so a path begins with a key")
	case len(steps) > maxDepth:
		return nil, fmt.Errorf("%d steps deep; events nest at most %d", len(steps), maxDepth)
	}
	return steps, nil
}

// CheckPath says what keeps path from leading anywhere in an event of JSON.
func CheckPath(path string) error {
	_, err := parsePath(path)
	return err
}

// nextStep reads the step that begins at p and returns where the next one does.
func nextStep(path string, p int) (step, int, error) {
	if path[p] == '[' {
		return bracket(path, p)
	}
	start := p
	if p > 0 {
		if path[p] != '.' {
			return step{}, 0, fmt.Errorf("character %d: a dot or a bracket must follow ]", p+1)
		}
		start++
	}
	end := start
	for end < len(path) && !strings.ContainsRune(`.[]"\`, rune(path[end])) {
		end++
	}
	switch {
	case end == start:
		return step{}, 0, fmt.Errorf(`character %d: a key is missing; an odd one is quoted: ["a.b"]`, end+1)
	case end < len(path) && path[end] != '.' && path[end] != '[':
		return step{}, 0, fmt.Errorf(`character %d: %q inside a key; quote the key: ["a.b"]`, end+1, path[end])
	}
	return step{key: path[start:end], index: -1}, end, nil
}

// bracket reads [n] or ["key"].
func bracket(path string, p int) (step, int, error) {
	rest := path[p+1:]
	if strings.HasPrefix(rest, `"`) {
		end := closingQuote(rest)
		if end < 0 || !strings.HasPrefix(rest[end:], "]") {
			return step{}, 0, fmt.Errorf(`character %d: a quoted key must end in "]`, p+1)
		}
		var key string
		if err := json.Unmarshal([]byte(rest[:end]), &key); err != nil {
			return step{}, 0, fmt.Errorf("character %d: a quoted key is written as a JSON string: %w", p+2, err)
		}
		return step{key: key, index: -1}, p + 1 + end + 1, nil
	}
	digits, _, closed := strings.Cut(rest, "]")
	n, err := strconv.ParseUint(digits, 10, 31)
	if !closed || err != nil || len(digits) > 1 && digits[0] == '0' {
		return step{}, 0, fmt.Errorf(`character %d: in brackets stands an element's number or a quoted key: [0] or ["a.b"]`, p+2)
	}
	return step{index: int(n)}, p + 1 + len(digits) + 1, nil
}

// closingQuote returns the length of the quoted string s begins with, or -1.
func closingQuote(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

// PathFor returns the path to look for a feature at when nothing else is said: its
// name, which may lead into objects as pandas' json_normalize names columns
// (page.load), or, where that is no path, the top-level key of that name.
func PathFor(name string) string {
	if _, err := parsePath(name); err == nil {
		return name
	}
	quoted, _ := json.Marshal(name) // a string always marshals
	return "[" + string(quoted) + "]"
}
