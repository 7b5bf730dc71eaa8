package forest

import (
	"encoding/binary"
	"fmt"
	"math"
)

// ubjTokens reads UBJ (https://ubjson.org, big-endian), as much as XGBoost writes of
// it: arrays of one type with a length are [$d#L..., others [#L... or end in ].
// Objects end in }. A length never allocates: it is compared with what is left.
type ubjTokens struct {
	data []byte
	pos  int
	open []ubjLevel
	done bool
}

type ubjLevel struct {
	object  bool
	value   bool  // of an object: its name was read, its value is next
	counted bool  // of an array: left elements follow, no ]
	left    int64 // elements
	typed   byte  // of an array: each element's marker; 0 when each has its own
}

func (u *ubjTokens) at() int { return u.pos }

func (u *ubjTokens) next(t *token) error {
	if len(u.open) == 0 {
		return u.top(t)
	}
	level := &u.open[len(u.open)-1]
	if level.object && !level.value {
		return u.name(t, level)
	}
	if level.object {
		level.value = false
		return u.marked(t)
	}
	if level.counted {
		if level.left == 0 {
			return u.close(t, arrayEnd)
		}
		level.left--
		if level.typed != 0 {
			return u.value(t, level.typed)
		}
		return u.marked(t)
	}
	if u.pos < len(u.data) && u.data[u.pos] == ']' {
		u.pos++
		return u.close(t, arrayEnd)
	}
	return u.marked(t)
}

func (u *ubjTokens) top(t *token) error {
	if !u.done {
		u.done = true
		return u.marked(t)
	}
	if u.pos != len(u.data) {
		return fmt.Errorf("more follows the document's end at byte %d", u.pos)
	}
	t.kind = end
	return nil
}

func (u *ubjTokens) close(t *token, k kind) error {
	u.open = u.open[:len(u.open)-1]
	t.kind = k
	return nil
}

func (u *ubjTokens) name(t *token, level *ubjLevel) error {
	if u.pos < len(u.data) && u.data[u.pos] == '}' {
		u.pos++
		return u.close(t, objectEnd)
	}
	level.value = true
	return u.str(t)
}

// marked reads a value that its own marker precedes.
func (u *ubjTokens) marked(t *token) error {
	marker, err := u.take(1)
	if err != nil {
		return err
	}
	return u.value(t, marker[0])
}

func (u *ubjTokens) value(t *token, marker byte) error {
	switch marker {
	case '{':
		t.kind = objectStart
		return u.descend(ubjLevel{object: true})
	case '[':
		t.kind = arrayStart
		return u.array()
	case 'S':
		return u.str(t)
	case 'Z':
		t.kind = null
		return nil
	case 'T', 'F':
		t.kind, t.int = boolean, 0
		if marker == 'T' {
			t.int = 1
		}
		return nil
	case 'd', 'D':
		return u.float(t, marker)
	}
	v, err := u.integer(marker)
	t.kind, t.int = whole, v
	return err
}

func (u *ubjTokens) descend(level ubjLevel) error {
	if len(u.open) == maxDepth {
		return fmt.Errorf("nested more than %d levels deep at byte %d", maxDepth, u.pos)
	}
	u.open = append(u.open, level)
	return nil
}

func (u *ubjTokens) array() error {
	var level ubjLevel
	header := u.data[u.pos:]
	smallest := int64(1) // bytes an element takes: the marker
	if len(header) > 1 && header[0] == '$' {
		level.typed = header[1]
		if smallest = ubjSize(level.typed); smallest == 0 {
			return fmt.Errorf("array of type %q at byte %d", level.typed, u.pos)
		}
		u.pos += 2
	}
	if u.pos < len(u.data) && u.data[u.pos] == '#' {
		u.pos++
		n, err := u.length()
		if err != nil {
			return err
		}
		if left := int64(len(u.data) - u.pos); n > left/smallest {
			return fmt.Errorf("array of %d elements at byte %d, where %d bytes are left", n, u.pos, left)
		}
		level.counted, level.left = true, n
	} else if level.typed != 0 {
		return fmt.Errorf("typed array without a length at byte %d", u.pos)
	}
	return u.descend(level)
}

// str reads a length and as many bytes.
func (u *ubjTokens) str(t *token) error {
	n, err := u.length()
	if err != nil {
		return err
	}
	t.kind = str
	t.text, err = u.take(n)
	return err
}

func (u *ubjTokens) length() (int64, error) {
	marker, err := u.take(1)
	if err != nil {
		return 0, err
	}
	n, err := u.integer(marker[0])
	if err == nil && n < 0 {
		err = fmt.Errorf("length %d at byte %d", n, u.pos)
	}
	return n, err
}

func (u *ubjTokens) integer(marker byte) (int64, error) {
	size := ubjSize(marker)
	if size == 0 || marker == 'd' || marker == 'D' {
		return 0, fmt.Errorf("not UBJ: marker %q at byte %d", marker, u.pos-1)
	}
	b, err := u.take(size)
	if err != nil {
		return 0, err
	}
	switch marker {
	case 'U':
		return int64(b[0]), nil
	case 'I':
		return int64(int16(binary.BigEndian.Uint16(b))), nil
	case 'l':
		return int64(int32(binary.BigEndian.Uint32(b))), nil
	case 'L':
		return int64(binary.BigEndian.Uint64(b)), nil
	}
	return int64(int8(b[0])), nil
}

func (u *ubjTokens) float(t *token, marker byte) error {
	b, err := u.take(ubjSize(marker))
	if err != nil {
		return err
	}
	if marker == 'd' {
		t.kind, t.float = single, float64(math.Float32frombits(binary.BigEndian.Uint32(b)))
	} else {
		t.kind, t.float = double, math.Float64frombits(binary.BigEndian.Uint64(b))
	}
	return nil
}

// ubjSize is the bytes a number of this type takes; 0 when it is none.
func ubjSize(marker byte) int64 {
	switch marker {
	case 'i', 'U', 'C':
		return 1
	case 'I':
		return 2
	case 'l', 'd':
		return 4
	case 'L', 'D':
		return 8
	}
	return 0
}

func (u *ubjTokens) take(n int64) ([]byte, error) {
	if n > int64(len(u.data)-u.pos) {
		return nil, errCut
	}
	b := u.data[u.pos : u.pos+int(n)]
	u.pos += int(n)
	return b, nil
}
