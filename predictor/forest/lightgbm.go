package forest

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// lgbFile is a LightGBM text model while it is read: lines of name=value, a header,
// a block a tree, and what follows them. The layout is that of SaveModelToString
// and Tree::ToString of versions 2.0.12 to 4.7.
type lgbFile struct {
	rest   []byte
	line   int               // the number of the line last read
	header map[string]string // names without a value too
	e      *Ensemble
	trees  lgbTree // one tree, reused
}

func loadLightGBM(data []byte) (*Ensemble, error) {
	f := &lgbFile{rest: data, header: map[string]string{}}
	f.e = &Ensemble{Library: "lightgbm", Arith: Float64, Average: 1, Scale: 1}
	f.next() // tree
	err := f.readHeader()
	for _, step := range []func() error{f.inputs, f.objective, f.readTrees, f.trailer} {
		if err == nil {
			err = step()
		}
	}
	if err != nil {
		return nil, err
	}
	f.e.Base = make([]float64, f.e.Groups)
	return f.e, nil
}

// next is the next line without its end, and whether there is one.
func (f *lgbFile) next() ([]byte, bool) {
	if len(f.rest) == 0 {
		return nil, false
	}
	line, rest, _ := bytes.Cut(f.rest, []byte("\n"))
	f.rest = rest
	f.line++
	return bytes.TrimSuffix(line, []byte("\r")), true
}

// peek reports whether the next line starts so. Empty lines before it are skipped.
func (f *lgbFile) peek(start string) bool {
	for bytes.HasPrefix(f.rest, []byte("\n")) || bytes.HasPrefix(f.rest, []byte("\r\n")) {
		f.next()
	}
	return bytes.HasPrefix(f.rest, []byte(start))
}

func (f *lgbFile) readHeader() error {
	for !f.peek("Tree=") && !f.peek("end of trees") && !f.peek("feature importances:") {
		line, ok := f.next()
		if !ok {
			return errCut
		}
		name, value, _ := strings.Cut(string(line), "=")
		switch name {
		case "version", "num_class", "num_tree_per_iteration", "max_feature_idx", "objective",
			"average_output", "feature_names", "feature_infos", "tree_sizes":
			f.header[name] = value
		case "label_index", "monotone_constraints": // not for scoring
		default:
			return fmt.Errorf("line %d: unknown field %q: written by a version of LightGBM that this program does not know", f.line, short(name))
		}
	}
	switch v := f.header["version"]; v {
	case "v2", "v3", "v4":
		f.e.Version = v
	case "":
		return fmt.Errorf("version is missing: written by LightGBM before 2.0.12")
	default:
		return fmt.Errorf("version is %q, readable are v2, v3 and v4", short(v))
	}
	return nil
}

func (f *lgbFile) count(name string) (int, error) {
	n, err := strconv.ParseInt(f.header[name], 10, 32)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%s is %q, not a count", name, short(f.header[name]))
	}
	return int(n), nil
}

func (f *lgbFile) inputs() error {
	last, err := f.count("max_feature_idx")
	if err != nil {
		return err
	}
	names, infos := f.header["feature_names"], f.header["feature_infos"]
	if countWords(names) != last+1 || countWords(infos) != last+1 {
		return fmt.Errorf("max_feature_idx is %d, but there are %d feature_names and %d feature_infos", last, countWords(names), countWords(infos))
	}
	f.e.Inputs = make([]Input, last+1)
	i := 0
	for name := range strings.FieldsSeq(names) {
		f.e.Inputs[i].Name = strings.Clone(name)
		i++
	}
	i = 0
	for info := range strings.FieldsSeq(infos) {
		// [low:high] for numbers, a:b:c for categories, none for a constant.
		if info != "none" && info[0] != '[' {
			f.e.Inputs[i].Kind = Categorical
		}
		i++
	}
	return nil
}

// objective reads the first word's link, and the words after it: "binary sigmoid:1".
func (f *lgbFile) objective() error {
	e := f.e
	groups, err := f.count("num_tree_per_iteration")
	if err != nil || groups == 0 || groups > maxGroups {
		return fmt.Errorf("num_tree_per_iteration is %q", short(f.header["num_tree_per_iteration"]))
	}
	e.Groups, e.Outputs = groups, []string{"score"}
	if groups > 1 {
		e.Outputs = numbered(groups)
	}
	e.Objective = f.header["objective"]
	words := append(strings.Fields(e.Objective), "")
	if e.Link, err = lgbLink(words[0]); err != nil {
		return err
	}
	for _, word := range words[1:] {
		name, value, _ := strings.Cut(word, ":")
		switch name {
		case "sqrt":
			if e.Link == Identity && words[0] != "huber" { // which ignores it
				e.Link = SignedSquare
			}
		case "sigmoid":
			if e.Scale, err = strconv.ParseFloat(value, 64); err != nil || !(e.Scale > 0) {
				return fmt.Errorf("objective: sigmoid is %q", short(value))
			}
		case "num_class":
			if value != strconv.Itoa(groups) {
				return fmt.Errorf("objective: num_class is %q, num_tree_per_iteration %d", short(value), groups)
			}
		case "":
		default:
			return fmt.Errorf("objective: unknown parameter %q", short(name))
		}
	}
	return nil
}

