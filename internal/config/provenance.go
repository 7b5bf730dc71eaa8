package config

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// An Origin is where a value came from.
type Origin struct {
	Source string // "default", "scry.yaml:12", "env SCRY_NAME", "flag --set"
	Line   int    // in the file, else 0
}

// Provenance remembers where the values of a configuration came from, and the faults met
// while they were read. A key without an origin has its default.
type Provenance struct {
	origins map[string]Origin
	faults  Faults
	blamed  map[string]bool // keys that have a fault already
	meant   map[string]bool // keys that an unknown one was probably meant for
}

func newProvenance() *Provenance {
	return &Provenance{
		origins: make(map[string]Origin),
		blamed:  make(map[string]bool),
		meant:   make(map[string]bool),
	}
}

// Origin returns where the value at path came from.
func (p *Provenance) Origin(path string) Origin {
	if o, ok := p.origins[path]; ok {
		return o
	}
	return Origin{Source: "default"}
}

// Default notes that the value at path is a default worked out from other keys. Faults of
// such a value are those other keys' and are not told twice.
func (p *Provenance) Default(path, from string) {
	p.origins[path] = Origin{Source: "default (" + from + ")"}
	p.blamed[path] = true
}

// Join returns the faults met while reading together with those that validation found, each
// with its line, in the order of the lines; the faults of no line come last. A key that could
// not be read is not blamed again for the value it lacks.
func (p *Provenance) Join(found Faults) Faults {
	all := slices.Clone(p.faults)
	for _, f := range found {
		_, isSet := p.origins[f.Path]
		if p.isBlamed(f.Path) || p.meant[f.Path] && !isSet {
			continue
		}
		o := p.nearestOrigin(f.Path)
		f.Line = o.Line
		if o.Line == 0 && o.Source != "default" {
			f.Source = o.Source
		}
		all = append(all, f)
	}
	slices.SortStableFunc(all, func(a, b Fault) int {
		if (a.Line == 0) != (b.Line == 0) {
			return cmp.Compare(b.Line, a.Line)
		}
		return cmp.Compare(a.Line, b.Line)
	})
	return all
}

// isBlamed tells whether the value at path, or a section around it, could not be read. A list
// with a bad element is blamed for what it lacks, its other elements are not.
func (p *Provenance) isBlamed(path string) bool {
	for ; path != ""; path, _ = splitPath(path) {
		if p.blamed[path] {
			return true
		}
	}
	return false
}

// nearestOrigin is that of the value, or of the list or section that holds it or should.
func (p *Provenance) nearestOrigin(path string) Origin {
	for ; path != ""; path = parent(path) {
		if o, ok := p.origins[path]; ok {
			return o
		}
	}
	return Origin{Source: "default"}
}

// forget drops what was noted about path and the elements under it, before a source of a
// higher rank replaces them.
func (p *Provenance) forget(path string) {
	maps.DeleteFunc(p.origins, func(other string, _ Origin) bool {
		return other == path || strings.HasPrefix(other, path+".") || strings.HasPrefix(other, path+"[")
	})
}

// parent of kafka.brokers[1] is kafka.brokers, of that kafka, of that the empty path.
func parent(path string) string {
	return path[:max(strings.LastIndexAny(path, ".["), 0)]
}
