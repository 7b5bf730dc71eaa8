package forest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"testing"
	"time"
)

// BenchmarkLoad reports, beside time, how much memory a model keeps and allocates a
// byte of its file.
func BenchmarkLoad(b *testing.B) {
	for _, file := range []string{"models/osi-xgb/model.json", "models/osi-xgb/model.ubj", "models/lgb-wide-names/model.txt"} {
		data, err := os.ReadFile(filepath.Join(shared(b), file))
		if err != nil {
			b.Fatal(err)
		}
		b.Run(file, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if _, err := Load(file, data); err != nil {
					b.Fatal(err)
				}
			}
			kept, total, _ := loadCost(b, data)
			b.ReportMetric(kept, "kept/B")
			b.ReportMetric(total, "allocated/B")
		})
	}
}

// loadCost loads once: bytes kept and allocated for each of the file's, and the time.
func loadCost(t testing.TB, data []byte) (kept, total float64, took time.Duration) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	start := time.Now()
	e, err := Load("m", data)
	took = time.Since(start)
	if err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(e)
	size := float64(len(data))
	return float64(int64(after.HeapAlloc)-int64(before.HeapAlloc)) / size, float64(after.TotalAlloc-before.TotalAlloc) / size, took
}

// A model of 50 MB loads within four times its size. It takes half a second of a
// core; the test allows for a machine that does other things too.
func TestLoadLarge(t *testing.T) {
	if testing.Short() || raceEnabled {
		t.Skip("50 MB: not with -short or -race")
	}
	data, err := os.ReadFile(filepath.Join(shared(t), "models/osi-xgb/model.json"))
	if err != nil {
		t.Fatal(err)
	}
	data = repeatTrees(data, 50<<20)
	_, total, took := loadCost(t, data)
	t.Logf("%d bytes: %v, %.2f bytes allocated a byte", len(data), took, total)
	if total > 4 || took > 10*time.Second {
		t.Errorf("%d bytes: %v, %.2f bytes allocated a byte", len(data), took, total)
	}
}

// repeatTrees grows an XGBoost JSON model to a size by repeating its trees.
func repeatTrees(data []byte, size int) []byte {
	start := bytes.Index(data, []byte(`"trees":[`)) + len(`"trees":[`)
	stop := bytes.LastIndex(data, []byte(`]},"name":"gbtree"`))
	trees := data[start:stop]
	id := regexp.MustCompile(`"id":\d+`)
	out := append([]byte(nil), data[:start]...)
	n := 0
	for len(out) < size {
		out = append(out, id.ReplaceAllFunc(trees, func([]byte) []byte {
			n++
			return fmt.Appendf(nil, `"id":%d`, n-1)
		})...)
		out = append(out, ',')
	}
	out = append(out[:len(out)-1], data[stop:]...)
	groups := bytes.TrimSuffix(bytes.Repeat([]byte("0,"), n), []byte(","))
	out = regexp.MustCompile(`"tree_info":\[[^]]*\]`).ReplaceAllLiteral(out, append(append([]byte(`"tree_info":[`), groups...), ']'))
	out = regexp.MustCompile(`"iteration_indptr":\[[^]]*\]`).ReplaceAllLiteral(out, fmt.Appendf(nil, `"iteration_indptr":[0,%d]`, n))
	return regexp.MustCompile(`"num_trees":"\d+"`).ReplaceAllLiteral(out, fmt.Appendf(nil, `"num_trees":"%d"`, n))
}
