package forest

import (
	"fmt"
	"strconv"
)

// maxInputs bounds the columns of a model that names none, for which the file states
// only their number.
const maxInputs = 1 << 17

// xgbFile is an XGBoost model while it is read: members come in any order, so all
// are kept until [xgbFile.ensemble] joins them. The layout is that of model.schema
// in XGBoost's documentation and of the SaveModel functions of versions 1.0 to 3.4.
type xgbFile struct {
	document
	version   [3]int64
	objective string
	attrs     map[string]string // best_iteration and the like
	params    map[string]string // learner_model_param, gbtree_model_param
	names     []string
	types     []string
	cats      [][]string // a feature's categories in code order

	booster  string // gbtree, dart or gblinear
	trees    []Tree
	groups   []int32 // tree_info
	rounds   []int32 // iteration_indptr: where each round's trees start; nil: not in the file
	drop     []float32
	inPlace  bool // weight_drop stood beside the model, where versions before 3.4 put it
	weights  []float32
	columns  xgbColumns // of one tree, reused
	setWords int        // left to spend on category sets
}

// loadXGBoost reads a model in the format that src speaks; size is the file's.
func loadXGBoost(src tokens, size int) (*Ensemble, error) {
	f := &xgbFile{
		document: document{src: src},
		attrs:    map[string]string{},
		params:   map[string]string{},
		setWords: 2 * size, // 8 bytes of set a byte of file
	}
	err := f.object(func(name string) error {
		switch name {
		case "learner":
			return f.object(f.learner)
		case "version":
			return f.readVersion()
		}
		return foreignJSON(name)
	})
	if err == nil {
		err = f.expect(end, "the end")
	}
	if err != nil {
		return nil, err
	}
	return f.ensemble()
}

// foreignJSON says whose JSON it is instead, by its first member.
func foreignJSON(name string) error {
	switch name {
	case "Model", "Config":
		return fmt.Errorf("a pickled XGBoost booster's state: save it with save_model(\"model.ubj\")")
	case "name", "num_class", "num_tree_per_iteration", "tree_info":
		return fmt.Errorf("LightGBM's dump_model output: save it with save_model(\"model.txt\")")
	case "oblivious_trees", "features_info", "model_info", "trees", "ctr_data", "float_features_index":
		return fmt.Errorf("a CatBoost model: save it with save_model(\"model.onnx\", format=\"onnx\")")
	}
	return fmt.Errorf("unknown field: not an XGBoost model of a version from 1.0 to 3.4")
}

// unknownField refuses what might change the scores.
func unknownField() error {
	return fmt.Errorf("unknown field: written by a version of XGBoost that this program does not know")
}

func (f *xgbFile) readVersion() error {
	i := 0
	return f.each(func() (err error) {
		if i == len(f.version) {
			return fmt.Errorf("more than three numbers")
		}
		f.version[i], err = f.asInt()
		i++
		return err
	})
}

func (f *xgbFile) learner(name string) (err error) {
	switch name {
	case "attributes":
		return f.strings(f.attrs)
	case "feature_names":
		f.names, err = f.texts()
		return err
	case "feature_types":
		f.types, err = f.texts()
		return err
	case "gradient_booster":
		return f.object(f.gradientBooster)
	case "learner_model_param":
		return f.strings(f.params)
	case "objective":
		return f.object(func(name string) (err error) {
			if name == "name" {
				f.objective, err = f.text()
				return err
			}
			return f.skip() // its parameters are for training
		})
	}
	return unknownField()
}

// strings reads an object whose members are all strings, and keeps those that tell
// how to score.
func (f *xgbFile) strings(into map[string]string) error {
	return f.object(func(name string) (err error) {
		switch name {
		case "best_iteration", "best_ntree_limit", "base_score", "num_class", "num_feature", "num_target",
			"num_trees", "num_parallel_tree", "num_nodes", "size_leaf_vector":
			into[name], err = f.text()
			return err
		}
		return f.expect(str, "a string")
	})
}

// count reads one of the numbers that XGBoost stores as text; absent is not an error.
func count(params map[string]string, name string, absent int) (int, error) {
	text, ok := params[name]
	if !ok {
		return absent, nil
	}
	v, err := strconv.ParseInt(text, 10, 32)
	if err != nil || v < 0 {
		return 0, fmt.Errorf("%s is %q, not a count", name, short(text))
	}
	return int(v), nil
}

func (f *xgbFile) gradientBooster(name string) (err error) {
	switch name {
	case "name":
		f.booster, err = f.text()
		return err
	case "model":
		return f.object(f.model)
	case "gbtree": // the trees of dart
		return f.object(func(name string) error {
			switch name {
			case "model":
				return f.object(f.model)
			case "name":
				return f.skip()
			}
			return unknownField()
		})
	case "weight_drop":
		f.inPlace = true
		return f.floats(&f.drop)
	}
	return unknownField()
}

func (f *xgbFile) model(name string) error {
	switch name {
	case "gbtree_model_param":
		return f.strings(f.params)
	case "trees":
		f.trees = nil
		return f.array(f.tree)
	case "tree_info":
		return f.ints(&f.groups)
	case "iteration_indptr":
		return f.ints(&f.rounds)
	case "weight_drop":
		return f.floats(&f.drop)
	case "cats":
		return f.object(func(name string) error {
			switch name {
			case "enc":
				f.cats = nil
				return f.array(f.encoding)
			case "feature_segments", "sorted_idx":
				return f.skip()
			}
			return unknownField()
		})
	case "weights":
		return f.floats(&f.weights)
	case "boosted_rounds":
		return f.skip()
	}
	return unknownField()
}

// encoding reads one feature's categories: either offsets into the characters of
// all, or numbers.
func (f *xgbFile) encoding(int) error {
	var offsets, chars []int32
	var categories []string
	var isText, done bool
	err := f.object(func(name string) error {
		switch name {
		case "offsets":
			if done {
				return fmt.Errorf("comes after values")
			}
			isText = true
			return f.ints(&offsets)
		case "type":
			return f.skip()
		case "values":
			done = true
			if isText {
				return f.ints(&chars)
			}
			return f.each(func() error {
				c, err := f.category()
				categories = append(categories, c)
				return err
			})
		}
		return unknownField()
	})
	if err == nil && isText {
		categories, err = splitChars(offsets, chars)
	}
	f.cats = append(f.cats, categories)
	return err
}

// splitChars cuts UTF-8 bytes, which may be stored signed, at the offsets.
func splitChars(offsets, chars []int32) ([]string, error) {
	text := make([]byte, len(chars))
	for i, c := range chars {
		if c < -128 || c > 255 {
			return nil, fmt.Errorf("values[%d] is %d, not a byte", i, c)
		}
		text[i] = byte(c)
	}
	var all []string
	for i := 1; i < len(offsets); i++ {
		from, to := offsets[i-1], offsets[i]
		if from < 0 || from > to || int(to) > len(text) {
			return nil, fmt.Errorf("offsets[%d] is %d: not between %d and %d", i, to, max(from, 0), len(text))
		}
		all = append(all, string(text[from:to]))
	}
	return all, nil
}
