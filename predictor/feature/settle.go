package feature

import (
	"fmt"
	"math"
)

// A mark says why a column has no value. While an event is read it stands in the
// row as the payload of a NaN, which no JSON number is, so that a later member with
// the same key can still put a value in its place.
type mark uint8

const (
	absent mark = iota
	unknown
	container // an object or an array
	textual   // a string for a number
	notNumber // a string that holds none
	outOfRange
)

const markBits = 0x7ff8_5c72_0000_0000

func (m mark) nan() float64 { return math.Float64frombits(markBits | uint64(m)) }

func markOf(v float64) mark { return mark(math.Float64bits(v)) }

// settle ends an event: what has no value gets its stand-in, or is a fault.
func (r *reader) settle() (Fields, error) {
	if r.entityFault != "" {
		return Fields{}, fmt.Errorf("%w: entity (%s): %s", ErrMalformed, r.plan.config.Entity, r.entityFault)
	}
	if r.timeFault != "" {
		return Fields{}, fmt.Errorf("%w: event time (%s, %s): %s", ErrMalformed, r.plan.config.EventTime, r.plan.unit, r.timeFault)
	}
	for _, v := range r.row {
		if v != v {
			if err := r.standIn(); err != nil {
				return Fields{}, err
			}
			break
		}
	}
	return Fields{Entity: r.entity, EventTime: r.millis, HasTime: r.hasTime}, nil
}

// standIn looks for faults first: a refused event is not counted.
func (r *reader) standIn() error {
	for i, v := range r.row {
		if v == v {
			continue
		}
		f := &r.plan.features[i]
		switch m := markOf(v); {
		case m > unknown:
			return fmt.Errorf("%w: feature %s (%s): %s", ErrMalformed, f.Name, f.Path, m)
		case m == absent && f.Required:
			return fmt.Errorf("%w: %s (%s)", ErrMissing, f.Name, f.Path)
		}
	}
	for i, v := range r.row {
		if v == v {
			continue
		}
		if markOf(v) == absent {
			r.scratch.Missing[i]++
		} else {
			r.scratch.Unknown[i]++
		}
		r.row[i] = r.plan.standIn[i]
	}
	return nil
}

func (m mark) String() string {
	switch m {
	case container:
		return aContainer
	case textual:
		return "a string where a number is wanted; if it holds one, set parse: true; if it names a category, list the categories"
	case notNumber:
		return "a string that does not hold a number"
	}
	return "a number too large for a float64"
}
