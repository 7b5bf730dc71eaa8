package feature

import "fmt"

// at returns the byte at p, zero past the end.
func (r *reader) at(p int) byte {
	if p < len(r.data) {
		return r.data[p]
	}
	return 0
}

// space passes over white space.
func (r *reader) space(p int) int {
	if p < len(r.data) && r.data[p] > ' ' {
		return p
	}
	return r.spaces(p)
}

//go:noinline
func (r *reader) spaces(p int) int {
	for p < len(r.data) {
		switch r.data[p] {
		case ' ', '\n', '\r', '\t':
			p++
		default:
			return p
		}
	}
	return p
}

// fail notes the fault that ends the reading and returns a position below zero.
//
//go:noinline
func (r *reader) fail(p int, what string) int {
	if p >= len(r.data) {
		p, what = len(r.data), "it ends too early"
	}
	r.fault, r.faultAt = what, p
	return -1
}

func (r *reader) malformed() error {
	return fmt.Errorf("%w: byte %d: %s", ErrMalformed, r.faultAt, r.fault)
}

const tooDeep = "nested deeper than 64"
