package forest

import (
	"fmt"
	"math"
)

// maxGroups bounds the outputs of a model, of which the file may state only the number.
const maxGroups = 1 << 16

// xgbObjective says what an objective does between margins and scores.
type xgbObjective struct {
	link Link
	base func(float32) float32 // a score -> its margin; nil: the same
}

// xgbObjectives are all that XGBoost 1.0 to 3.4 have built in: the PredTransform and
// ProbToMargin of each class under src/objective.
var xgbObjectives = map[string]xgbObjective{
	"reg:squarederror":     {},
	"reg:linear":           {}, // the same, its old name
	"reg:squaredlogerror":  {},
	"reg:pseudohubererror": {},
	"reg:absoluteerror":    {},
	"reg:quantileerror":    {},
	"reg:expectileerror":   {SoftplusSteps, nil},
	"reg:logistic":         {Sigmoid, logit32},
	"binary:logistic":      {Sigmoid, logit32},
	"binary:logitraw":      {},
	"binary:hinge":         {Hinge, nil},
	"count:poisson":        {Exp, log32},
	"reg:gamma":            {Exp, log32},
	"reg:tweedie":          {Exp, log32},
	"survival:cox":         {Exp, log32},
	"survival:aft":         {Exp, log32},
	"multi:softmax":        {SoftmaxArg, nil},
	"multi:softprob":       {Softmax, nil},
	"rank:pairwise":        {},
	"rank:ndcg":            {},
	"rank:map":             {},
}

// margin is the margin of a base score, NaN when it has none. Since 3.2 a
// probability is kept from 0 and 1 first.
func (o xgbObjective) margin(score float32, bounded bool) float32 {
	if o.base == nil {
		return score
	}
	const eps = 1e-6
	if o.link == Sigmoid && bounded && score >= 0 && score <= 1 {
		score = min(max(score, eps), 1-eps)
	}
	return o.base(score)
}

func logit32(p float32) float32 {
	if !(p > 0 && p < 1) {
		return float32(math.NaN())
	}
	return -log32(1/p - 1)
}

// log32 is rounded correctly. glibc's logf, which XGBoost calls, is an ulp off for
// about one base score in 200, and then margins differ by as much.
func log32(x float32) float32 { return float32(math.Log(float64(x))) }

func (f *xgbFile) link(e *Ensemble) error {
	o, ok := xgbObjectives[f.objective]
	if !ok {
		return fmt.Errorf("objective: %q is none of XGBoost's own, so its scores are unknown", short(f.objective))
	}
	classes, err := count(f.params, "num_class", 0)
	if err != nil {
		return err
	}
	targets, err := count(f.params, "num_target", 1)
	if err != nil {
		return err
	}
	e.Link = o.link
	e.Groups = max(classes, targets, 1)
	switch {
	case classes > 1 && targets > 1 || e.Groups > maxGroups:
		return fmt.Errorf("num_class is %d, num_target %d", classes, targets)
	case f.objective == "reg:quantileerror" && f.since(3, 4):
		e.Link = Sort
	}
	return nil
}

// softplusInverse undoes the steps between expectiles, which rise.
func softplusInverse(scores []float64) {
	for i := len(scores) - 1; i > 0; i-- {
		step := max(float32(scores[i])-float32(scores[i-1])-1e-6, 1e-6)
		scores[i] = float64(step + log32(-float32(math.Expm1(float64(-step)))))
	}
}
