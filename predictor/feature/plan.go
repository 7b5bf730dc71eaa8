package feature

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// A TimeUnit is how an event writes its time.
type TimeUnit string

// The units of an event's time. Numbers count from 1970, may have a fraction and
// may stand in a string.
const (
	RFC3339      TimeUnit = "rfc3339" // a string; the unit when none is given
	Seconds      TimeUnit = "s"
	Milliseconds TimeUnit = "ms"
	Microseconds TimeUnit = "us"
)

// A JSONConfig says where the pipeline's own fields are.
type JSONConfig struct {
	Entity    string   // path of what a prediction is about; empty: events name none
	EventTime string   // path of the event's time; empty: events tell none
	TimeUnit  TimeUnit // of EventTime
}

// A node is one place in an event that a path leads to or through.
type node struct {
	id      int // from one; zero is nothing's
	key     string
	seen    uint64   // its bit in the set of members seen; those past 63 share one
	plain   int      // the column, when all that is wanted here is one number; else -1
	targets []target // what takes the value here
	below   []target // what lies deeper

	members  []*node // when the value is an object
	table    keyTable
	elements []element // when it is an array, by index
}

type element struct {
	index int
	node  *node
}

// A target takes the value of one place: a column of the row or a field.
type target struct {
	kind   targetKind
	column int
}

type targetKind uint8

const (
	number     targetKind = iota
	numberText            // a number, or a string holding one
	category              // the position of the value's text
	entityField
	timeField
)

// place adds a target at the end of a path, making the nodes that lead there.
func (n *node) place(path []step, t target) {
	if len(path) == 0 {
		n.targets = append(n.targets, t)
		return
	}
	n.below = append(n.below, t)
	n.child(path[0]).place(path[1:], t)
}

func (n *node) child(s step) *node {
	if s.index < 0 {
		i := slices.IndexFunc(n.members, func(m *node) bool { return m.key == s.key })
		if i < 0 {
			i = len(n.members)
			n.members = append(n.members, &node{key: s.key, seen: 1 << min(i, 63)})
		}
		return n.members[i]
	}
	i, found := slices.BinarySearchFunc(n.elements, s.index, func(e element, index int) int { return e.index - index })
	if !found {
		n.elements = slices.Insert(n.elements, i, element{s.index, &node{}})
	}
	return n.elements[i].node
}

// compile finishes a node and all below it once every target is placed.
func (n *node) compile(id int) int {
	n.id = id
	n.plain = -1
	if len(n.targets) == 1 && n.targets[0].kind == number && len(n.below) == 0 {
		n.plain = n.targets[0].column
	}
	n.table = newKeyTable(n.members)
	for _, m := range n.members {
		id = m.compile(id + 1)
	}
	for _, e := range n.elements {
		id = e.node.compile(id + 1)
	}
	return id
}

// NewJSON prepares the extraction of features, one a column in their order. Its
// error joins every fault: a name used twice or missing, a category listed twice,
// a path that does not parse, a unit that is none.
func NewJSON(features []Feature, c JSONConfig) (*JSON, error) {
	j := &JSON{features: slices.Clone(features), categories: make([]map[string]int, len(features)),
		standIn: make([]float64, len(features)), unit: c.TimeUnit, config: c}
	var faults []error
	place := func(what, path string, t target) {
		steps, err := parsePath(path)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: path %q: %w", what, path, err))
			return
		}
		j.root.place(steps, t)
	}
	names := make(map[string]int)
	for i, f := range features {
		if first, twice := names[f.Name]; twice {
			faults = append(faults, fmt.Errorf("feature %q is both number %d and number %d; drop one or rename it", f.Name, first+1, i+1))
		} else if f.Name == "" {
			faults = append(faults, fmt.Errorf("feature number %d has no name", i+1))
		}
		names[f.Name] = i
		j.standIn[i] = f.Missing
		if f.Required { // only an unknown category gets this far
			j.standIn[i] = math.NaN()
		}
		kind := number
		if len(f.Categories) > 0 {
			kind = category
			var err error
			if j.categories[i], err = codes(f.Categories); err != nil {
				faults = append(faults, fmt.Errorf("feature %q: %w", f.Name, err))
			}
		} else if f.Parse {
			kind = numberText
		}
		place(fmt.Sprintf("feature %q", f.Name), f.Path, target{kind, i})
	}
	if c.Entity != "" {
		place("entity", c.Entity, target{kind: entityField})
	}
	if c.EventTime != "" {
		place("event time", c.EventTime, target{kind: timeField})
	}
	switch c.TimeUnit {
	case "":
		j.unit = RFC3339
	case RFC3339, Seconds, Milliseconds, Microseconds:
	default:
		faults = append(faults, fmt.Errorf("event time: unit %q; it is rfc3339, s, ms or us", c.TimeUnit))
	}
	j.nodes = j.root.compile(1) + 1
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return j, nil
}

// codes numbers categories by position.
func codes(categories []string) (map[string]int, error) {
	m := make(map[string]int, len(categories))
	for i, c := range categories {
		if first, twice := m[c]; twice {
			return nil, fmt.Errorf("category %q is both number %d and number %d; the value would be ambiguous", c, first, i)
		}
		m[c] = i
	}
	return m, nil
}
