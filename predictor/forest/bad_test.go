package forest

import (
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