// lgbLink is the ConvertOutput of an objective, by the names that files have or had.
func lgbLink(objective string) (Link, error) {
	switch objective {
	case "regression", "regression_l2", "mean_squared_error", "mse", "l2", "l2_root", "root_mean_squared_error", "rmse",
		"regression_l1", "mean_absolute_error", "l1", "mae", "huber", "fair", "quantile",
		"mape", "mean_absolute_percentage_error", "lambdarank", "rank_xendcg", "xendcg", "xe_ndcg", "xe_ndcg_mart", "xendcg_mart":
		return Identity, nil
	case "poisson", "gamma", "tweedie":
		return Exp, nil
	case "binary", "multiclassova", "multiclass_ova", "ova", "ovr", "cross_entropy", "xentropy":
		return Sigmoid, nil
	case "multiclass", "softmax":
		return Softmax, nil
	case "cross_entropy_lambda", "xentlambda":
		return Log1pExp, nil
	case "", "custom", "none", "null", "na":
		return 0, fmt.Errorf("objective: the model was trained with one of its own, so what its scores are is not in the file")
	}
	return 0, fmt.Errorf("objective: %q is none of LightGBM's", short(objective))
}

func (f *lgbFile) readTrees() error {
	for f.peek("Tree=") {
		tree, err := f.tree(len(f.e.Trees))
		if err != nil {
			return within(fmt.Sprintf("Tree=%d", len(f.e.Trees)), err)
		}
		tree.Group = len(f.e.Trees) % f.e.Groups
		f.e.Trees = append(f.e.Trees, tree)
	}
	if sizes, ok := f.header["tree_sizes"]; ok && countWords(sizes) != len(f.e.Trees) {
		return fmt.Errorf("%d trees, but tree_sizes has %d entries: %w", len(f.e.Trees), countWords(sizes), errCut)
	}
	if len(f.e.Trees)%f.e.Groups != 0 {
		return fmt.Errorf("%d trees do not divide into rounds of num_tree_per_iteration=%d", len(f.e.Trees), f.e.Groups)
	}
	if _, ok := f.header["average_output"]; ok && len(f.e.Trees) > 0 {
		f.e.Average = float64(len(f.e.Trees) / f.e.Groups)
	}
	return nil
}

// trailer reads what follows the trees: which inputs are categories, and, from a
// pandas frame, their names.
func (f *lgbFile) trailer() error {
	const names, columns = "pandas_categorical:", "[categorical_feature: "
	ended := false
	for line, ok := f.next(); ok; line, ok = f.next() {
		switch {
		case string(line) == "end of trees", string(line) == "feature importances:":
			ended = true
		case !ended && len(line) > 0:
			return fmt.Errorf("line %d: %q between the trees", f.line, short(string(line)))
		case bytes.HasPrefix(line, []byte(columns)):
			f.categorical(string(bytes.TrimSuffix(line[len(columns):], []byte("]"))))
		case bytes.HasPrefix(line, []byte(names)):
			if err := f.categories(line[len(names):]); err != nil {
				return within("pandas_categorical", err)
			}
		}
	}
	if !ended {
		return errCut
	}
	return nil
}

// categorical marks the inputs that the training parameters list: feature_infos does
// not show those of one value. A list of names is left alone.
func (f *lgbFile) categorical(list string) {
	for word := range strings.SplitSeq(list, ",") {
		if i, err := strconv.Atoi(word); err == nil && i >= 0 && i < len(f.e.Inputs) {
			f.e.Inputs[i].Kind = Categorical
		}
	}
}

// categories gives the lists of pandas_categorical to the categorical inputs in
// turn. Where their numbers differ (an ordered category is a number to LightGBM) no
// one can tell whose they are: the inputs then have codes alone.
func (f *lgbFile) categories(data []byte) error {
	d := &document{src: &jsonTokens{data: data}}
	if bytes.Equal(bytes.TrimSpace(data), []byte("null")) {
		return nil
	}
	var lists [][]string
	err := d.array(func(int) error {
		var list []string
		err := d.each(func() error {
			c, err := d.category()
			list = append(list, c)
			return err
		})
		lists = append(lists, list)
		return err
	})
	if err != nil {
		return err
	}
	var inputs []*Input
	for i := range f.e.Inputs {
		if f.e.Inputs[i].Kind == Categorical {
			inputs = append(inputs, &f.e.Inputs[i])
		}
	}
	if len(inputs) == len(lists) {
		for i, list := range lists {
			inputs[i].Categories = list
		}
	}
	return nil
}
