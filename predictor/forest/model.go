package forest

import (
	"fmt"
	"slices"
)

// A Model is an ensemble compiled to score fast and to the bit as [Ensemble.Walk]
// does. It is immutable and safe for concurrent use. Scoring allocates nothing.
type Model struct {
	e      *Ensemble
	scorer scorer
}

// A scorer fills out with margins, or, unless raw, with scores, row after row.
type scorer interface {
	score(in, out []float64, rows int, raw bool)
	layout() string
	bytes() int
}

// Inputs are the columns of a row, in order.
func (m *Model) Inputs() []Input { return slices.Clone(m.e.Inputs) }

// Outputs are the names of a row's scores, in order.
func (m *Model) Outputs() []string { return slices.Clone(m.e.Outputs) }

// Predict reads len(out)/len(Outputs) rows of in, each of len(Inputs) values, NaN
// where one is missing, and fills out with their scores. A row's scores do not
// depend on the rows beside it. The error is for slices whose lengths disagree.
func (m *Model) Predict(in, out []float64) error {
	return m.score(in, out, len(m.e.Outputs), false)
}

// Margins is Predict before average and link: one value a group and row, as
// XGBoost's output_margin and LightGBM's raw_score give it.
func (m *Model) Margins(in, out []float64) error {
	return m.score(in, out, m.e.Groups, true)
}

func (m *Model) score(in, out []float64, width int, raw bool) error {
	rows := len(out) / width
	if len(out) != rows*width || len(in) != rows*len(m.e.Inputs) {
		return fmt.Errorf("forest: %d inputs and %d outputs are not whole rows of %d and %d",
			len(in), len(out), len(m.e.Inputs), width)
	}
	m.scorer.score(in, out, rows, raw)
	return nil
}

// Layout names how the model is laid out: "ranked" or "plain".
func (m *Model) Layout() string { return m.scorer.layout() }

// Bytes is the memory the layout takes, beside the ensemble.
func (m *Model) Bytes() int { return m.scorer.bytes() }
