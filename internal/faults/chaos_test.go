//go:build faults

package faults

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// TestChaos mixes the faults at random for as long as CHAOS says, under one pipeline of
// each combination and one whose cache is filled from the output. SEED repeats the choice of
// another run.
func TestChaos(t *testing.T) {
	length, err := time.ParseDuration(os.Getenv("CHAOS"))
	if err != nil {
		t.Skip("takes long: make chaos T=10m")
	}
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("SEED"); s != "" {
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	fmt.Printf("SEED=%d\n", seed)
	m := &chaos{cluster: world(t), rng: rand.New(rand.NewPCG(seed, 0)), count: map[string]int{}}
	binary := build(t)
	begin := func(with combination, sets ...string) {
		p := newPipeline(t, m.cluster, with, binary)
		p.begin(fault{expired: true, sets: sets})
		m.pipelines = append(m.pipelines, p)
	}
	for _, with := range combinations() {
		begin(with)
	}
	begin(combination{"exactly_once", "classic"}, fromOutput)
	for end := time.Now().Add(length); time.Now().Before(end) && !t.Failed(); {
		m.round(t)
	}
	time.Sleep(Grace)
	for _, name := range slices.Sorted(maps.Keys(m.count)) {
		fmt.Printf("%5d  %s\n", m.count[name], name)
	}
	for _, p := range m.pipelines {
		judge(t, "chaos", p.with, p.rest())
	}
}

type chaos struct {
	cluster   *cluster
	pipelines []*pipeline
	rng       *rand.Rand
	count     map[string]int
}

// round lets one or two faults happen, at about the same time, and then a while pass in
// which nothing does.
func (m *chaos) round(t *testing.T) {
	var wg sync.WaitGroup
	begin := time.Now()
	var shook *Fault
	for _, p := range m.pipelines {
		if f, ok := m.pick(func(f fault) bool { return f.strike != nil && !f.static && !f.upstream && !f.once && f.sets == nil }); ok {
			delay := time.Duration(m.rng.IntN(3000)) * time.Millisecond
			wg.Go(func() {
				time.Sleep(delay)
				p.during(f.name, func() { f.strike(p) })
				for len(p.running()) > 2 {
					p.running()[0].leave()
				}
			})
		}
	}
	if f, ok := m.pick(func(f fault) bool { return f.shake != nil }); ok {
		wg.Go(func() {
			if err := f.shake(m.cluster); err != nil {
				t.Error(err)
			}
			shook = &Fault{f.name, begin, time.Now()}
		})
	}
	wg.Wait()
	if shook != nil {
		for _, p := range m.pipelines {
			p.faults = append(p.faults, *shook)
		}
	}
	time.Sleep(time.Duration(m.rng.IntN(int((Grace + 2*time.Second).Milliseconds()))) * time.Millisecond)
}

// pick takes one of the faults, or none every other time.
func (m *chaos) pick(from func(fault) bool) (fault, bool) {
	var of []fault
	for _, f := range faults {
		if from(f) {
			of = append(of, f)
		}
	}
	f := of[m.rng.IntN(len(of))]
	if m.rng.IntN(2) == 0 {
		return fault{}, false
	}
	m.count[f.name]++
	return f, true
}
