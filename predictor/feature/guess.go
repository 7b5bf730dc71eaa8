package feature

import "encoding/binary"

// Events of a topic have their members in the same order, so the key that follows
// is mostly the one that followed in the last event. Comparing it takes two words
// and, unlike looking for its end, lets the processor run ahead.

// A guess is a key as it stood in an event, its closing quote included.
type guess struct {
	want, mask [2]uint64
	length     int   // with the quote
	node       *node // nil: nobody wants this member
}

const (
	maxGuesses = 64 // an object
	maxGuessed = 16 // bytes of a key, with the quote
)

// at says whether the key behind the quote before p is g.
func (g *guess) at(data []byte, p int) bool {
	if p+maxGuessed > len(data) {
		return false
	}
	return (binary.LittleEndian.Uint64(data[p:])^g.want[0])&g.mask[0]|
		(binary.LittleEndian.Uint64(data[p+8:])^g.want[1])&g.mask[1] == 0
}

// otherKey reads a key that is not the one expected at place: the next one, where a
// member was left out, or a surprise to learn. It returns the place to expect next.
func (r *reader) otherKey(p int, n *node, place int) (m *node, next, after int) {
	guesses := r.scratch.guesses[n.id]
	if place+1 < len(guesses) {
		if g := &guesses[place+1]; g.at(r.data, p) {
			return g.node, p + g.length, place + 2
		}
	}
	m, next = r.key(p, n)
	if next < 0 || n.id == 0 {
		return m, next, place
	}
	guesses = learn(guesses, place, r.data[p:next], m)
	r.scratch.guesses[n.id] = guesses
	return m, next, min(place+1, len(guesses))
}

// learn expects the key in raw, closing quote included, at place i of its object.
func learn(guesses []guess, i int, raw []byte, n *node) []guess {
	if i >= maxGuesses || len(raw) > maxGuessed {
		return guesses
	}
	var want, mask [maxGuessed]byte
	copy(want[:], raw)
	for i := range raw {
		mask[i] = 0xff
	}
	g := guess{length: len(raw), node: n}
	for w := range 2 {
		g.want[w] = binary.LittleEndian.Uint64(want[8*w:])
		g.mask[w] = binary.LittleEndian.Uint64(mask[8*w:])
	}
	if i < len(guesses) {
		guesses[i] = g
		return guesses
	}
	return append(guesses, g)
}
