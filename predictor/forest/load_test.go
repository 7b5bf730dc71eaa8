package forest

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tiny is a hand-made XGBoost model: x0 < 0.5 ? 1 : (x1 in {1, 3} ? 3 : 2).
const tiny = `{"learner":{
 "attributes":{},"feature_names":["a","b"],"feature_types":["float","c"],
 "gradient_booster":{"name":"gbtree","model":{
  "gbtree_model_param":{"num_parallel_tree":"1","num_trees":"1"},
  "iteration_indptr":[0,1],"tree_info":[0],
  "cats":{"enc":[{"offsets":[],"values":[]},{"offsets":[0,1,3,4,5],"values":[120,-61,-68,121,122]}],"feature_segments":[],"sorted_idx":[]},
  "trees":[{"id":0,
   "left_children":[1,-1,3,-1,-1],"right_children":[2,-1,4,-1,-1],
   "split_indices":[0,0,1,0,0],"split_conditions":[5E-1,1,1E-45,2,3],"default_left":[1,0,0,0,0],"split_type":[0,0,1,0,0],
   "categories":[1,3],"categories_nodes":[2],"categories_segments":[0],"categories_sizes":[2],
   "tree_param":{"num_nodes":"5","size_leaf_vector":"1"}}]}},
 "learner_model_param":{"base_score":"[2.5E-1]","num_class":"0","num_feature":"2","num_target":"1"},
 "objective":{"name":"reg:squarederror","reg_loss_param":{"scale_pos_weight":"1"}}},
 "version":[3,4,0]}`

// tinyLGB is its like for LightGBM, with a linear leaf.
const tinyLGB = `tree
version=v4
num_class=1
num_tree_per_iteration=1
label_index=0
max_feature_idx=1
objective=regression
feature_names=a b
feature_infos=[0:1] 0:1:3
tree_sizes=1

Tree=0
num_leaves=3
num_cat=1
split_feature=0 1
threshold=0.5 0
decision_type=10 1
left_child=-1 -2
right_child=1 -3
leaf_value=1 2 3
cat_boundaries=0 1
cat_threshold=10
is_linear=1
leaf_const=1 2 3.5
num_features=0 0 1
leaf_features=0
leaf_coeff=2
shrinkage=1


end of trees

pandas_categorical:[["x", 2, 3.0, true]]
`

func TestTiny(t *testing.T) {
	for _, c := range []struct {
		file string
		row  []float64
		want float64
	}{
		{tiny, []float64{0.4, 0}, 1.25},
		{tiny, []float64{0.5, 1}, 3.25},
		{tiny, []float64{0.5, 2}, 2.25},
		{tiny, []float64{0.5, 99}, 2.25},
		{tinyLGB, []float64{0.5, 0}, 1},
		{tinyLGB, []float64{0.75, 1}, 2},
		{tinyLGB, []float64{0.75, 2}, 5},
		{strings.Replace(tinyLGB, "threshold=0.5", "threshold=inf", 1), []float64{math.Inf(1), 0}, 1},
		{strings.Replace(tinyLGB, "threshold=0.5", "threshold=inf", 1), []float64{math.NaN(), 0}, 1},
		{strings.Replace(tinyLGB, "threshold=0.5 0\ndecision_type=10", "threshold=inf 0\ndecision_type=8", 1), []float64{math.NaN(), 1}, 2},
	} {
		e, err := Load("tiny", []byte(c.file))
		if err != nil {
			t.Fatal(err)
		}
		margins := make([]float64, 1)
		if e.Walk(c.row, margins); margins[0] != c.want {
			t.Errorf("%s %v: %v, want %v", e.Library, c.row, margins[0], c.want)
		}
	}
}

func TestCategoriesOfFile(t *testing.T) {
	for file, want := range map[string]string{
		tiny: "[x ü y z]",
		// Versions 3.1 to 3.3 cut names wrongly where letters take two bytes.
		strings.Replace(tiny, "[3,4,0]", "[3,3,9]", 1):                        "[]",
		strings.Replace(tinyLGB, "[0:1] 0:1:3", "[0:1] none", 1) + "\n":       "[x 2 3 true]", // split on, so a category
		strings.Replace(tinyLGB, `[["x", 2`, `[["other"], ["x", 2`, 1) + "\n": "[]",           // whose is which?
	} {
		e, err := Load("m", []byte(file))
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(e.Inputs[1].Categories); got != want || e.Inputs[1].Kind != Categorical {
			t.Errorf("%s: categories %s, want %s", e.Library, got, want)
		}
	}
}

