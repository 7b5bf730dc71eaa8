package main

import (
	"math"
	"math/rand/v2"
	"runtime"
	"time"

	"scry/predictor/forest"
)

// randomRows makes n rows that go everywhere in a model: each number stands at or just
// below one of the thresholds it is compared with, each category is one that some split
// lists or the one after, and one value in twenty is missing. They are the same rows
// every time.
func randomRows(e *forest.Ensemble, n int) []float64 {
	thresholds := make([][]float64, len(e.Inputs))
	codes := make([]int, len(e.Inputs))
	for t := range e.Trees {
		tree := &e.Trees[t]
		for _, node := range tree.Nodes {
			if f := node.Feature; node.Set >= 0 {
				codes[f] = max(codes[f], 32*len(tree.Sets[node.Set]))
			} else {
				thresholds[f] = append(thresholds[f], node.Threshold)
			}
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	rows := make([]float64, 0, n*len(e.Inputs))
	for range n {
		for f, values := range thresholds {
			x := random.NormFloat64()
			switch {
			case random.IntN(20) == 0:
				x = math.NaN()
			case codes[f] > 0:
				x = float64(random.IntN(codes[f] + 1))
			case len(values) > 0:
				x = values[random.IntN(len(values))]
				if random.IntN(2) == 0 {
					x = float64(math.Nextafter32(float32(x), float32(math.Inf(-1))))
				}
			}
			rows = append(rows, x)
		}
	}
	return rows
}

// A timing is how fast a model scores batches of one size on one core.
type timing struct {
	Batch       int     `json:"batch"`
	NsPerRow    float64 `json:"ns_per_row"`
	Allocations float64 `json:"allocations_per_batch"`
}

// timeBatch scores the rows in batches of one size, over and over for the time given,
// and takes the fastest pass: the others were disturbed. The rows are repeated to make
// whole batches. One goroutine does it all.
func timeBatch(m *forest.Model, rows []float64, batch int, d time.Duration) (timing, error) {
	width, outputs := len(m.Inputs()), len(m.Outputs())
	n := len(rows) / width
	batches := (max(n, batch) + batch - 1) / batch
	in := make([]float64, 0, batches*batch*width)
	for len(in) < cap(in) {
		in = append(in, rows[:min(len(rows), cap(in)-len(in))]...)
	}
	out := make([]float64, batch*outputs)
	pass := func() error {
		for at := 0; at < len(in); at += batch * width {
			if err := m.Predict(in[at:at+batch*width], out); err != nil {
				return err
			}
		}
		return nil
	}
	if err := pass(); err != nil { // and touch everything once
		return timing{}, err
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	best, passes := time.Duration(math.MaxInt64), 0
	for start := time.Now(); passes < 3 || time.Since(start) < d; passes++ {
		began := time.Now()
		if err := pass(); err != nil {
			return timing{}, err
		}
		best = min(best, time.Since(began))
	}
	runtime.ReadMemStats(&after)
	return timing{
		Batch:       batch,
		NsPerRow:    math.Round(float64(best.Nanoseconds())/float64(batches*batch)*10) / 10,
		Allocations: math.Round(float64(after.Mallocs-before.Mallocs)/float64(passes*batches)*100) / 100,
	}, nil
}
