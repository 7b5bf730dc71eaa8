package config

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// Print writes a configuration as YAML that Load reads back, except for the secrets, whose
// masks it refuses; a comment on each line tells where the value came from.
func (p *Provenance) Print(w io.Writer, c any) error {
	var lines [][2]string
	add := func(depth int, text, comment string) {
		lines = append(lines, [2]string{strings.Repeat("  ", depth) + text, comment})
	}
	for _, k := range Keys(c) {
		depth := strings.Count(k.Path, ".")
		_, name := splitPath(k.Path)
		switch m, isMap := k.Value.Interface().(map[string]string); {
		case k.Section:
			add(depth, name+":", "")
		case isMap && len(m) > 0:
			add(depth, name+":", "")
			for _, key := range slices.Sorted(maps.Keys(m)) {
				add(depth+1, quote(key)+": "+quote(escape(m[key])), p.nearestOrigin(join(k.Path, key)).Source)
			}
		default:
			add(depth, name+": "+k.yaml(), p.Origin(k.Path).Source)
		}
	}
	var b strings.Builder
	for _, line := range lines {
		if line[1] == "" {
			b.WriteString(line[0] + "\n")
		} else {
			fmt.Fprintf(&b, "%-44s # %s\n", line[0], line[1])
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// yaml renders a leaf's value on one line.
func (k Key) yaml() string {
	switch k.Value.Kind() {
	case reflect.Slice:
		items := make([]string, k.Value.Len())
		for i := range items {
			items[i] = quote(escape(k.Value.Index(i).String()))
		}
		return "[" + strings.Join(items, ", ") + "]"
	case reflect.Map:
		return "{}"
	case reflect.String:
		return quote(escape(k.Text()))
	default:
		return k.Text()
	}
}

// escape keeps Load from expanding what is meant as it stands.
func escape(text string) string { return strings.ReplaceAll(text, "$", "$$") }

var (
	plain    = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_./@+-]*(:[A-Za-z0-9_./@+-]+)*$`)
	notPlain = regexp.MustCompile(`^(?i:true|false|yes|no|on|off|y|n|null)$`)
)

// quote writes a string of any content as a YAML scalar that stands anywhere; JSON's strings
// are YAML's double-quoted ones.
func quote(text string) string {
	if plain.MatchString(text) && !notPlain.MatchString(text) {
		return text
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(text) // a string always encodes
	return strings.TrimSuffix(b.String(), "\n")
}
