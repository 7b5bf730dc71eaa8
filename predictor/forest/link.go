package forest

import "math"

// finish turns the margins of one row into its scores, as the library does and in
// its type: the average of a random forest, then the link. It fills scores, one an
// output, which may be margins itself, and allocates nothing.
func (e *Ensemble) finish(margins, scores []float64) {
	if e.Average != 1 {
		for i, m := range margins {
			margins[i] = m / e.Average
		}
	}
	if e.Arith == Float32 {
		link32(e.Link, margins, scores)
		return
	}
	link64(e.Link, e.Scale, margins, scores)
}

// link32 is XGBoost's: float32 throughout, but for softmax's float64 sum.
func link32(link Link, margins, scores []float64) {
	switch link {
	case Sigmoid:
		for i, m := range margins {
			scores[i] = float64(sigmoid32(float32(m)))
		}
	case Softmax:
		top := float32(greatest(margins))
		var sum float64
		for i, m := range margins {
			scores[i] = float64(exp32(float32(m) - top))
			sum += scores[i]
		}
		for i := range scores {
			scores[i] = float64(float32(scores[i]) / float32(sum))
		}
	case SoftmaxArg:
		scores[0] = float64(argmax(margins))
	case Exp:
		for i, m := range margins {
			scores[i] = float64(exp32(float32(m)))
		}
	case Hinge:
		for i, m := range margins {
			scores[i] = 0
			if m > 0 {
				scores[i] = 1
			}
		}
	case Sort:
		copy(scores, margins)
		insertionSort(scores)
	case SoftplusSteps:
		sum := float32(margins[0])
		scores[0] = float64(sum)
		for i := 1; i < len(margins); i++ {
			sum += 1e-6 + softplus32(float32(margins[i]))
			scores[i] = float64(sum)
		}
	default:
		copy(scores, margins)
	}
}

// link64 is LightGBM's.
func link64(link Link, scale float64, margins, scores []float64) {
	switch link {
	case Sigmoid:
		for i, m := range margins {
			scores[i] = 1 / (1 + math.Exp(-scale*m))
		}
	case Softmax:
		top := greatest(margins)
		var sum float64
		for i, m := range margins {
			scores[i] = math.Exp(m - top)
			sum += scores[i]
		}
		for i := range scores {
			scores[i] /= sum
		}
	case Exp:
		for i, m := range margins {
			scores[i] = math.Exp(m)
		}
	case SignedSquare:
		for i, m := range margins {
			scores[i] = math.Copysign(m*m, m)
		}
	case Log1pExp:
		for i, m := range margins {
			scores[i] = math.Log1p(math.Exp(m))
		}
	default:
		copy(scores, margins)
	}
}

// sigmoid32 caps the exponent as XGBoost does, so that a very negative margin gives
// its tiny number instead of 0.
func sigmoid32(m float32) float32 {
	return 1 / (exp32(min(-m, 88.7)) + 1)
}

func softplus32(x float32) float32 {
	if x > 0 {
		return x + log1p32(exp32(-x))
	}
	return log1p32(exp32(x))
}

func log1p32(x float32) float32 { return float32(math.Log1p(float64(x))) }

func greatest(values []float64) float64 { return values[argmax(values)] }

// argmax is the index of the first greatest value.
func argmax(values []float64) int {
	best := 0
	for i, v := range values {
		if v > values[best] {
			best = i
		}
	}
	return best
}

func insertionSort(values []float64) {
	for i := 1; i < len(values); i++ {
		for k := i; k > 0 && values[k-1] > values[k]; k-- {
			values[k-1], values[k] = values[k], values[k-1]
		}
	}
}
