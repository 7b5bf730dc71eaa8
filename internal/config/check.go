package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Check holds the values of a section, at prefix, against the required, enum, min and max tags
// of their fields (see Key). What takes more than a tag to say is left to Validate methods.
func Check(prefix string, section any) Faults {
	var faults Faults
	for _, k := range appendKeys(nil, prefix, reflect.ValueOf(section)) {
		if k.Section {
			continue
		}
		if k.Value.IsZero() || k.isList() && k.Value.Len() == 0 {
			if k.Required() {
				faults.Add(k.Path, "", "is required", "write "+k.Kind())
				continue
			}
		}
		k.checkEnum(&faults)
		k.checkBounds(&faults)
	}
	return faults
}

func (k Key) checkEnum(faults *Faults) {
	allowed := k.Enum()
	if value := k.Value; allowed != nil && !slices.Contains(allowed, value.String()) {
		names := slices.DeleteFunc(allowed, func(s string) bool { return s == "" })
		mend := "write " + strings.Join(names, ", ")
		if i := strings.LastIndex(mend, ", "); i > 0 {
			mend = mend[:i] + " or" + mend[i+1:]
		}
		faults.Add(k.Path, value.String(), "not a value this key knows", mend)
	}
}

func (k Key) checkBounds(faults *Faults) {
	least, most := k.Bounds()
	switch {
	case least != "" && less(k.Value, k.bound(least)):
		faults.Add(k.Path, k.Text(), "less than "+least, bounds(least, most))
	case most != "" && less(k.bound(most), k.Value):
		faults.Add(k.Path, k.Text(), "more than "+most, bounds(least, most))
	}
}

func bounds(least, most string) string {
	switch {
	case most == "":
		return "write " + least + " or more"
	case least == "":
		return "write " + most + " or less"
	}
	return fmt.Sprintf("write a value from %s to %s", least, most)
}

// bound reads a min or max tag as a value of the key's type.
func (k Key) bound(tag string) reflect.Value {
	v := reflect.New(k.Field.Type).Elem()
	if w := set(v, tag); w != nil {
		panic(fmt.Sprintf("config: bound %q of %s: %s", tag, k.Path, w.problem))
	}
	return v
}

func less(a, b reflect.Value) bool {
	if a.Kind() == reflect.Float64 {
		return a.Float() < b.Float()
	}
	return a.Int() < b.Int()
}

// Text renders the value as it would stand in the file, bare of quotes and masked if it is secret; lists as a,b,
// maps as a=b,c=d.
func (k Key) Text() string {
	switch v := k.Value.Interface().(type) {
	case []string:
		return strings.Join(v, ",")
	case map[string]string:
		pairs := make([]string, 0, len(v))
		for key, value := range v {
			pairs = append(pairs, key+"="+value)
		}
		slices.Sort(pairs)
		return strings.Join(pairs, ",")
	case Secret:
		return k.show(v.Reveal())
	case interface{ Seconds() float64 }:
		return shortDuration(fmt.Sprint(v))
	default:
		return fmt.Sprint(v)
	}
}

// shortDuration takes the zero parts off a duration's text: 24h0m0s is 24h.
func shortDuration(s string) string {
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
