// Simulate writes events of the simulated shop and how their sessions ended, one JSON
// object a line: {"event":{...},"bought":0}. The Python script beside it trains on
// them.
//
//	go run ./examples/buyer-intent/simulate -n 200000 -seed 1 > events.jsonl
package main

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"time"

	"scry/internal/shop"
)

func main() {
	n := flag.Int("n", 200_000, "events to write")
	seed := flag.Uint64("seed", 1, "of the shop")
	flag.Parse()
	w := bufio.NewWriterSize(os.Stdout, 1<<20)
	err := simulate(w, *n, *seed)
	if e := w.Flush(); err == nil {
		err = e
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "simulate:", err)
		os.Exit(1)
	}
}

// simulate spreads the events over four weeks, as the hours and days of a shop do. So
// slow a trickle is a small shop: visitors is few, for sessions to last minutes.
func simulate(w *bufio.Writer, n int, seed uint64) error {
	const weeks, visitors = 4, 32
	s := shop.New(seed, visitors)
	at := time.Date(2026, time.November, 2, 0, 0, 0, 0, time.UTC)
	step := float64(weeks*7*24*time.Hour) / float64(max(n, 1))
	buf := make([]byte, 0, 1024)
	for range n {
		at = at.Add(time.Duration(step / shop.Load(at)))
		_, event := s.Next(buf[:0], at)
		bought := byte('0')
		if s.Bought() {
			bought = '1'
		}
		w.WriteString(`{"event":`)
		w.Write(event)
		w.WriteString(`,"bought":`)
		w.WriteByte(bought)
		if _, err := w.WriteString("}\n"); err != nil {
			return err
		}
	}
	return nil
}
