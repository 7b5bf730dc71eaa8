package predictor

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"scry/predictor/feature"
	"scry/predictor/forest"
)

// The files of a bundle beside the model.
const (
	specFile   = "features.yaml"
	goldenFile = "golden.json"
)

// What a bundle may weigh, in bytes.
const (
	maxModel = 2 << 30
	maxText  = 64 << 20
)

// A Config is what the pipeline says about a bundle.
type Config struct {
	// Format is how an event is written: json or access_log; empty: json.
	Format string
	// Paths override where features.yaml finds a feature, by the feature's name.
	Paths map[string]string
	// Threshold is the score from which the second of two classes is the label.
	Threshold float64
	// Entity is the path of what a prediction is about; empty: events name none.
	Entity string
	// EventTime is the path of the event's time; empty: events tell none, lines of an
	// access log their own.
	EventTime string
	// TimeUnit is how the time is written: rfc3339, s, ms or us; empty: rfc3339.
	TimeUnit string
}

// extractor is what reads events of the format.
func (c Config) extractor(features []feature.Feature) (feature.Extractor, error) {
	switch c.Format {
	case "", "json":
		return feature.NewJSON(features, feature.JSONConfig{Entity: c.Entity, EventTime: c.EventTime, TimeUnit: feature.TimeUnit(c.TimeUnit)})
	case "access_log":
		return feature.NewAccessLog(features, feature.AccessLogConfig{Entity: c.Entity, EventTime: c.EventTime})
	}
	return nil, fmt.Errorf("input.format %q; it is json or access_log", c.Format)
}

// Load reads the bundle at path: a folder, or the model file alone. In a folder it
// takes the one file named model.ubj, model.json, model.txt, model.lgb or model.onnx,
// of model.ubj and model.json together the former (the same model in less space),
// and features.yaml and golden.json where they are. Every golden row is scored: when
// one disagrees the error is a *GoldenError. Where there is no golden.json,
// Deployment.Golden has no rows, which the caller should say.
func Load(path string, c Config) (*Deployment, error) {
	b, err := Open(path)
	if err != nil {
		return nil, err
	}
	return b.verified(c)
}

// LoadFS is Load for a folder that is not on disk. Name is used where features.yaml
// gives none.
func LoadFS(fsys fs.FS, name string, c Config) (*Deployment, error) {
	b, err := openFS(fsys, name)
	if err != nil {
		return nil, err
	}
	return b.verified(c)
}

// modelFile picks the model among a folder's files.
func modelFile(files []string) (string, error) {
	var found []string
	for _, name := range []string{"model.ubj", "model.json", "model.txt", "model.lgb", "model.onnx"} {
		if slices.Contains(files, name) {
			found = append(found, name)
		}
	}
	switch {
	case len(found) == 1, len(found) == 2 && found[1] == "model.json":
		return found[0], nil
	case len(found) == 0:
		return "", fmt.Errorf("no model in the folder: model.ubj, model.json, model.txt, model.lgb or model.onnx is wanted, there is %s", list(files))
	}
	return "", fmt.Errorf("more than one model in the folder: %s; keep one", list(found))
}

// verified is the bundle's deployment, its golden rows reproduced.
func (b *Bundle) verified(c Config) (*Deployment, error) {
	d, err := b.Deployment(c)
	if err != nil {
		return nil, err
	}
	golden, err := b.Golden()
	if err != nil || golden == nil {
		return d, err
	}
	if d.Golden, err = Verify(d, golden); err != nil {
		return nil, fmt.Errorf("%s: %w", goldenFile, err)
	}
	if d.Golden.Failed > 0 {
		return nil, fmt.Errorf("%s: %w", goldenFile, &GoldenError{d.Golden})
	}
	return d, nil
}

// forestModel names the inputs of a forest as features.yaml does.
type forestModel struct {
	*forest.Model
	inputs []string
}

func (m forestModel) Inputs() []string { return m.inputs }

// readFile reads a regular file of at most limit bytes.
func readFile(fsys fs.FS, name string, limit int64) ([]byte, error) {
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", name)
	}
	tooLarge := fmt.Errorf("%s is larger than %d MiB", name, limit>>20)
	if info.Size() > limit {
		return nil, tooLarge
	}
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	data := make([]byte, info.Size())
	_, err = io.ReadFull(f, data)
	if err == nil {
		var more [1]byte
		if n, _ := f.Read(more[:]); n > 0 {
			err = errors.New("changes while it is read")
		}
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return data, nil
}

// digest is the sha256, in hex, over the files in the order of their names: each its
// name, a zero byte, its sha256.
func digest(contents map[string][]byte) string {
	names := make(map[string]bool)
	for name := range contents {
		names[name] = true
	}
	h := sha256.New()
	for _, name := range sorted(names) {
		sum := sha256.Sum256(contents[name])
		h.Write(append([]byte(name), 0))
		h.Write(sum[:])
	}
	return hex.EncodeToString(h.Sum(nil))
}
