package forest

import (
	"encoding/json"
	"fmt"
)

// jsonTokens reads JSON, and the NaN and Infinity that XGBoost writes into it. Files
// of tens of megabytes are nearly all numbers, which it hands out as text: what is
// skipped is never parsed.
type jsonTokens struct {
	data  []byte
	pos   int
	state jsonState
	open  []byte // '{' or '[' a level
}

type jsonState uint8

const (
	wantValue jsonState = iota
	wantValueOrEnd
	wantName
	wantNameOrEnd
	wantComma // or the container's end
)

func (j *jsonTokens) at() int { return j.pos }

func (j *jsonTokens) next(t *token) error {
	c, ok := j.peek()
	if j.state == wantComma {
		switch {
		case len(j.open) == 0 && ok:
			return fmt.Errorf("more follows the document's end at byte %d", j.pos)
		case len(j.open) == 0:
			t.kind = end
			return nil
		case ok && c == ',':
			j.pos++
			j.state = wantValue
			if j.open[len(j.open)-1] == '{' {
				j.state = wantName
			}
			c, ok = j.peek()
		case ok && (c == '}' || c == ']'):
			return j.close(t, c)
		}
	}
	if !ok {
		return errCut
	}
	switch j.state {
	case wantNameOrEnd, wantName:
		if c == '}' && j.state == wantNameOrEnd {
			return j.close(t, c)
		}
		return j.name(t, c)
	case wantValueOrEnd, wantValue:
		if c == ']' && j.state == wantValueOrEnd {
			return j.close(t, c)
		}
		return j.value(t, c)
	}
	return j.wrong()
}

func (j *jsonTokens) wrong() error {
	return fmt.Errorf("not JSON at byte %d", j.pos)
}

// peek skips space and returns the byte that follows.
func (j *jsonTokens) peek() (byte, bool) {
	for j.pos < len(j.data) {
		switch c := j.data[j.pos]; c {
		case ' ', '\n', '\r', '\t':
			j.pos++
		default:
			return c, true
		}
	}
	return 0, false
}

func (j *jsonTokens) close(t *token, c byte) error {
	top := len(j.open) - 1
	t.kind = objectEnd
	if c == ']' {
		t.kind = arrayEnd
	}
	if (j.open[top] == '[') != (c == ']') {
		return j.wrong()
	}
	j.open = j.open[:top]
	j.pos++
	j.state = wantComma
	return nil
}

func (j *jsonTokens) name(t *token, c byte) error {
	if c != '"' {
		return j.wrong()
	}
	if err := j.str(t); err != nil {
		return err
	}
	if c, ok := j.peek(); !ok {
		return errCut
	} else if c != ':' {
		return j.wrong()
	}
	j.pos++
	j.state = wantValue
	return nil
}

func (j *jsonTokens) value(t *token, c byte) error {
	switch c {
	case '{', '[':
		if len(j.open) == maxDepth {
			return fmt.Errorf("nested more than %d levels deep at byte %d", maxDepth, j.pos)
		}
		j.open = append(j.open, c)
		j.pos++
		t.kind, j.state = objectStart, wantNameOrEnd
		if c == '[' {
			t.kind, j.state = arrayStart, wantValueOrEnd
		}
		return nil
	case '"':
		j.state = wantComma
		return j.str(t)
	}
	j.state = wantComma
	return j.word(t)
}

// word reads a number, true, false or null.
func (j *jsonTokens) word(t *token) error {
	start := j.pos
	for j.pos < len(j.data) && isWord[j.data[j.pos]] {
		j.pos++
	}
	t.text = j.data[start:j.pos]
	switch {
	case len(t.text) == 0:
		return j.wrong()
	case j.pos == len(j.data):
		return errCut // no document ends in a number
	case t.text[0] == '-' || t.text[0] >= '0' && t.text[0] <= '9':
		t.kind = literal
		return nil
	}
	switch string(t.text) {
	case "NaN", "Infinity":
		t.kind = literal
	case "true":
		t.kind, t.int = boolean, 1
	case "false":
		t.kind, t.int = boolean, 0
	case "null":
		t.kind = null
	default:
		return fmt.Errorf("not JSON at byte %d", start)
	}
	return nil
}

var isWord = func() (in [256]bool) {
	for _, c := range []byte("+-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") {
		in[c] = true
	}
	return in
}()

func (j *jsonTokens) str(t *token) error {
	t.kind = str
	start := j.pos
	escaped := false
	for j.pos++; j.pos < len(j.data); j.pos++ {
		switch j.data[j.pos] {
		case '\\':
			escaped = true
			j.pos++
		case '"':
			j.pos++
			if !escaped {
				t.text = j.data[start+1 : j.pos-1]
				return nil
			}
			var s string
			if err := json.Unmarshal(j.data[start:j.pos], &s); err != nil {
				return fmt.Errorf("string at byte %d: %w", start, err)
			}
			t.text = []byte(s)
			return nil
		}
	}
	return errCut
}
