package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

func modelCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "model",
		Short: "Look at a model file or bundle, verify it, describe its features, time it",
		Long: `Model looks at a model before it scores events. PATH is a model file, or a bundle: a folder
of the model, features.yaml and golden.json. See docs/models.md.`,
		Args: knownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(modelInspectCommand(), modelVerifyCommand(), modelInitCommand(), modelBenchCommand())
	return cmd
}

// writeJSON writes v for programs, and for people who look all the same.
func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// A number is written to JSON also when it is none: as the string NaN, +Inf or -Inf.
type number float64

func (n number) MarshalJSON() ([]byte, error) {
	if x := float64(n); math.IsNaN(x) || math.IsInf(x, 0) {
		return json.Marshal(strconv.FormatFloat(x, 'g', -1, 64))
	}
	return json.Marshal(float64(n))
}

// size writes bytes for people: 812 B, 1.2 kB, 34 MB.
func size(n int) string {
	x, unit := float64(n), ""
	for _, u := range []string{"B", "kB", "MB", "GB"} {
		if unit = u; x < 999.5 {
			break
		}
		x /= 1000
	}
	if unit == "B" || x >= 9.95 {
		return fmt.Sprintf("%.0f %s", x, unit)
	}
	return fmt.Sprintf("%.1f %s", x, unit)
}

// nanoseconds writes a time per row in the unit that suits it.
func nanoseconds(ns float64) string {
	if ns < 9995 {
		return fmt.Sprintf("%.0f ns", ns)
	}
	return fmt.Sprintf("%.1f us", ns/1000)
}

// some writes the first few of a list.
func some(texts []string, most int) string {
	if len(texts) <= most {
		return strings.Join(texts, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(texts[:most], ", "), len(texts)-most)
}
