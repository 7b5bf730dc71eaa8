package config

import (
	"reflect"
	"strings"
	"time"
)

// A Key is one setting, or a section of them, of a configuration struct. Its field's tags say
// what the value may be:
//
//	yaml:"name"             the key's last part; ",inline" lifts the keys of an embedded struct
//	enum:"classic,consumer" the values allowed
//	required:"true"         an empty value is a fault
//	min:"1s" max:"30m"      the bounds of a number, duration or size, both included
//	mask:"url"              a Secret of which all but the password may be seen
type Key struct {
	Path    string              // dotted: kafka.tls.ca
	Section bool                // a struct: its keys follow
	Value   reflect.Value       // settable when the struct was given by pointer
	Field   reflect.StructField // for its tags and its type
	Owner   reflect.Type        // the struct that Field belongs to
}

var (
	durationType = reflect.TypeFor[time.Duration]()
	bytesType    = reflect.TypeFor[Bytes]()
	secretType   = reflect.TypeFor[Secret]()
)

// Keys lists the keys of a configuration, a struct or a pointer to one, in the order of its
// fields, sections before what they hold.
func Keys(c any) []Key {
	return appendKeys(nil, "", reflect.Indirect(reflect.ValueOf(c)))
}

func appendKeys(keys []Key, prefix string, v reflect.Value) []Key {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		name, option, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		if option == "inline" {
			keys = appendKeys(keys, prefix, v.Field(i))
			continue
		}
		if name == "" || name == "-" {
			continue
		}
		k := Key{
			Path:    join(prefix, name),
			Section: field.Type.Kind() == reflect.Struct,
			Value:   v.Field(i),
			Field:   field,
			Owner:   v.Type(),
		}
		keys = append(keys, k)
		if k.Section {
			keys = appendKeys(keys, k.Path, k.Value)
		}
	}
	return keys
}

// Enum returns the values allowed; nil: any.
func (k Key) Enum() []string {
	tag, ok := k.Field.Tag.Lookup("enum")
	if !ok {
		return nil
	}
	return strings.Split(tag, ",")
}

// Required tells whether an empty value is a fault.
func (k Key) Required() bool { return k.Field.Tag.Get("required") == "true" }

// Bounds returns the least and the greatest value as text; empty: no bound.
func (k Key) Bounds() (least, most string) {
	return k.Field.Tag.Get("min"), k.Field.Tag.Get("max")
}

// Env returns the environment variable that sets the key: prefix_KAFKA_BROKERS.
func (k Key) Env(prefix string) string {
	return prefix + "_" + strings.ToUpper(strings.ReplaceAll(k.Path, ".", "_"))
}

// isMap tells whether the key holds keys of the operator's own choice.
func (k Key) isMap() bool { return k.Value.Kind() == reflect.Map }

func (k Key) isList() bool { return k.Value.Kind() == reflect.Slice }

// Kind names the kind of value that the key takes.
func (k Key) Kind() string {
	switch k.Field.Type {
	case durationType:
		return "a duration"
	case bytesType:
		return "a size"
	}
	switch k.Value.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Float64:
		return "a number"
	case reflect.Slice:
		return "a list"
	case reflect.Map:
		return "keys and texts"
	default:
		return "a text"
	}
}

// show gives text as a person may see it in an error or a print of this key.
func (k Key) show(text string) string {
	if k.Field.Type != secretType {
		return text
	}
	if k.Field.Tag.Get("mask") == "url" {
		return Secret(text).MaskedURL()
	}
	return Secret(text).String()
}

func join(prefix, name string) string {
	if prefix == "" {
		return name
	}
	return prefix + "." + name
}