// Every fault is refused by an error that names its place.
func TestFaults(t *testing.T) {
	for _, c := range []struct{ file, old, new, says string }{
		{tiny, `"split_indices":[0,0,1`, `"split_indices":[0,0,2`, "learner.gradient_booster.model: trees[0]: split_indices has 2 of 2 features"},
		{tiny, `"split_indices":[0,0,1`, `"split_indices":[-1,0,1`, "trees[0]: node 0: split_indices is -1"},
		{tiny, `"split_indices":[0,0,1`, `"split_indices":[0,0.5,1`, `trees[0].split_indices[1]: "0.5" is not a whole number`},
		{tiny, `"split_indices":[0,0,1`, `"split_indices":[0,4294967296,1`, `trees[0].split_indices[1]: 4294967296 is out of range`},
		{tiny, `"split_indices":[0,0,1`, `"split_indices":[0,"0",1`, `trees[0].split_indices[1]: expected a whole number`},
		{tiny, `[2,-1,4,-1,-1]`, `[9,-1,4,-1,-1]`, "trees[0]: node 0: child 9 of 5 nodes"},
		{tiny, `[2,-1,4,-1,-1]`, `[2,-1,1,-1,-1]`, "trees[0]: node 1: is the child of node"},
		{tiny, `[2,-1,4,-1,-1]`, `[2,-1,4,-1]`, "trees[0]: right_children has 4 values, num_nodes is 5"},
		{tiny, `[2,-1,4,-1,-1]`, `[-1,-1,4,-1,-1]`, "trees[0]: node 0: child -1 of 5 nodes"},
		{tiny, `[5E-1,1,`, `[NaN,1,`, "trees[0]: node 0: split_conditions is NaN"},
		{tiny, `[5E-1,1,`, `[5E-1,Infinity,`, "trees[0]: node 1: leaf value is +Inf"},
		{tiny, `[5E-1,1,`, `[5E99,1,`, `split_conditions[0]: "5E99" is not a float32`},
		{tiny, `"split_type":[0,0,1`, `"split_type":[0,0,2`, "trees[0]: node 2: split_type is 2"},
		{tiny, `"split_type":[0,0,1`, `"split_type":[1,0,1`, "trees[0]: node 0: is categorical, but not in categories_nodes"},
		{tiny, `"categories":[1,3]`, `"categories":[1,16777216]`, "trees[0]: node 2: categories from 1 to 16777216"},
		{tiny, `"categories":[1,3]`, `"categories":[1,16777215]`, "trees[0]: node 2: the splits' category sets are too large for a file of this size"},
		{tiny, `"categories":[1,3]`, `"categories":[-1,3]`, "trees[0]: node 2: categories from -1 to 3"},
		{tiny, `"categories_sizes":[2]`, `"categories_sizes":[3]`, "trees[0]: node 2: categories 0 to 3 of 2"},
		{tiny, `"categories_nodes":[2]`, `"categories_nodes":[5]`, "trees[0]: categories_nodes[0] is 5 of 5 nodes"},
		{tiny, `"num_nodes":"5"`, `"num_nodes":"2000000000"`, "trees[0]: left_children has 5 values, num_nodes is 2000000000"},
		{tiny, `"size_leaf_vector":"1"`, `"size_leaf_vector":"2000000000"`, "trees[0]: base_weights has 0 values"},
		{tiny, `"id":0`, `"id":1`, "trees[0].id: is 1 at position 0"},
		{tiny, `"id":0`, `"id":0,"leaf_boost":[1]`, "trees[0].leaf_boost: unknown field"},
		{tiny, `"num_trees":"1"`, `"num_trees":"2"`, `model: trees has 1 entries, tree_info 1, num_trees is "2"`},
		{tiny, `"tree_info":[0]`, `"tree_info":[1]`, "model: tree_info[0] is 1 of 1 outputs"},
		{tiny, `"iteration_indptr":[0,1]`, `"iteration_indptr":[0,2]`, "iteration_indptr does not divide 1 trees"},
		{tiny, `"attributes":{}`, `"attributes":{"best_iteration":"1"}`, "best_iteration is 1 of 1 rounds"},
		{tiny, `"gbtree",`, `"gbforest",`, `gradient_booster: name: unknown booster "gbforest"`},
		{tiny, `"gbtree",`, `"gbtree","weight_drop":[1,1],`, `weight_drop has 2 values for 1 trees`},
		{tiny, `"gbtree",`, `"gblinear",`, `model.weights has 0 values`},
		{tiny, `reg:squarederror`, `my:own`, `learner: objective: "my:own" is none of XGBoost's own`},
		{tiny, `[2.5E-1]`, `[1,2]`, `learner: base_score "[1,2]" is not for 1 outputs`},
		{tiny, `[2.5E-1]`, `x`, `learner: base_score "x" is not a number`},
		{tiny, `reg:squarederror","reg_loss_param":{"scale_pos_weight":"1"}}},`, `binary:logistic"},"learner_model_param":{"base_score":"1.5","num_feature":"2"}},`, `base_score "1.5" is not a score of binary:logistic`},
		{tiny, `"num_feature":"2"`, `"num_feature":"2000000000"`, `learner: num_feature is 2000000000`},
		{tiny, `"num_feature":"2"`, `"num_feature":"3"`, `learner: feature_names has 2 entries, num_feature is 3`},
		{tiny, `"num_class":"0"`, `"num_class":"2000000000"`, `learner: num_class is 2000000000`},
		{tiny, `"num_class":"0"`, `"num_class":"-1"`, `learner: num_class is "-1"`},
		{tiny, `"offsets":[0,1,3,4,5]`, `"offsets":[0,1,3,4,6]`, `cats.enc[1]: offsets[4] is 6`},
		{tiny, `[120,-61`, `[120,-610`, `cats.enc[1]: values[1] is -610, not a byte`},
		{tiny, `[3,4,0]`, `[4,0,0]`, `version: written by XGBoost 4.0`},
		{tiny, `[3,4,0]`, `[3,4,0,0]`, `version[3]: more than three numbers`},
		{tiny, `"version":[3,4,0]}`, `"version":[3,4,0]} {`, `more follows the document's end`},
		{tiny, `"scale_pos_weight":"1"`, `"x":` + strings.Repeat("[", 99), `nested more than 32 levels deep`},
		{tiny, `"version"`, `"Config":{},"version"`, `Config: a pickled XGBoost booster's state`},
		{tinyLGB, "version=v4", "version=v5", `version is "v5"`},
		{tinyLGB, "version=v4\n", "", `version is missing: written by LightGBM before 2.0.12`},
		{tinyLGB, "label_index=0", "label_count=0", `line 5: unknown field "label_count"`},
		{tinyLGB, "max_feature_idx=1", "max_feature_idx=2000000000", "max_feature_idx is 2000000000, but there are 2 feature_names"},
		{tinyLGB, "num_tree_per_iteration=1", "num_tree_per_iteration=2000000000", "num_tree_per_iteration is"},
		{tinyLGB, "num_tree_per_iteration=1", "num_tree_per_iteration=2", "1 trees do not divide into rounds"},
		{tinyLGB, "objective=regression", "objective=", "objective: the model was trained with one of its own"},
		{tinyLGB, "objective=regression", "objective=regression beta:1", `objective: unknown parameter "beta"`},
		{tinyLGB, "objective=regression", "objective=binary sigmoid:0", `objective: sigmoid is "0"`},
		{tinyLGB, "objective=regression", "objective=multiclass num_class:3", `objective: num_class is "3"`},
		{tinyLGB, "objective=regression", "objective=magic", `objective: "magic" is none of LightGBM's`},
		{tinyLGB, "tree_sizes=1", "tree_sizes=1 1", "1 trees, but tree_sizes has 2 entries"},
		{tinyLGB, "split_feature=0 1", "split_feature=0 2", "Tree=0: node 1: split_feature is 2 of 2"},
		{tinyLGB, "split_feature=0 1", "split_feature=0", "Tree=0: split_feature has 1 values, num_leaves is 3"},
		{tinyLGB, "split_feature=0 1", "split_feature=0 x", `Tree=0: line 15: split_feature: value 1: strconv.ParseInt: parsing "x"`},
		{tinyLGB, "decision_type=10 1", "decision_type=14 1", "Tree=0: node 0: decision_type is 14"},
		{tinyLGB, "threshold=0.5 0", "threshold=nan 0", "threshold: value 0: is NaN"},
		{tinyLGB, "threshold=0.5 0", "threshold=0.5 1", "Tree=0: node 1: threshold is 1, not one of 1 category sets"},
		{tinyLGB, "left_child=-1 -2", "left_child=0 -2", "Tree=0: node 0: child 0: not a later node"},
		{tinyLGB, "left_child=-1 -2", "left_child=-4 -2", "Tree=0: node 0: child -4: not a later node of 2, nor a leaf of 3"},
		{tinyLGB, "left_child=-1 -2", "left_child=-2 -2", "Tree=0: node 1: child -2: has two parents"},
		{tinyLGB, "leaf_value=1 2 3", "leaf_value=1 2 inf", "Tree=0: leaf 2: leaf_value is +Inf"},
		{tinyLGB, "cat_boundaries=0 1", "cat_boundaries=0 2", "Tree=0: cat_boundaries has 2 after 0, cat_threshold has 1 values"},
		{tinyLGB, "num_cat=1", "num_cat=2000000000", "Tree=0: cat_boundaries has 2 values, num_cat is 2000000000"},
		{tinyLGB, "num_features=0 0 1", "num_features=0 0 2000000000", "Tree=0: leaf 2: num_features is 2000000000"},
		{tinyLGB, "leaf_features=0", "leaf_features=2", "Tree=0: leaf 2: leaf_features has 2 of 2"},
		{tinyLGB, "shrinkage=1", "spline=1", "Tree=0: line 28: spline: unknown field"},
		{tinyLGB, "Tree=0", "Tree=1", `Tree=0: line 12: "Tree=1"`},
		{tinyLGB, "end of trees", "end of treats", `"end of treats" between the trees`},
		{tinyLGB, "true]]", "true", "pandas_categorical"},
	} {
		_, err := Load("m", []byte(strings.Replace(c.file, c.old, c.new, 1)))
		if err == nil || !strings.HasPrefix(err.Error(), "m: ") || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s for %s:\nerror %v\ndoes not say %s", c.new, c.old, err, c.says)
		}
	}
}

