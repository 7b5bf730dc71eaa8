package forest

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// Each broken file of the shared set is refused within a second and 100 MB, by an
// error that says where the fault is.
func TestBadFiles(t *testing.T) {
	bad := filepath.Join(shared(t), "models", "bad")
	for _, c := range []struct{ file, says string }{
		{"json-cut/model.json", "cut"},
		{"ubj-array-2e40/model.ubj", "trees[0].base_weights: array of 1099511627776 elements"},
		{"lgb-num-leaves-2e9/model.txt", "Tree=0: leaf_value has 15 values, num_leaves is 2000000000"},
		{"xgb-cycle/model.json", "trees[0]: node 0: is the child of node"},
	} {
		t.Run(c.file, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join(bad, c.file))
			if err != nil {
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			_, err = Load(c.file, data)
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			if err == nil || !strings.HasPrefix(err.Error(), c.file+": ") || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %q does not say %q", err, c.says)
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > 100<<20 || took > time.Second {
				t.Errorf("took %v and %d bytes", took, used)
			}
		})
	}
}

// What a file makes Load allocate is bounded by its size, whatever it repeats.
func TestHostileMemory(t *testing.T) {
	const size = 1 << 20
	repeat := func(before, part, after string) string {
		return before + strings.Repeat(part, size/len(part)) + after
	}
	model := `{"learner":{"gradient_booster":{"name":"gbtree","model":{`
	leaf := `{"left_children":[-1],"right_children":[-1],"split_indices":[0],"split_conditions":[1],"default_left":[0]},`
	split := `{"left_children":[1,-1,-1],"right_children":[2,-1,-1],"split_indices":[0,0,0],"split_conditions":[1,1,1],"default_left":[0,0,0],` +
		`"split_type":[1,0,0],"categories":[9999],"categories_nodes":[0],"categories_segments":[0],"categories_sizes":[1]},`
	var stumps strings.Builder
	stumps.WriteString("tree\nversion=v4\nnum_tree_per_iteration=1\nmax_feature_idx=0\nfeature_names=a\nfeature_infos=none\nobjective=binary\n")
	for i := 0; stumps.Len() < size; i++ {
		fmt.Fprintf(&stumps, "Tree=%d\nnum_leaves=1\nleaf_value=0\n\n", i)
	}
	stumps.WriteString("end of trees\n")
	for name, file := range map[string]string{
		"names":      repeat(`{"learner":{"feature_names":[`, `"",`, `""]}}`),
		"attributes": repeat(`{"learner":{"attributes":{`, `"":"",`, `"":""}}}`),
		"numbers":    repeat(model+`"tree_info":[`, `0,`, `0]}}}}`),
		"trees":      repeat(model+`"trees":[`, leaf, leaf[:len(leaf)-1]+`]}}}}`),
		"sets":       repeat(model+`"trees":[`, split, split[:len(split)-1]+`]}}}}`),
		"members":    repeat(`{"version":[1],`, `"version":[3],`, `"version":[3]}`),
		"words":      repeat("tree\nversion=v4\nnum_tree_per_iteration=1\nmax_feature_idx=0\nfeature_names=", "a ", "\n\n"),
		"stumps":     stumps.String(),
		"pandas":     repeat(tinyLGB+"pandas_categorical:[[", "1,", "1]]\n"),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Load(name, []byte(file))
		runtime.ReadMemStats(&after)
		if used := (after.TotalAlloc - before.TotalAlloc) / uint64(len(file)); used > 64 {
			t.Errorf("%s: %d bytes allocated for each of the file: %v", name, used, err)
		} else {
			t.Logf("%s: %d bytes for each of the file: %v", name, used, err)
		}
	}
}
