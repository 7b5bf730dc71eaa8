package forest

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// ensemble joins what was read, and checks what no member shows alone.
func (f *xgbFile) ensemble() (*Ensemble, error) {
	if f.version[0] < 1 || f.version[0] > 3 {
		return nil, fmt.Errorf("version: written by XGBoost %d.%d, readable are 1.0 to 3.4", f.version[0], f.version[1])
	}
	e := &Ensemble{
		Library:     "xgboost",
		Version:     fmt.Sprintf("%d.%d.%d", f.version[0], f.version[1], f.version[2]),
		Objective:   f.objective,
		Arith:       Float32,
		Average:     1,
		Scale:       1,
		DartInPlace: f.inPlace,
	}
	for _, step := range []func(*Ensemble) error{f.inputs, f.link, f.base, f.outputs} {
		if err := step(e); err != nil {
			return nil, within("learner", err)
		}
	}
	if err := f.body(e); err != nil {
		return nil, within("learner.gradient_booster", err)
	}
	return e, nil
}

// since reports whether the file was written by this version or a later one.
func (f *xgbFile) since(major, minor int64) bool {
	return f.version[0] > major || f.version[0] == major && f.version[1] >= minor
}

func (f *xgbFile) inputs(e *Ensemble) error {
	n, err := count(f.params, "num_feature", 0)
	if err != nil {
		return err
	}
	if n == 0 || n > maxInputs {
		return fmt.Errorf("num_feature is %d, not from 1 to %d", n, maxInputs)
	}
	for _, list := range []struct {
		name string
		has  int
	}{{"feature_names", len(f.names)}, {"feature_types", len(f.types)}, {"gradient_booster.model.cats.enc", len(f.cats)}} {
		if list.has != 0 && list.has != n {
			return fmt.Errorf("%s has %d entries, num_feature is %d", list.name, list.has, n)
		}
	}
	e.Inputs = make([]Input, n)
	for i := range e.Inputs {
		in := &e.Inputs[i]
		if len(f.names) > 0 {
			in.Name = f.names[i]
		}
		if len(f.types) > 0 && f.types[i] == "c" {
			in.Kind = Categorical
		}
		if len(f.cats) > 0 && (f.since(3, 4) || isASCII(f.cats[i])) {
			in.Categories = f.cats[i]
		}
	}
	return nil
}

// base turns base_score, which is in the space of the scores, into margins. It is
// text: one number, or since 3.1 a list.
func (f *xgbFile) base(e *Ensemble) error {
	text := f.params["base_score"]
	list := strings.Split(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"), ",")
	if len(list) != 1 && len(list) != e.Groups {
		return fmt.Errorf("base_score %q is not for %d outputs", short(text), e.Groups)
	}
	e.Base = make([]float64, e.Groups)
	for g := range e.Base {
		entry := list[0]
		if len(list) > 1 && f.booster != "gblinear" { // which uses the first for all
			entry = list[g]
		}
		score, err := strconv.ParseFloat(strings.TrimSpace(entry), 32)
		if err != nil {
			return fmt.Errorf("base_score %q is not a number", short(text))
		}
		margin := xgbObjectives[f.objective].margin(float32(score), f.since(3, 2))
		if margin != margin || math.IsInf(float64(margin), 1) {
			return fmt.Errorf("base_score %q is not a score of %s", short(text), f.objective)
		}
		e.Base[g] = float64(margin)
	}
	if e.Link == SoftplusSteps {
		softplusInverse(e.Base)
	}
	return nil
}

// outputs names the scores.
func (f *xgbFile) outputs(e *Ensemble) error {
	switch {
	case e.Link == SoftmaxArg:
		e.Outputs = []string{"class"}
	case e.Groups == 1:
		e.Outputs = []string{"score"}
	default:
		e.Outputs = numbered(e.Groups)
	}
	return nil
}

func numbered(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = strconv.Itoa(i)
	}
	return names
}

func (f *xgbFile) body(e *Ensemble) error {
	switch f.booster {
	case "gblinear":
		return f.linear(e)
	case "gbtree", "dart":
	default:
		return fmt.Errorf("name: unknown booster %q", short(f.booster))
	}
	if f.booster == "dart" && len(f.drop) != len(f.trees) || f.drop != nil && len(f.drop) != len(f.trees) {
		return fmt.Errorf("weight_drop has %d values for %d trees", len(f.drop), len(f.trees))
	}
	vectors := false
	if err := within("model", f.checkTrees(e, &vectors)); err != nil {
		return err
	}
	if vectors && f.inPlace {
		return fmt.Errorf("dart with trees of vectors")
	}
	if f.version[0] == 1 && f.version[1] == 6 {
		f.invertSets()
	}
	used, err := f.bestTrees(e.Groups, vectors)
	if err != nil {
		return err
	}
	e.Trees = slices.Clone(f.trees[:used])
	if !f.since(1, 3) || f.booster == "dart" && !f.since(1, 4) {
		baseLast(e)
	}
	return nil
}

// checkTrees gives each tree its group and weight, and checks what the tree alone
// could not: its features and the length of its vectors.
func (f *xgbFile) checkTrees(e *Ensemble, vectors *bool) error {
	if n, err := count(f.params, "num_trees", len(f.trees)); err != nil || n != len(f.trees) || len(f.groups) != n {
		return fmt.Errorf("trees has %d entries, tree_info %d, num_trees is %q", len(f.trees), len(f.groups), short(f.params["num_trees"]))
	}
	for i := range f.trees {
		t := &f.trees[i]
		t.Group = int(f.groups[i])
		if t.Group < 0 || t.Group >= e.Groups {
			return fmt.Errorf("tree_info[%d] is %d of %d outputs", i, t.Group, e.Groups)
		}
		if f.drop != nil {
			t.Weight = float64(f.drop[i])
			if err := finite("weight_drop", t.Weight); err != nil {
				return within(fmt.Sprintf("trees[%d]", i), err)
			}
		}
		if v := t.Leaves[0].Vector; v != nil {
			*vectors = true
			if len(v) != e.Groups {
				return fmt.Errorf("trees[%d]: leaves of %d values for %d outputs", i, len(v), e.Groups)
			}
		}
		for k := range t.Nodes {
			n := &t.Nodes[k]
			if int(n.Feature) >= len(e.Inputs) {
				return fmt.Errorf("trees[%d]: split_indices has %d of %d features", i, n.Feature, len(e.Inputs))
			}
			if n.Set >= 0 {
				e.Inputs[n.Feature].Kind = Categorical
			}
		}
	}
	return nil
}

func (f *xgbFile) linear(e *Ensemble) error {
	n := len(e.Inputs) * e.Groups
	if len(f.weights) != n+e.Groups {
		return fmt.Errorf("model.weights has %d values, not %d for each of %d features and the bias", len(f.weights), e.Groups, len(e.Inputs))
	}
	all := make([]float64, len(f.weights))
	for i, w := range f.weights {
		all[i] = float64(w)
		if err := finite("value of model.weights", all[i]); err != nil {
			return err
		}
	}
	e.Linear = &Linear{Weight: all[:n], Bias: all[n:]}
	return nil
}
