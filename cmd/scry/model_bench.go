package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"scry/predictor"
)

type benchFlags struct {
	batches []int
	time    time.Duration
	asJSON  bool
}

func modelBenchCommand() *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use:   "bench PATH",
		Short: "Time the scoring of rows, in batches of several sizes, on one core",
		Long: `Bench scores the golden rows, or random ones when there are none, over and over in batches of
each size, in one goroutine, and shows the fastest pass over all rows: what the model costs
when nothing else disturbs. Extracting features from events is not part of it.`,
		Example: `  scry model bench bundle/
  scry model bench --batch 1,128,4096 --time 2s --json bundle/`,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, n := range f.batches {
				if n < 1 || n > 1<<20 {
					return &usageError{fmt.Errorf("--batch: %d rows; give 1 to %d", n, 1<<20)}
				}
			}
			s, err := bench(args[0], f)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			if f.asJSON {
				return writeJSON(cmd.OutOrStdout(), s)
			}
			return s.write(cmd.OutOrStdout())
		},
	}
	cmd.Flags().IntSliceVar(&f.batches, "batch", []int{1, 8, 128, 1024}, "rows in a batch; several sizes with commas between")
	cmd.Flags().DurationVar(&f.time, "time", 500*time.Millisecond, "how long each batch size is timed")
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "write JSON")
	return cmd
}

// speeds is what bench says of a model.
type speeds struct {
	Name    string   `json:"name"`
	Layout  string   `json:"layout"`
	Rows    int      `json:"rows"`
	Source  string   `json:"source"` // of the rows: golden or random
	Timings []timing `json:"timings"`
}

func bench(path string, f benchFlags) (*speeds, error) {
	b, err := predictor.Open(path)
	if err != nil {
		return nil, err
	}
	s := &speeds{Name: b.Name, Layout: b.Compiled.Layout(), Rows: 1024, Source: "random"}
	rows := randomRows(b.Ensemble, s.Rows)
	golden, err := b.Golden()
	if err != nil {
		return nil, err
	}
	if golden != nil {
		d, err := b.Deployment(predictor.Config{})
		if err != nil {
			return nil, err
		}
		if rows, err = golden.Matrix(d.Features); err != nil {
			return nil, err
		}
		s.Name, s.Rows, s.Source = d.Name, len(golden.Rows), "golden"
	}
	for _, batch := range f.batches {
		t, err := timeBatch(b.Compiled, rows, batch, f.time)
		if err != nil {
			return nil, err
		}
		s.Timings = append(s.Timings, t)
	}
	return s, nil
}

func (s *speeds) write(w io.Writer) error {
	fmt.Fprintf(w, "%s: layout %s, %s %s rows, one core\n\n", printable(s.Name), s.Layout, count(s.Rows), s.Source)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "batch\ta row\trows a second\tallocations a batch\t")
	for _, x := range s.Timings {
		fmt.Fprintf(t, "%s\t%s\t%s\t%.3g\t\n", count(x.Batch), nanoseconds(x.NsPerRow), count(int(1e9/x.NsPerRow)), x.Allocations)
	}
	return t.Flush()
}
