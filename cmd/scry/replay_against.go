package main

import (
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"scry/stream"
)

// A comparison is what replay --against says, as JSON.
type comparison struct {
	From       time.Time `json:"from"`
	To         time.Time `json:"to"`
	Champion   aModel    `json:"champion"`
	Challenger aModel    `json:"challenger"`
	stream.Compared
}

// compared is why a comparison is worth nothing; nil: it is worth something.
func (c comparison) compared() error {
	switch {
	case c.Events > 0:
		return nil
	case c.Read == c.Tombstones:
		return errors.New("nothing was compared: there is no event between the two times; give another --from or --to")
	}
	return errors.New("nothing was compared: all events were rejected, by one model or both; scry validate shows what becomes of the newest one, feature by feature")
}

func writeComparison(w io.Writer, c comparison, asJSON bool) error {
	if asJSON {
		return writeJSON(w, c)
	}
	fmt.Fprintf(w, "champion %v, challenger %v, %s to %s\n", c.Champion, c.Challenger, c.From.Format(time.RFC3339Nano), c.To.Format(time.RFC3339Nano))
	fmt.Fprintf(w, "%s: %s compared, %s, %s rejected by both\n", plural(c.Read, "event"), count(c.Events), plural(c.Tombstones, "tombstone"), count(c.RejectedBoth))
	writeRejections(w, "champion", c.RejectedChampion)
	writeRejections(w, "challenger", c.RejectedChallenger)
	if c.Labelled > 0 {
		fmt.Fprintf(w, "same label: %s of %s (%.2f %%)\n", count(c.Agreed), count(c.Labelled), 100*float64(c.Agreed)/float64(c.Labelled))
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, f := range c.Flips {
		fmt.Fprintf(t, "  %s\t%s -> %s\n", count(f.Events), printable(f.Champion), printable(f.Challenger))
	}
	if err := t.Flush(); err != nil || c.Events == 0 {
		return err
	}
	d := c.Deltas
	fmt.Fprintf(w, "same score: %s of %s\n", count(d.Count-d.Unequal), count(d.Count))
	if d.WithoutNumber > 0 {
		fmt.Fprintf(w, "no number from one of the two: %s\n", count(d.WithoutNumber))
	}
	fmt.Fprintf(w, "\nchallenger's score less the champion's\n")
	fmt.Fprintf(w, "  mean           %+.6f\n", d.Mean)
	fmt.Fprintf(w, "  mean absolute  %.6f\n", d.MeanAbs)
	fmt.Fprintf(w, "  percentiles    50: %.6f  90: %.6f  99: %.6f  99.9: %.6f  greatest: %.6f (all absolute)\n", d.P50Abs, d.P90Abs, d.P99Abs, d.P999Abs, d.MaxAbs)
	if len(c.Worst) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	t = tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "GREATEST DIFFERENCES\tCHAMPION\tCHALLENGER\tDELTA")
	for _, x := range c.Worst {
		fmt.Fprintf(t, "%s\t%s\t%s\t%+.6f\n", printable(x.ID), verdictText(x.Champion), verdictText(x.Challenger), x.Delta)
	}
	return t.Flush()
}

func verdictText(v stream.Verdict) string {
	if v.Label == "" {
		return fmt.Sprintf("%.6f", v.Score)
	}
	return fmt.Sprintf("%.6f %s", v.Score, printable(v.Label))
}

func writeRejections(w io.Writer, by string, r stream.Rejections) {
	if r.Events > 0 {
		fmt.Fprintf(w, "%s rejected by the %s alone\n", count(r.Events), by)
		writeReasons(w, r.Reasons, r.First)
	}
}
