package predictor

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"scry/internal/config"
	"scry/predictor/feature"
)

// A spec is what features.yaml says:
//
//	name: buyer-intent          # default: the folder's name
//	version: "7"                # default: the start of the bundle's digest
//	labels: [browse, buy]       # of the classes, in output order; a binary model's negative first
//	features:
//	  - name: PageValues        # the model's name for it
//	    path: page.value        # default: the name
//	    missing: nan            # nan, a number, or required (the default: an event without it is refused)
//	  - {name: Month, path: month, categories: [Feb, Mar], missing: nan}
//	  - {name: Price, path: price, parse: true}   # a number written as a string
//
// Scalars are taken as they are written: labels: [no, yes] are two words.
type spec struct {
	name, version string
	labels        []string
	features      []feature.Feature
}

// parseSpec reads features.yaml. Its error is config.Faults: every mistake, each
// with its line.
func parseSpec(data []byte) (spec, error) {
	var p specParser
	top, err := document(data)
	if err != nil {
		return p.spec, err
	}
	p.mapping("", top, map[string]func(string, *yaml.Node){
		"name":     func(at string, n *yaml.Node) { p.spec.name = p.text(at, n) },
		"version":  func(at string, n *yaml.Node) { p.spec.version = p.text(at, n) },
		"labels":   func(at string, n *yaml.Node) { p.spec.labels = p.texts(at, n) },
		"features": p.features,
	})
	if len(p.faults) > 0 {
		return p.spec, p.faults
	}
	if len(p.spec.features) == 0 {
		p.fault("features", top, "", "no feature is listed", "list the model's features, or leave features.yaml out")
		return p.spec, p.faults
	}
	return p.spec, nil
}

// document returns the mapping that is the only document of a YAML file.
func document(data []byte) (*yaml.Node, error) {
	var doc, second yaml.Node
	d, err := yaml.NewLoader(bytes.NewReader(data))
	if err != nil {
		return nil, syntaxError(err)
	}
	if err := d.Load(&doc); errors.Is(err, io.EOF) {
		return nil, errors.New("says nothing; list the features in it, or leave it out")
	} else if err != nil {
		return nil, syntaxError(err)
	}
	if err := d.Load(&second); !errors.Is(err, io.EOF) {
		return nil, errors.New("holds more than one YAML document; keep one")
	}
	return doc.Content[0], nil
}

func syntaxError(err error) error {
	var at *yaml.LoadError
	if errors.As(err, &at) && at.Mark.Line > 0 {
		return fmt.Errorf("not YAML: line %d: %s", at.Mark.Line, at.Message)
	}
	return fmt.Errorf("not YAML: %w", err)
}

type specParser struct {
	spec   spec
	faults config.Faults
}

func (p *specParser) fault(at string, n *yaml.Node, value, problem, mend string) {
	p.faults = append(p.faults, config.Fault{Path: at, Line: n.Line, Value: value, Problem: problem, Mend: mend})
}

// mapping hands the value of each key to its reader.
func (p *specParser) mapping(at string, n *yaml.Node, keys map[string]func(string, *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		p.fault(at, n, n.Value, "keys and values are expected here", "see docs/models.md for the format")
		return
	}
	seen := make(map[string]bool)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		path := strings.TrimPrefix(at+"."+key.Value, ".")
		read := keys[key.Value]
		switch {
		case read == nil:
			p.fault(path, key, "", "no such key", "take it out, or mend the spelling")
		case seen[key.Value]:
			p.fault(path, key, "", "is given twice", "keep one of the two")
		case value.Kind == yaml.AliasNode:
			p.fault(path, value, "", "is an alias", "write the value out")
		default:
			read(path, value)
		}
		seen[key.Value] = true
	}
}

// text is a scalar as it is written.
func (p *specParser) text(at string, n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		p.fault(at, n, n.Value, "one value is expected", "write one, in quotes if it is empty or the word null")
		return ""
	}
	return n.Value
}

func (p *specParser) texts(at string, n *yaml.Node) []string {
	if n.Kind != yaml.SequenceNode {
		p.fault(at, n, n.Value, "a list is expected", "write [a, b]")
		return nil
	}
	texts := make([]string, 0, len(n.Content))
	for i, item := range n.Content {
		texts = append(texts, p.text(fmt.Sprintf("%s[%d]", at, i), item))
	}
	return texts
}

func (p *specParser) flag(at string, n *yaml.Node) bool {
	v, err := strconv.ParseBool(p.text(at, n))
	if err != nil {
		p.fault(at, n, n.Value, "true or false is expected", "write one of them")
	}
	return v
}

func (p *specParser) features(at string, n *yaml.Node) {
	if n.Kind != yaml.SequenceNode {
		p.fault(at, n, n.Value, "a list is expected", "begin each feature with a dash: - {name: age, path: user.age}")
		return
	}
	for i, item := range n.Content {
		p.feature(fmt.Sprintf("%s[%d]", at, i), item)
	}
}

func (p *specParser) feature(at string, n *yaml.Node) {
	f := feature.Feature{Missing: math.NaN()}
	var missing, required *yaml.Node
	p.mapping(at, n, map[string]func(string, *yaml.Node){
		"name":       func(at string, n *yaml.Node) { f.Name = p.text(at, n) },
		"path":       func(at string, n *yaml.Node) { f.Path = p.text(at, n) },
		"categories": func(at string, n *yaml.Node) { f.Categories = p.texts(at, n) },
		"parse":      func(at string, n *yaml.Node) { f.Parse = p.flag(at, n) },
		"required":   func(at string, n *yaml.Node) { required, f.Required = n, p.flag(at, n) },
		"missing":    func(_ string, n *yaml.Node) { missing = n },
	})
	if f.Name == "" && n.Kind == yaml.MappingNode {
		p.fault(at, n, "", "a feature without a name", "give the model's name for it, or any in column order when the model has none")
	}
	if f.Path == "" {
		f.Path = feature.PathFor(f.Name)
	}
	if f.Parse && len(f.Categories) > 0 {
		p.fault(at, n, f.Name, "has categories and parse: true", "keep categories for a name, parse for a number written as a string")
	}
	switch {
	case missing == nil && required == nil:
		f.Required = true
	case missing != nil:
		needed := p.missing(at+".missing", missing, &f)
		if required != nil && needed != f.Required {
			p.fault(at+".required", required, f.Name, "required and missing contradict each other", "keep one of the two")
		}
		f.Required = needed
	}
	p.spec.features = append(p.spec.features, f)
}

// missing reads the policy for an event without the feature.
func (p *specParser) missing(at string, n *yaml.Node, f *feature.Feature) (required bool) {
	switch text := p.text(at, n); strings.ToLower(text) {
	case "required":
		return true
	case "nan", ".nan":
	default:
		v, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsInf(v, 0) {
			p.fault(at, n, text, "is no policy for a missing value", "write nan, a number, or required")
		}
		f.Missing = v
	}
	return false
}
