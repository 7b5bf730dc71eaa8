package stream

import (
	"errors"

	"scry/predictor/feature"
)

// A reject is why a record became a dead letter instead of a prediction.
type reject struct {
	stage  string // where: extract, predict, produce
	reason string // one of a bounded set, for metrics
	err    error
}

// The reasons, as the label `reason` and the header scry-reason spell them.
const (
	reasonMalformed = "malformed"       // cannot be decoded
	reasonMissing   = "missing_feature" // lacks a required feature
	reasonModel     = "model_error"     // the model failed on this row
	reasonTooLarge  = "too_large"       // the prediction does not fit a record
	reasonRefused   = "refused"         // the broker refuses this record
)

var reasons = []string{reasonMalformed, reasonMissing, reasonModel, reasonTooLarge, reasonRefused}

func rejectExtract(err error) *reject {
	reason := reasonMalformed
	if errors.Is(err, feature.ErrMissing) {
		reason = reasonMissing
	}
	return &reject{stage: "extract", reason: reason, err: err}
}
