package feature

import (
	"encoding/binary"
	"slices"
)

// Events of a topic have their members in the same order, so the key that follows
// is mostly the one that followed in the last event. Comparing it takes two words
// and, unlike looking for its end, lets the processor run ahead. What was left out
// of the last events is still expected: see learn.

// A guess is a key as it stood in an event, with the closing quote and the colon.
type guess struct {
	want, mask [2]uint64
	length     int
	node       *node // nil: nobody wants this member
}

const (
	maxGuesses = 128 // an object
	maxGuessed = 16  // bytes of a guess
)

// at says whether the key behind the quote before p is g.
func (g *guess) at(data []byte, p int) bool {
	if p+maxGuessed > len(data) {
		return false
	}
	return (binary.LittleEndian.Uint64(data[p:])^g.want[0])&g.mask[0]|
		(binary.LittleEndian.Uint64(data[p+8:])^g.want[1])&g.mask[1] == 0
}

// otherKey reads a key and its colon that are not the ones expected at place: the
// next ones, where a member was left out, or a surprise to learn. It returns the
// place to expect next.
func (r *reader) otherKey(p int, n *node, place int) (m *node, next, after int) {
	guesses := r.scratch.guesses[n.id]
	if place+1 < len(guesses) {
		if g := &guesses[place+1]; g.at(r.data, p) {
			return g.node, p + g.length, place + 2
		}
	}
	m, next = r.key(p, n)
	if next < 0 {
		return m, next, place
	}
	next = r.colon(next)
	if next < 0 || next-p > maxGuessed || p+maxGuessed > len(r.data) || place == maxGuesses {
		return m, next, place
	}
	r.scratch.guesses[n.id] = learn(guesses, place, r.data[p:next], m)
	return m, next, place + 1
}

// learn puts the key in raw, from its first byte to the colon, in before what was
// expected at a place: that may only have been left out.
func learn(guesses []guess, place int, raw []byte, n *node) []guess {
	var want, mask [maxGuessed]byte
	for i := range copy(want[:], raw) {
		mask[i] = 0xff
	}
	g := guess{length: len(raw), node: n}
	for w := range 2 {
		g.want[w] = binary.LittleEndian.Uint64(want[8*w:])
		g.mask[w] = binary.LittleEndian.Uint64(mask[8*w:])
	}
	if len(guesses) == maxGuesses { // of keys that come and go: begin anew
		guesses = guesses[:place]
	}
	return slices.Insert(guesses, place, g)
}
