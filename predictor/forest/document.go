package forest

import (
	"fmt"
	"math"
	"strconv"
)

// document reads values by the schema that the caller expects.
type document struct {
	src tokens
	tok token
	put bool // tok was put back
}

func (d *document) next() error {
	if d.put {
		d.put = false
		return nil
	}
	return d.src.next(&d.tok)
}

// expect reads a token and refuses any but the wanted.
func (d *document) expect(want kind, name string) error {
	if err := d.next(); err != nil {
		return err
	}
	if d.tok.kind != want {
		return d.unexpected(name)
	}
	return nil
}

func (d *document) unexpected(want string) error {
	return fmt.Errorf("expected %s before byte %d", want, d.src.at())
}

// object calls member for each name of an object; member reads its value.
func (d *document) object(member func(name string) error) error {
	if err := d.expect(objectStart, "an object"); err != nil {
		return err
	}
	for {
		if err := d.next(); err != nil {
			return err
		}
		if d.tok.kind == objectEnd {
			return nil
		}
		name := string(d.tok.text)
		if err := within(short(name), member(name)); err != nil {
			return err
		}
	}
}

// array calls element for each element of an array; element reads it.
func (d *document) array(element func(i int) error) error {
	if err := d.expect(arrayStart, "an array"); err != nil {
		return err
	}
	for i := 0; ; i++ {
		if err := d.next(); err != nil {
			return err
		}
		if d.tok.kind == arrayEnd {
			return nil
		}
		d.put = true
		if err := element(i); err != nil {
			return within("["+strconv.Itoa(i)+"]", err)
		}
	}
}

// each is array for elements of one token, without a call to find each.
func (d *document) each(element func() error) error {
	if err := d.expect(arrayStart, "an array"); err != nil {
		return err
	}
	for i := 0; ; i++ {
		if err := d.next(); err != nil {
			return err
		}
		if d.tok.kind == arrayEnd {
			return nil
		}
		if err := element(); err != nil {
			return within("["+strconv.Itoa(i)+"]", err)
		}
	}
}

func (d *document) skip() error {
	for depth := 0; ; {
		if err := d.next(); err != nil {
			return err
		}
		switch d.tok.kind {
		case objectStart, arrayStart:
			depth++
		case objectEnd, arrayEnd:
			depth--
		case end:
			return errCut
		}
		if depth == 0 {
			return nil
		}
	}
}

func (d *document) text() (string, error) {
	err := d.expect(str, "a string")
	return string(d.tok.text), err
}

func (d *document) integer() (int64, error) {
	if err := d.next(); err != nil {
		return 0, err
	}
	return d.asInt()
}

func (d *document) texts() ([]string, error) {
	var all []string
	err := d.each(func() error {
		if d.tok.kind != str {
			return d.unexpected("a string")
		}
		all = append(all, string(d.tok.text))
		return nil
	})
	return all, err
}

// ints reads an array of whole numbers or booleans into into, from its start.
func (d *document) ints(into *[]int32) error {
	all := (*into)[:0]
	err := d.each(func() error {
		v, err := d.asInt()
		if err != nil {
			return err
		}
		if v != int64(int32(v)) {
			return fmt.Errorf("%d is out of range", v)
		}
		all = append(all, int32(v))
		return nil
	})
	*into = all
	return err
}

func (d *document) floats(into *[]float32) error {
	all := (*into)[:0]
	err := d.each(func() error {
		v, err := d.asFloat32()
		if err != nil {
			return err
		}
		all = append(all, v)
		return nil
	})
	*into = all
	return err
}

func (d *document) asInt() (int64, error) {
	switch d.tok.kind {
	case whole, boolean:
		return d.tok.int, nil
	case literal:
		v, err := strconv.ParseInt(string(d.tok.text), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%q is not a whole number", short(string(d.tok.text)))
		}
		return v, nil
	}
	return 0, d.unexpected("a whole number")
}

func (d *document) asFloat32() (float32, error) {
	switch d.tok.kind {
	case whole:
		return float32(d.tok.int), nil
	case single, double:
		return float32(d.tok.float), nil
	case literal:
		v, err := strconv.ParseFloat(string(d.tok.text), 32)
		if err != nil {
			return 0, fmt.Errorf("%q is not a float32", short(string(d.tok.text)))
		}
		return float32(v), nil
	}
	return 0, d.unexpected("a number")
}

// category spells a category as text: a string as it is, numbers always in the same
// way (1 and 1.0 are both "1"), booleans true and false.
func (d *document) category() (string, error) {
	switch d.tok.kind {
	case str:
		return string(d.tok.text), nil
	case whole:
		return strconv.FormatInt(d.tok.int, 10), nil
	case boolean:
		return strconv.FormatBool(d.tok.int == 1), nil
	case single:
		return formatNumber(d.tok.float, 32), nil
	case double:
		return formatNumber(d.tok.float, 64), nil
	case literal:
		if v, err := strconv.ParseInt(string(d.tok.text), 10, 64); err == nil {
			return strconv.FormatInt(v, 10), nil
		}
		v, err := strconv.ParseFloat(string(d.tok.text), 64)
		if err != nil {
			return "", fmt.Errorf("%q is not a number", short(string(d.tok.text)))
		}
		return formatNumber(v, 64), nil
	}
	return "", d.unexpected("a category")
}

func formatNumber(v float64, bits int) string {
	if math.Abs(v) < 1e15 {
		return strconv.FormatFloat(v, 'f', -1, bits)
	}
	return strconv.FormatFloat(v, 'g', -1, bits)
}
