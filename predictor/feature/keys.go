package feature

import (
	"encoding/binary"
	"math/bits"
)

// A keyTable finds the node of a member's key. Keys are compared as their first
// and last eight bytes and their length, which is all there is to those of up to
// sixteen; it is open addressing, at most half full, so that most keys nobody
// wants cost one look.
type keyTable struct {
	slots []slot // a power of two; nil: no key is wanted
	shift uint8
}

type slot struct {
	head, tail uint64
	key        string
	node       *node // nil: empty
}

func newKeyTable(nodes []*node) keyTable {
	if len(nodes) == 0 {
		return keyTable{}
	}
	width := bits.Len(uint(2*len(nodes) - 1))
	t := keyTable{slots: make([]slot, 1<<width), shift: uint8(64 - width)}
	for _, n := range nodes {
		head, tail := ends([]byte(n.key))
		i := t.home(head, tail, len(n.key))
		for t.slots[i].node != nil {
			i = (i + 1) & (len(t.slots) - 1)
		}
		t.slots[i] = slot{head, tail, n.key, n}
	}
	return t
}

// ends returns the first and the last eight bytes of a key, little-endian; a
// shorter key is padded with zeros and is both.
func ends(key []byte) (head, tail uint64) {
	if len(key) < 8 {
		var b [8]byte
		copy(b[:], key)
		head = binary.LittleEndian.Uint64(b[:])
		return head, head
	}
	return binary.LittleEndian.Uint64(key), binary.LittleEndian.Uint64(key[len(key)-8:])
}

// home is where a key's search begins. The multipliers are odd with well mixed
// bits: the golden ratio's and the silver ratio's fractions.
func (t *keyTable) home(head, tail uint64, n int) int {
	h := (head ^ uint64(n)) * 0x9e3779b97f4a7c15
	h = (h ^ tail) * 0x6a09e667f3bcc909
	return int(h >> (t.shift & 63))
}

// find returns the node of a key, nil when nobody wants it.
func (t *keyTable) find(head, tail uint64, key []byte) *node {
	if len(t.slots) == 0 {
		return nil
	}
	i := t.home(head, tail, len(key))
	for {
		s := &t.slots[i&(len(t.slots)-1)]
		if s.node == nil {
			return nil
		}
		if s.head == head && s.tail == tail && len(s.key) == len(key) && (len(key) <= 16 || s.key == string(key)) {
			return s.node
		}
		i++
	}
}
