package predictor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"scry/internal/testenv"
)

// TestOpen: a bundle opens whatever its features.yaml and golden.json say.
func TestOpen(t *testing.T) {
	models := filepath.Join(testenv.Shared(t), "models")
	b, err := Open(filepath.Join(models, "bad", "golden-disagrees"))
	if err != nil {
		t.Fatal(err)
	}
	if b.Name != "golden-disagrees" || b.ModelFile != "model.json" || !b.Named() || b.Spec != nil || len(b.Ensemble.Trees) == 0 || b.Compiled.Bytes() == 0 {
		t.Errorf("%+v", b)
	}
	d, err := b.Deployment(Config{})
	if err != nil || d.Digest != b.Digest || d.Golden.Rows != 0 {
		t.Errorf("%+v %v", d, err)
	}
	g, err := b.Golden()
	if err != nil || len(g.Rows) == 0 {
		t.Errorf("%v %v", g, err)
	}
	b, err = Open(filepath.Join(models, "lgb-cat-codes", "model.txt"))
	if err != nil || b.Named() || b.Name != "lgb-cat-codes" {
		t.Fatalf("%+v %v", b, err)
	}
	if g, err := b.Golden(); g != nil || err != nil {
		t.Errorf("a file alone has golden rows: %v %v", g, err)
	}
	if _, err := b.Deployment(Config{}); err == nil || !strings.Contains(err.Error(), "write a features.yaml") {
		t.Error(err)
	}
	model, err := os.ReadFile(filepath.Join(models, "xgb-gamma", "model.json"))
	if err != nil {
		t.Fatal(err)
	}
	b, err = openFS(fstest.MapFS{"model.json": {Data: model}, "features.yaml": {Data: []byte("[")}, "golden.json": {Data: []byte("[")}}, "x")
	if err != nil || b.Spec == nil {
		t.Fatal(err)
	}
	if _, err := b.Deployment(Config{}); err == nil || !strings.Contains(err.Error(), "features.yaml: ") {
		t.Error(err)
	}
	if _, err := b.Golden(); err == nil || !strings.Contains(err.Error(), "golden.json: ") {
		t.Error(err)
	}
}

// A format decides what reads the events, and so what a path may be.
func TestFormat(t *testing.T) {
	for _, c := range []struct {
		config Config
		want   string
	}{
		{Config{Entity: "user_id"}, ""},
		{Config{Format: "json", Entity: "user_id"}, ""},
		{Config{Format: "access_log", Entity: "remote_host"}, ""},
		{Config{Format: "access_log", Entity: "user_id"}, `no field "user_id"; it has vhost, remote_host`},
		{Config{Format: "csv"}, `input.format "csv"; it is json or access_log`},
	} {
		_, err := LoadFS(os.DirFS("../examples/bot-or-human/bundle"), "bundle", c.config)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v: %v, want %q", c.config, err, c.want)
		}
	}
}
