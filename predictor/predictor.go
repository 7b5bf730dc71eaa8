// Package predictor makes a model file into something that scores events: it loads
// a bundle (the model as its library saved it, features.yaml, golden.json), refuses
// one whose golden rows it cannot reproduce, and joins extractor and model.
package predictor

import "scry/predictor/feature"

// A Model scores rows. It is immutable and safe for concurrent use. It is CPU-bound
// and cannot be cancelled, so it takes no context.
type Model interface {
	// Inputs are the feature names in column order; Outputs the score names.
	Inputs() []string
	Outputs() []string
	// Predict reads len(out)/len(Outputs) rows of in, row after row, fills out the
	// same way and keeps neither. It allocates nothing. A score does not depend on
	// the rows beside it. An error concerns the whole call; the caller retries row
	// by row to find the one at fault.
	Predict(in, out []float64) error
}

// A Deployment is one verified model with its identity. It is immutable: a batch
// takes one and scores all its events with it.
type Deployment struct {
	Name    string // labels predictions: model_name, and the cache's keys
	Version string
	Digest  string // sha256 of the bundle, hex

	Features  []feature.Feature // one a column
	Extractor feature.Extractor
	Model     Model

	// Labels name the classes, in output order (two for a binary model, negative
	// first); none for a regression. Threshold decides between two.
	Labels    []string
	Threshold float64

	Golden    Report // on the bundle's golden rows; none: it came without
	tolerance tolerance
}

// Score scores one event by itself: what extractor and model make of it, one value
// an output. The stream does the same many events at a time, without allocating.
func (d *Deployment) Score(event []byte) ([]float64, error) {
	row, scores := make([]float64, len(d.Features)), make([]float64, len(d.Model.Outputs()))
	if _, err := d.Extractor.Extract(event, row, feature.NewScratch(len(row))); err != nil {
		return nil, err
	}
	return scores, d.Model.Predict(row, scores)
}
