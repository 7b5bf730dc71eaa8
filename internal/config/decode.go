package config

import (
	"fmt"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v4"
)

// section reads a mapping into the keys below path. The structs' keys bound the descent, so
// neither deep nesting nor aliases of aliases cost more than the file is long.
func (l *loader) section(path string, n *yaml.Node) {
	lines := make(map[string]int)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], resolve(n.Content[i+1])
		at := join(path, key.Value)
		if !l.checkKey(lines, at, key) {
			continue
		}
		k, known := l.index[at]
		switch {
		case !known || strings.Contains(key.Value, "."):
			l.unknown(path, key.Value, Fault{Line: key.Line})
		case k.Section && isNull(value): // all its keys are commented out
		case k.Section && value.Kind == yaml.MappingNode:
			l.p.origins[at] = l.inFile(key, nil)
			l.section(at, value)
		case k.Section:
			l.blame(Fault{Path: at, Line: value.Line, Problem: "is " + shape(value) + ", not a section",
				Mend: "write its keys indented below it: " + strings.Join(l.names(at), ", ")})
		default:
			l.leaf(k, value)
		}
	}
}

// checkKey refuses what cannot be the name of a key, and a key's second appearance.
func (l *loader) checkKey(lines map[string]int, at string, key *yaml.Node) bool {
	switch first, again := lines[key.Value]; {
	case key.Kind != yaml.ScalarNode:
		l.note(Fault{Path: parent(at), Line: key.Line, Problem: "a key that is " + shape(key), Mend: "write a name, a colon and the value"})
		return false
	case key.Tag == "!!merge":
		l.note(Fault{Path: at, Line: key.Line, Problem: "merge keys are not supported", Mend: "write the keys out"})
		return false
	case again:
		l.note(Fault{Path: at, Line: key.Line, Problem: fmt.Sprintf("is already set on line %d", first), Mend: "keep one of the two"})
		return false
	}
	lines[key.Value] = key.Line
	return true
}

// leaf reads the value of a key that is not a section.
func (l *loader) leaf(k Key, n *yaml.Node) {
	switch {
	case n.Kind == yaml.SequenceNode && k.isList():
		l.list(k, n)
	case n.Kind == yaml.MappingNode && k.isMap():
		l.pairs(k, n)
	default:
		text, origin, ok := l.scalar(k, k.Path, n)
		if !ok {
			return
		}
		l.p.origins[k.Path] = origin
		if w := set(k.Value, text); w != nil {
			l.blame(Fault{Path: k.Path, Value: k.show(text), Line: n.Line, Problem: w.problem, Mend: w.mend})
		}
	}
}

func (l *loader) list(k Key, n *yaml.Node) {
	items := []string{}
	l.p.origins[k.Path] = l.inFile(n, nil)
	for i, element := range n.Content {
		at := fmt.Sprintf("%s[%d]", k.Path, i)
		text, origin, ok := l.scalar(k, at, resolve(element))
		if !ok {
			l.p.blamed[k.Path] = true
			continue
		}
		parts, w := splitList(text)
		if w == nil && len(parts) == 0 {
			w = &wrong{"is empty", "write a value or take it out"}
		}
		if w != nil {
			l.p.blamed[k.Path] = true
			l.blame(Fault{Path: at, Value: text, Line: element.Line, Problem: w.problem, Mend: w.mend})
			continue
		}
		for _, part := range parts {
			l.p.origins[fmt.Sprintf("%s[%d]", k.Path, len(items))] = origin
			items = append(items, part)
		}
	}
	k.Value.Set(reflect.ValueOf(items))
}

// pairs reads the mapping of a key whose keys are the operator's.
func (l *loader) pairs(k Key, n *yaml.Node) {
	lines := make(map[string]int)
	m := make(map[string]string, len(n.Content)/2)
	l.p.origins[k.Path] = l.inFile(n, nil)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		at := join(k.Path, key.Value)
		if !l.checkKey(lines, at, key) {
			continue
		}
		text, origin, ok := l.scalar(k, at, resolve(n.Content[i+1]))
		if ok {
			l.p.origins[at], m[key.Value] = origin, text
		}
	}
	k.Value.Set(reflect.ValueOf(m))
}

// scalar returns the text of a value with its variables expanded.
func (l *loader) scalar(k Key, at string, n *yaml.Node) (string, Origin, bool) {
	f := Fault{Path: at, Line: n.Line}
	switch {
	case isNull(n):
		f.Problem, f.Mend = "has no value", `write one, "" for an empty one, or take the line out`
	case n.Kind != yaml.ScalarNode:
		f.Problem, f.Mend = "is "+shape(n), "write "+k.Kind()
		if at != k.Path {
			f.Mend = "write a text"
		}
	case !plainTags[n.Tag]:
		f.Problem, f.Mend = "has the YAML tag "+n.Tag, "take the tag out"
	default:
		text, used, w := l.vars.expand(n.Value)
		if w == nil {
			return text, l.inFile(n, used), true
		}
		f.Value, f.Problem, f.Mend = k.show(n.Value), w.problem, w.mend
	}
	l.blame(f)
	return "", Origin{}, false
}

// plainTags are those that YAML itself gives to untagged scalars. What it takes the text for
// does not matter: the key decides.
var plainTags = map[string]bool{"!!str": true, "!!int": true, "!!float": true, "!!bool": true, "!!timestamp": true}

func (l *loader) inFile(n *yaml.Node, used []string) Origin {
	o := Origin{Source: fmt.Sprintf("%s:%d", l.file, n.Line), Line: n.Line}
	if len(used) > 0 {
		o.Source += ", $" + strings.Join(used, ", $")
	}
	return o
}

// unknown blames a key that does not exist; f says where it was found. Its value is not
// shown: it may be a misspelt password.
func (l *loader) unknown(section, name string, f Fault) {
	f.Path, f.Problem = join(section, name), "unknown key"
	_, isPath := l.index[f.Path]
	for _, known := l.index[section]; section != "" && !known; _, known = l.index[section] {
		section, name = splitPath(section) // of model.path.a it is path that is unknown
	}
	switch near := nearest(l.keys, join(section, name)); {
	case isPath:
		outer, inner := splitPath(f.Path)
		f.Problem, f.Mend = "a key with a dot", fmt.Sprintf("write %s: and below it, indented, %s:", outer, inner)
		l.blame(f)
		return
	case near != "":
		f.Mend = "did you mean " + near + "?"
		l.p.meant[near] = true
	case section != "" && !l.index[section].Section:
		f.Mend = section + " is no section: set it as a whole"
	case section == "":
		f.Mend = "the sections and keys are " + strings.Join(l.names(""), ", ")
	default:
		f.Mend = "the keys of " + section + " are " + strings.Join(l.names(section), ", ")
	}
	l.blame(f)
}

// names lists the keys of a section.
func (l *loader) names(section string) []string {
	var names []string
	for _, k := range l.keys {
		if in, name := splitPath(k.Path); in == section {
			names = append(names, name)
		}
	}
	return names
}

func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

func shape(n *yaml.Node) string {
	switch n.Kind {
	case yaml.SequenceNode:
		return "a list"
	case yaml.MappingNode:
		return "a section"
	case yaml.AliasNode:
		return "an alias"
	default:
		return "a single value"
	}
}