// A model cut anywhere is refused, and so are files of other kinds, each by name.
func TestNotAModel(t *testing.T) {
	for _, file := range []string{tiny, tinyLGB[:strings.Index(tinyLGB, "end of trees")]} {
		for n := range len(file) {
			if _, err := Load("m", []byte(file[:n])); err == nil {
				t.Fatalf("cut at %d: no error", n)
			}
		}
	}
	for file, says := range map[string]string{
		"":                                "is empty",
		"hello":                           "neither XGBoost's JSON or UBJ nor LightGBM's text",
		"binf\x00":                        "XGBoost's binary format",
		"\x00\x00\x00\x3f........gbtree":  "XGBoost's deprecated binary format",
		"[\n {\"nodeid\": 0":              "XGBoost's JSON dump",
		"booster[0]:\n0:[f0<1]":           "XGBoost's text dump",
		"\x80\x04\x95":                    "Python pickle",
		"CBM1....":                        "CatBoost",
		"\x08\x0a\x12\x08skl2onnx":        "ONNX",
		"\x1f\x8b\x08":                    "gzip",
		`{"name":"tree","version":"v4"}`:  "LightGBM's dump_model output",
		`{"oblivious_trees":[]}`:          "CatBoost",
		`{"learner":{"generic_param":{}}`: "learner.generic_param: unknown field",
	} {
		if _, err := Load("m", []byte(file)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: error %v does not say %s", file, err, says)
		}
	}
}

func TestForeignFiles(t *testing.T) {
	models := filepath.Join(shared(t), "models")
	for file, says := range map[string]string{
		"mlflow-lightgbm-skops/model/model.skops": "zip archive, as skops",
		"onnx-gb/model.onnx":                      "ONNX",
		"cat-binary/model.cbm":                    "CatBoost",
		"cat-binary/model.json":                   "CatBoost",
	} {
		data, err := os.ReadFile(filepath.Join(models, file))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Load("m", data); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: error %v does not say %s", file, err, says)
		}
	}
}
