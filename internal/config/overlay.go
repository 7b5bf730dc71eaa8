package config

import (
	"fmt"
	"reflect"
	"strings"
)

// environment reads the variables that name a key. Others with the prefix are none of ours:
// Kubernetes makes SCRY_PORT and its like for a service called scry.
func (l *loader) environment(prefix string) {
	for _, k := range l.keys {
		if k.Section {
			continue
		}
		if text, ok := l.vars.lookup(k.Env(prefix)); ok {
			l.overlay(k, text, "env "+k.Env(prefix))
		}
	}
}

// flags reads the arguments of --set: key=value, the last of a key wins. A map takes
// model.paths=a=b,c=d as a whole and model.paths.a=b for one more.
func (l *loader) flags(sets []string) {
	for _, arg := range sets {
		path, text, ok := strings.Cut(arg, "=")
		const source = "flag --set"
		if !ok {
			l.blame(Fault{Path: path, Source: source, Problem: "has no value", Mend: "write --set key=value"})
			continue
		}
		if k, name, ok := l.mapEntry(path); ok {
			l.put(k, name, text, source)
			continue
		}
		k, known := l.index[path]
		switch {
		case !known:
			section, name := splitPath(path)
			l.unknown(section, name, Fault{Source: source})
		case k.Section:
			l.blame(Fault{Path: path, Source: source, Problem: "is a section", Mend: "name one of its keys: " + strings.Join(l.names(path), ", ")})
		default:
			l.overlay(k, text, source)
		}
	}
}

// overlay sets a key from outside the file.
func (l *loader) overlay(k Key, text, source string) {
	l.p.forget(k.Path)
	l.p.origins[k.Path] = Origin{Source: source}
	if w := set(k.Value, text); w != nil {
		l.blame(Fault{Path: k.Path, Value: k.show(text), Source: source, Problem: w.problem, Mend: w.mend})
	}
}

// mapEntry finds the map that path names an entry of; the entry's name may hold dots.
func (l *loader) mapEntry(path string) (k Key, name string, ok bool) {
	for _, k := range l.keys {
		if name, found := strings.CutPrefix(path, k.Path+"."); found && k.isMap() {
			return k, name, true
		}
	}
	return Key{}, "", false
}

func (l *loader) put(k Key, name, text, source string) {
	m := map[string]string{name: text}
	for other, value := range k.Value.Interface().(map[string]string) {
		if other != name {
			m[other] = value
		}
	}
	k.Value.Set(reflect.ValueOf(m))
	l.p.origins[fmt.Sprintf("%s.%s", k.Path, name)] = Origin{Source: source}
}
