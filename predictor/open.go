package predictor

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"scry/predictor/forest"
)

// A Bundle is a model with what lies beside it, read but not judged: for tools that
// look at a model before it may score events.
type Bundle struct {
	Name      string // the folder's or the file's; features.yaml may give another
	Digest    string // sha256 of the files, hex
	ModelFile string // its name in the bundle
	Ensemble  *forest.Ensemble
	Compiled  *forest.Model

	Spec, GoldenJSON []byte // features.yaml and golden.json; nil where there is none
}

// Open reads the bundle at path, as Load finds it, and compiles the model. What
// features.yaml and golden.json say is not looked at yet.
func Open(path string) (*Bundle, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	path, err = filepath.Abs(path) // the name of . is its folder's
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return openFS(os.DirFS(path), filepath.Base(path))
	}
	dir, file := filepath.Split(path)
	name := strings.TrimSuffix(file, filepath.Ext(file))
	if name == "model" {
		name = filepath.Base(dir)
	}
	return open(os.DirFS(dir), name, file, nil)
}

func openFS(fsys fs.FS, name string) (*Bundle, error) {
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return nil, err
	}
	var files []string
	for _, e := range entries {
		files = append(files, e.Name())
	}
	model, err := modelFile(files)
	if err != nil {
		return nil, err
	}
	return open(fsys, name, model, files)
}

func open(fsys fs.FS, name, model string, files []string) (*Bundle, error) {
	if filepath.Ext(model) == ".onnx" {
		return nil, fmt.Errorf("%s: ONNX is not scored yet; save the booster itself, as model.ubj or model.txt", model)
	}
	contents := make(map[string][]byte)
	limits := map[string]int64{model: maxModel}
	for _, file := range []string{specFile, goldenFile} {
		if slices.Contains(files, file) {
			limits[file] = maxText
		}
	}
	for file, limit := range limits {
		data, err := readFile(fsys, file, limit)
		if err != nil {
			return nil, err
		}
		contents[file] = data
	}
	ensemble, err := forest.Load(model, contents[model])
	if err != nil {
		return nil, err
	}
	compiled, err := forest.Compile(ensemble)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", model, err)
	}
	return &Bundle{
		Name: name, Digest: digest(contents), ModelFile: model, Ensemble: ensemble, Compiled: compiled,
		Spec: contents[specFile], GoldenJSON: contents[goldenFile],
	}, nil
}

// Deployment joins the model with features.yaml and what the pipeline says. The
// golden rows are not scored: see [Verify].
func (b *Bundle) Deployment(c Config) (*Deployment, error) {
	d := &Deployment{Name: b.Name, Digest: b.Digest, Threshold: c.Threshold, tolerance: tolerances[b.Ensemble.Arith]}
	var s spec
	var err error
	if b.Spec != nil {
		if s, err = parseSpec(b.Spec); err != nil {
			return nil, fmt.Errorf("%s: %w", specFile, err)
		}
	}
	if d.Features, err = columns(b.Ensemble.Inputs, s.features, c.Paths); err != nil {
		return nil, err
	}
	if d.Extractor, err = c.extractor(d.Features); err != nil {
		return nil, err
	}
	if outputs := len(b.Ensemble.Outputs); len(s.labels) > 0 && len(s.labels) != max(outputs, 2) {
		return nil, fmt.Errorf("%s: labels: %s for a model of %d outputs; name %d classes, in output order", specFile, list(s.labels), outputs, max(outputs, 2))
	}
	d.Labels = s.labels
	d.Model = forestModel{b.Compiled, namesOf(d.Features)}
	if s.name != "" {
		d.Name = s.name
	}
	d.Version = s.version
	if d.Version == "" {
		d.Version = d.Digest[:12]
	}
	return d, nil
}

// Golden reads golden.json; nil when the bundle has none.
func (b *Bundle) Golden() (*Golden, error) {
	if b.GoldenJSON == nil {
		return nil, nil
	}
	g, err := ParseGolden(b.GoldenJSON)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", goldenFile, err)
	}
	return g, nil
}

// Named says whether the model names its inputs; else features.yaml lists them in
// column order.
func (b *Bundle) Named() bool { return hasNames(b.Ensemble.Inputs, nil) }
