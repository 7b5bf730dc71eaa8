package feature

import "math/bits"

// JSON extracts rows from events that are JSON objects. It is an [Extractor].
type JSON struct {
	root       node
	features   []Feature
	categories []map[string]int // by column; nil: not a categorical feature
	standIn    []float64        // by column: the value when there is none
	nodes      int
	unit       TimeUnit
	config     JSONConfig
}

var _ Extractor = (*JSON)(nil)

// Extract implements [Extractor]. len(row) is the number of features.
func (j *JSON) Extract(value []byte, row []float64, s *Scratch) (Fields, error) {
	row = row[:len(j.features)]
	for i := range row {
		row[i] = absent.nan()
	}
	if s.plan != j {
		s.plan, s.guesses = j, make([][]guess, j.nodes)
	}
	r := reader{data: value, row: row, plan: j, scratch: s}
	p := r.space(0)
	if r.at(p) != '{' {
		r.fail(p, "an event is a JSON object; { expected")
	} else if p = r.object(p+1, &j.root, 1); p >= 0 {
		if p = r.space(p); p < len(value) {
			r.fail(p, "something follows the event")
		}
	}
	if r.fault != "" {
		return Fields{}, r.malformed()
	}
	return r.settle()
}

// A reader goes over one event once. Its methods take a position and return the
// one after what they read, or, having noted a fault, one below zero.
type reader struct {
	data    []byte
	row     []float64
	plan    *JSON
	scratch *Scratch

	entity      []byte
	entityFault string
	millis      int64
	hasTime     bool
	timeFault   string

	fault   string
	faultAt int
}

// object reads an object from behind its brace, n saying what is wanted of it.
func (r *reader) object(p int, n *node, depth int) int {
	if depth > maxDepth {
		return r.fail(p-1, tooDeep)
	}
	p = r.space(p)
	if r.at(p) == '}' {
		return p + 1
	}
	var seen uint64
	guesses, place := r.scratch.guesses[n.id], 0
	for {
		if r.at(p) != '"' {
			return r.fail(p, "a key expected")
		}
		p++
		var m *node
		if n == &nothing {
			if p, _ = r.text(p); p >= 0 {
				p = r.colon(p)
			}
		} else if place < len(guesses) && guesses[place].at(r.data, p) {
			m = guesses[place].node
			p += guesses[place].length
			place++
		} else {
			m, p, place = r.otherKey(p, n, place)
			guesses = r.scratch.guesses[n.id]
		}
		if p < 0 {
			return p
		}
		p = r.space(p)
		if m == nil {
			p = r.skip(p, depth)
		} else if f, next := r.short(p, m.plain); next >= 0 {
			r.row[m.plain] = f
			p = next
		} else {
			if seen&m.seen != 0 {
				r.forget(m.below) // the last of two members with one key counts
			}
			seen |= m.seen
			p = r.value(p, m, depth)
		}
		if p < 0 {
			return p
		}
		if p+1 < len(r.data) && r.data[p] == ',' && r.data[p+1] == '"' { // as most go on
			p++
			continue
		}
		p = r.space(p)
		switch r.at(p) {
		case ',':
			p = r.space(p + 1)
		case '}':
			return p + 1
		default:
			return r.fail(p, ", or } expected")
		}
	}
}

// colon passes over the colon after a key.
func (r *reader) colon(p int) int {
	if p = r.space(p); r.at(p) != ':' {
		return r.fail(p, ": expected after a key")
	}
	return p + 1
}

// key reads a key from behind its opening quote to behind its closing one, and
// finds what n wants of that member: nil for nothing.
func (r *reader) key(p int, n *node) (*node, int) {
	x := r.word(p)
	if m := special(x); m != 0 {
		at := bits.TrailingZeros64(m) &^ 7
		if byte(x>>(at&63)) == '"' {
			x &= 1<<(at&63) - 1
			end := p + at>>3
			return n.table.find(x, x, r.data[p:end]), end + 1
		}
	}
	next, escaped := r.text(p)
	if next < 0 {
		return nil, next
	}
	key := r.data[p : next-1]
	if escaped {
		mark := len(r.scratch.buf)
		r.scratch.buf = unescape(r.scratch.buf, key)
		key = r.scratch.buf[mark:]
		r.scratch.buf = r.scratch.buf[:mark]
	}
	head, tail := ends(key)
	return n.table.find(head, tail, key), next
}

// array reads an array from behind its bracket; wanted are elements by index.
func (r *reader) array(p int, wanted []element, depth int) int {
	if depth > maxDepth {
		return r.fail(p-1, tooDeep)
	}
	p = r.space(p)
	if r.at(p) == ']' {
		return p + 1
	}
	for i := 0; ; i++ {
		if len(wanted) > 0 && wanted[0].index == i {
			p = r.value(p, wanted[0].node, depth)
			wanted = wanted[1:]
		} else {
			p = r.skip(p, depth)
		}
		if p < 0 {
			return p
		}
		p = r.space(p)
		switch r.at(p) {
		case ',':
			p = r.space(p + 1)
		case ']':
			return p + 1
		default:
			return r.fail(p, ", or ] expected")
		}
	}
}

// nothing is the node of an object nobody wants anything of.
var nothing node

// skip checks a value nobody wants, in a container at the given depth.
func (r *reader) skip(p, depth int) int {
	switch r.at(p) {
	case '"':
		p, _ = r.text(p + 1)
		return p
	case '{':
		return r.object(p+1, &nothing, depth+1)
	case '[':
		return r.array(p+1, nil, depth+1)
	case 't', 'f', 'n':
		return r.literal(p)
	}
	_, p = r.decimal(p)
	return p
}

// literal reads true, false or null.
func (r *reader) literal(p int) int {
	x := r.word(p)
	switch {
	case uint32(x) == 't'|'r'<<8|'u'<<16|'e'<<24, uint32(x) == 'n'|'u'<<8|'l'<<16|'l'<<24:
		return p + 4
	case x<<24 == 'f'<<24|'a'<<32|'l'<<40|'s'<<48|'e'<<56:
		return p + 5
	}
	return r.fail(p, "a value expected")
}
