package predictor

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"scry/predictor/feature"
	"scry/predictor/forest"
)

// columns joins what the model needs with what features.yaml says, nil when there is
// none: one feature an input, in the model's order. Overrides are paths by feature.
func columns(inputs []forest.Input, features []feature.Feature, overrides map[string]string) ([]feature.Feature, error) {
	ordered, err := inOrder(inputs, features)
	if err != nil {
		return nil, err
	}
	var faults []error
	for i, in := range inputs {
		f := &ordered[i]
		switch {
		case len(f.Categories) == 0:
			f.Categories = in.Categories
		case len(in.Categories) > 0 && !slices.Equal(f.Categories, in.Categories):
			faults = append(faults, fmt.Errorf("feature %q: its categories in features.yaml, %s, are not the model's, %s; "+
				"leave them out: the model holds its own", f.Name, list(f.Categories), list(in.Categories)))
		}
	}
	left := make(map[string]bool, len(overrides))
	for name := range overrides {
		left[name] = true
	}
	for i := range ordered {
		if path, ok := overrides[ordered[i].Name]; ok {
			ordered[i].Path = path
			delete(left, ordered[i].Name)
		}
	}
	if len(left) > 0 {
		faults = append(faults, fmt.Errorf("model.paths names %s, which the model does not have; its features are %s",
			list(sorted(left)), list(namesOf(ordered))))
	}
	return ordered, errors.Join(faults...)
}

// inOrder returns the features in the order of the model's inputs.
func inOrder(inputs []forest.Input, features []feature.Feature) ([]feature.Feature, error) {
	named := hasNames(inputs, features)
	switch {
	case features == nil && !named:
		return nil, fmt.Errorf("the model names none of its %d inputs; write a features.yaml that lists them in column order (scry model init)", len(inputs))
	case features == nil:
		ordered := make([]feature.Feature, len(inputs))
		for i, in := range inputs {
			ordered[i] = feature.Feature{Name: in.Name, Path: feature.PathFor(in.Name), Required: true}
		}
		return ordered, nil
	case !named && len(features) != len(inputs):
		return nil, fmt.Errorf("features.yaml lists %d features and the model, which names none, takes %d; list them in column order", len(features), len(inputs))
	case !named:
		return slices.Clone(features), nil
	}
	byName := make(map[string]feature.Feature, len(features))
	unknown := make(map[string]bool)
	for _, f := range features {
		byName[f.Name] = f
		unknown[f.Name] = true
	}
	if len(byName) < len(features) {
		return nil, errors.New("features.yaml lists a feature twice: " + list(namesOf(features)))
	}
	ordered := make([]feature.Feature, len(inputs))
	var unmapped []string
	for i, in := range inputs {
		f, ok := byName[in.Name]
		if !ok {
			unmapped = append(unmapped, in.Name)
		}
		ordered[i] = f
		delete(unknown, in.Name)
	}
	if len(unmapped)+len(unknown) > 0 {
		return nil, fmt.Errorf("features.yaml does not fit the model: the model needs, and nothing maps, %s; mapped, and unknown to the model: %s",
			list(unmapped), list(sorted(unknown)))
	}
	return ordered, nil
}

// hasNames says whether the model names its inputs: XGBoost writes no names for data
// that came without, LightGBM writes Column_0 and so on, which count as none unless
// features.yaml uses them.
func hasNames(inputs []forest.Input, features []feature.Feature) bool {
	placeholder := make(map[string]bool)
	for i, in := range inputs {
		if in.Name == fmt.Sprintf("Column_%d", i) {
			placeholder[in.Name] = true
		} else if in.Name != "" {
			return true
		}
	}
	return slices.ContainsFunc(features, func(f feature.Feature) bool { return placeholder[f.Name] })
}

func namesOf(features []feature.Feature) []string {
	names := make([]string, len(features))
	for i, f := range features {
		names[i] = f.Name
	}
	return names
}

func sorted(set map[string]bool) []string {
	return slices.Sorted(func(yield func(string) bool) {
		for k := range set {
			if !yield(k) {
				return
			}
		}
	})
}

// list writes names for people, the first twenty of them.
func list(names []string) string {
	const most = 20
	more := ""
	if len(names) > most {
		more = fmt.Sprintf(" and %d more", len(names)-most)
		names = names[:most]
	}
	if len(names) == 0 {
		return "none"
	}
	return "[" + strings.Join(names, ", ") + "]" + more
}
