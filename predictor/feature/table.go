package feature

import (
	"errors"
	"fmt"
	"slices"
)

// A Table finds features in the columns of a table, as [JSON] finds them in an event: a
// column is what a feature's path says, or, where no column does, the feature's name.
// The entity and the event time are columns by their paths. It is immutable.
type Table struct {
	plan    *JSON
	columns []string
	targets [][]target // by column
	absent  []string   // features that no column holds
}

// NewTable prepares the extraction from tables with these columns. Its error joins
// every fault: besides NewJSON's a column that is wanted and there twice, and a column
// that a required feature, the entity or the event time wants and is not there.
func NewTable(columns []string, features []Feature, c JSONConfig) (*Table, error) {
	plan, err := NewJSON(features, c)
	if err != nil {
		return nil, err
	}
	t := &Table{plan: plan, columns: slices.Clone(columns), targets: make([][]target, len(columns))}
	var faults []error
	place := func(what, at, name string, needed bool, to target) {
		path := at
		column := slices.Index(columns, path)
		if column < 0 {
			path, column = name, slices.Index(columns, name)
		}
		switch {
		case column < 0 && needed:
			faults = append(faults, fmt.Errorf("%s: no column %s", what, named(at, name)))
		case column < 0:
			t.absent = append(t.absent, name)
		case slices.Index(columns[column+1:], path) >= 0:
			faults = append(faults, fmt.Errorf("%s: two columns are named %q; rename one", what, path))
		default:
			t.targets[column] = append(t.targets[column], to)
		}
	}
	for i, f := range features {
		kind := numberText
		if len(f.Categories) > 0 {
			kind = category
		}
		place(fmt.Sprintf("feature %q", f.Name), f.Path, f.Name, f.Required, target{kind, i})
	}
	if c.Entity != "" {
		place("entity", c.Entity, c.Entity, true, target{kind: entityField})
	}
	if c.EventTime != "" {
		place("event time", c.EventTime, c.EventTime, true, target{kind: timeField})
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return t, nil
}

func named(path, name string) string {
	if path == name {
		return fmt.Sprintf("is named %q", path)
	}
	return fmt.Sprintf("is named %q or %q", path, name)
}

// Absent names the features that no column holds; all of them have a policy for that.
func (t *Table) Absent() []string { return t.absent }

// Wanted reports whether a column holds anything that is wanted.
func (t *Table) Wanted(column int) bool { return len(t.targets[column]) > 0 }

// cell takes a column's text: an empty one is absent, true and false are a boolean
// however they are capitalised, and else it is worth what a string with Parse is.
func (r *reader) cell(targets []target, text []byte) {
	if len(text) == 0 {
		return
	}
	for _, t := range targets {
		switch t.kind {
		case entityField:
			r.entity = text
		case timeField:
			r.takeTime(text, true)
		case category:
			r.takeCategory(t, text)
		default:
			r.row[t.column] = cellNumber(text)
		}
	}
}

func cellNumber(text []byte) float64 {
	switch string(text) {
	case "true", "True", "TRUE":
		return 1
	case "false", "False", "FALSE":
		return 0
	}
	return numberIn(text)
}
