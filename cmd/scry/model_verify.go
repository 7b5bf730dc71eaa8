package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"scry/predictor"
)

type verifyFlags struct {
	golden string
	max    int
	asJSON bool
}

func modelVerifyCommand() *cobra.Command {
	var f verifyFlags
	cmd := &cobra.Command{
		Use:   "verify PATH",
		Short: "Score the golden rows and compare with the training library's scores",
		Long: `Verify scores the rows of golden.json and compares with the scores beside them, which the
training library gave. It exits with 1, and shows the worst scores, when any differs by
more than is allowed, and when there are no golden rows: then nothing was verified.`,
		Example: `  scry model verify bundle/
  scry model verify model.ubj --golden golden.json`,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.max < 1 {
				return &usageError{errors.New("--max is at least 1")}
			}
			if err := verify(cmd.OutOrStdout(), args[0], f); err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&f.golden, "golden", "", "the file of golden rows, instead of the bundle's golden.json")
	cmd.Flags().IntVar(&f.max, "max", 10, "how many of the worst scores are shown")
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "write JSON")
	return cmd
}

// A verdict is what verify says, as JSON.
type verdict struct {
	Verified bool     `json:"verified"`
	Name     string   `json:"name"`
	Version  string   `json:"version"`
	Digest   string   `json:"digest"`
	Rows     int      `json:"rows"`
	Failed   int      `json:"failed"`
	MaxULP   number   `json:"max_ulp"` // of float32 for XGBoost, of float64 for LightGBM
	MaxDiff  number   `json:"max_difference"`
	Allowed  string   `json:"allowed"`
	Worst    []differ `json:"worst"`
}

type differ struct {
	Row      int    `json:"row"`
	Output   string `json:"output"`
	Expected number `json:"expected"`
	Got      number `json:"got"`
	ULP      number `json:"ulp"`
}

var errNoGolden = errors.New("no golden rows, so nothing was verified: write golden.json with the training library (docs/models.md), or name a file with --golden")

func verify(w io.Writer, path string, f verifyFlags) error {
	b, err := predictor.Open(path)
	if err != nil {
		return err
	}
	golden, err := goldenRows(b, f.golden)
	if err != nil {
		return err
	}
	d, err := b.Deployment(predictor.Config{})
	if err != nil {
		return err
	}
	r, err := predictor.Verify(d, golden)
	if err != nil {
		return err
	}
	v := verdict{r.Failed == 0, d.Name, d.Version, d.Digest, r.Rows, r.Failed, number(r.MaxULP), number(r.MaxDiff), r.Allowed, []differ{}}
	for _, x := range r.Worst[:min(len(r.Worst), f.max)] {
		v.Worst = append(v.Worst, differ{x.Row, x.Output, number(x.Expected), number(x.Got), number(x.ULP)})
	}
	write := v.write
	if f.asJSON {
		write = func(w io.Writer) error { return writeJSON(w, v) }
	}
	if err := write(w); err != nil {
		return err
	}
	if !v.Verified {
		return fmt.Errorf("%s of %s golden rows are not scored as the training library scored them", count(r.Failed), count(r.Rows))
	}
	return nil
}

// goldenRows reads the golden rows of a file, or else of the bundle.
func goldenRows(b *predictor.Bundle, file string) (*predictor.Golden, error) {
	if file == "" {
		golden, err := b.Golden()
		if err == nil && golden == nil {
			err = errNoGolden
		}
		return golden, err
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	golden, err := predictor.ParseGolden(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return golden, nil
}

func (v verdict) write(w io.Writer) error {
	if v.Verified {
		_, err := fmt.Fprintf(w, "%s/%s: %s golden rows, all reproduced; the greatest difference is %s ulp (%s allowed)\n",
			v.Name, v.Version, count(v.Rows), ulps(v.MaxULP), v.Allowed)
		return err
	}
	fmt.Fprintf(w, "%s/%s: %s of %s golden rows differ (%s allowed)\n\n", v.Name, v.Version, count(v.Failed), count(v.Rows), v.Allowed)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "row\toutput\texpected\tgot\tulp\t")
	for _, x := range v.Worst {
		fmt.Fprintf(t, "%d\t%s\t%v\t%v\t%s\t\n", x.Row, printable(x.Output), x.Expected, x.Got, ulps(x.ULP))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, "\nRows count from 0, as in the file. The worst come first.")
	return err
}

func ulps(n number) string { return strconv.FormatFloat(float64(n), 'g', 6, 64) }
