package gen

import (
	"encoding/json"
	"io"
	"reflect"
	"strconv"
	"strings"
	"time"

	"scry/internal/config"
)

type object = map[string]any

// What stands for a value: a duration, a size, or a variable that scry expands.
const (
	durationPattern = `^(0|([0-9]+(\.[0-9]*)?(ns|us|µs|ms|s|m|h))+)$`
	sizePattern     = `^[0-9]+ *([kKmMgGtT]([iI]?[bB]|[iI])|[bB])?$`
	variablePattern = `\$\{[A-Za-z_]`
)

// Schema writes the JSON Schema (2020-12) of a configuration file. Required keys are not
// required of the file: they may come from the environment or a flag.
func Schema(w io.Writer, title string, defaults any, comments Comments) error {
	keys := config.Keys(defaults)
	root := section(keys, "", comments)
	root["type"] = "object"
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = title
	root["$defs"] = object{"variable": object{
		"description": "${VAR} or ${VAR:-default}, expanded by scry",
		"type":        "string", "pattern": variablePattern,
	}}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(root)
}

func section(keys []config.Key, path string, comments Comments) object {
	properties := object{}
	for _, k := range keys {
		name, inside := strings.CutPrefix(k.Path, path+".")
		if path == "" {
			name, inside = k.Path, true
		}
		if !inside || strings.Contains(name, ".") {
			continue
		}
		if k.Section {
			sub := section(keys, k.Path, comments)
			sub["description"] = comments.Of(k)
			properties[name] = sub
			continue
		}
		properties[name] = leaf(k, comments.Of(k))
	}
	return object{"type": []string{"object", "null"}, "additionalProperties": false, "properties": properties}
}

func leaf(k config.Key, comment string) object {
	least, most := k.Bounds()
	if least != "" && k.Kind() != "a number" {
		comment += " The value is " + value(k) + "."
	}
	if k.Required() && k.Text() == "" && !strings.Contains(comment, "Default:") {
		comment += " Required."
	}
	s := object{"description": comment}
	variable := object{"$ref": "#/$defs/variable"}
	text := object{"type": "string"}
	anyOf := func(forms ...object) { s["anyOf"] = append(forms, variable) }
	switch {
	case k.Enum() != nil:
		anyOf(object{"enum": k.Enum()})
	case k.Kind() == "a duration":
		anyOf(object{"type": "string", "pattern": durationPattern}, object{"const": 0})
	case k.Kind() == "a size":
		anyOf(object{"type": "string", "pattern": sizePattern}, object{"type": "integer", "minimum": 0})
	case k.Kind() == "a number":
		number := object{"type": "number"}
		bound(number, "minimum", least)
		bound(number, "maximum", most)
		anyOf(number)
	case k.Kind() == "true or false":
		anyOf(object{"type": "boolean"})
	case k.Kind() == "a list":
		s["anyOf"] = []object{{"type": "array", "items": text}, text}
	case k.Value.Kind() == reflect.Map:
		s["anyOf"] = []object{{"type": "object", "additionalProperties": text}, text}
	default:
		s["type"] = "string"
	}
	if !isSecret(k) && !k.Value.IsZero() {
		s["default"] = plain(k)
	}
	return s
}

func bound(s object, name, tag string) {
	if f, err := strconv.ParseFloat(tag, 64); err == nil {
		s[name] = f
	}
}

// plain is a key's value as JSON holds it.
func plain(k config.Key) any {
	switch v := k.Value.Interface().(type) {
	case time.Duration, config.Bytes:
		return k.Text()
	default:
		return v
	}
}
