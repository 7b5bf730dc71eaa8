package forest

import (
	"path/filepath"
	"strings"
	"testing"
)

// logSlack is for the sets whose base margin the libm of the training machine, whose
// logf is off by an ulp for one number in 200, has rounded the other way.
var logSlack = map[string]float64{
	"xgb-2.0.3-early":     1e-8,
	"xgb-3.4.1-expectile": 2e-7,
}

// The versions that the shared models lack: testdata/make/make.sh trains and scores
// a few small models with each.
func TestGoldenVersions(t *testing.T) {
	dirs, err := filepath.Glob("testdata/[xl]gb-*")
	if err != nil || len(dirs) < 60 {
		t.Fatalf("%d sets, %v", len(dirs), err)
	}
	for _, dir := range dirs {
		files, err := filepath.Glob(dir + "/model.*")
		if err != nil || len(files) != 1 {
			t.Fatalf("%s: %v, %v", dir, files, err)
		}
		t.Run(filepath.Base(dir), func(t *testing.T) {
			checkGolden(t, files[0], filepath.Join(dir, "golden.json"), logSlack[filepath.Base(dir)])
			if e := loadFile(t, files[0]); e.Library == "xgboost" && !strings.Contains(dir, e.Version) {
				t.Errorf("version %s", e.Version)
			}
		})
	}
}
