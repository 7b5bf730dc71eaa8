package config

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A wrong is why a text does not fit a key, and the mend.
type wrong struct{ problem, mend string }

// set reads text into v, the value of a leaf. What the text means is the key's affair, not
// YAML's: 0123 is a fine password, and "true" in quotes, as a variable gives it, a fine flag.
func set(v reflect.Value, text string) *wrong {
	switch v.Type() {
	case durationType:
		return setDuration(v, text)
	case bytesType:
		var b Bytes
		if err := b.UnmarshalText([]byte(text)); err != nil {
			return &wrong{err.Error(), "write a number of bytes or a size such as 64MiB or 1GB"}
		}
		v.SetInt(int64(b))
		return nil
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		return setBool(v, text)
	case reflect.Float64:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return &wrong{"not a number", "write a number such as 0.5"}
		}
		v.SetFloat(f)
	case reflect.Slice:
		items, w := splitList(text)
		if w != nil {
			return w
		}
		v.Set(reflect.ValueOf(items))
	case reflect.Map:
		return setMap(v, text)
	default:
		panic(fmt.Sprintf("config: no reading of a %s", v.Type()))
	}
	return nil
}

func setDuration(v reflect.Value, text string) *wrong {
	d, err := time.ParseDuration(text)
	if err != nil {
		mend := "write a duration such as 10s, 500ms or 1h30m"
		if _, err := strconv.ParseFloat(text, 64); err == nil {
			mend = fmt.Sprintf("write its unit: %ss, %sms or %sh", text, text, text)
		}
		return &wrong{"not a duration", mend}
	}
	v.SetInt(int64(d))
	return nil
}

func setBool(v reflect.Value, text string) *wrong {
	switch strings.ToLower(text) {
	case "true":
		v.SetBool(true)
	case "false":
		v.SetBool(false)
	default:
		return &wrong{"not a yes or no", "write true or false"}
	}
	return nil
}

// splitList reads a,b,c. No list of ours holds values with commas (brokers, topics), so a
// comma separates in the file too, where ${BROKERS} may hold several.
func splitList(text string) ([]string, *wrong) {
	if strings.TrimSpace(text) == "" {
		return []string{}, nil
	}
	items := strings.Split(text, ",")
	for i, item := range items {
		items[i] = strings.TrimSpace(item)
	}
	if slices.Contains(items, "") {
		return nil, &wrong{"has an empty element", "take out the comma too many, or write [] for an empty list"}
	}
	return items, nil
}

// setMap reads a=b,c=d.
func setMap(v reflect.Value, text string) *wrong {
	items, w := splitList(text)
	if w != nil {
		return w
	}
	m := make(map[string]string, len(items))
	for _, item := range items {
		key, value, ok := strings.Cut(item, "=")
		if !ok || key == "" {
			return &wrong{"not pairs", "write key=value,key=value"}
		}
		m[key] = value
	}
	v.Set(reflect.ValueOf(m))
	return nil
}
