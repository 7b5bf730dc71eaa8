package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"scry/predictor"
	"scry/predictor/feature"
	"scry/predictor/forest"
)

func modelInitCommand() *cobra.Command {
	var write, force bool
	cmd := &cobra.Command{
		Use:   "init PATH",
		Short: "Write a features.yaml to start from",
		Long: `Init writes what the model itself knows of its features as a features.yaml: their names in
column order, and the categories it holds. Where in an event each is found is a guess to
edit. A model without names gets f0, f1 and so on.`,
		Example: `  scry model init model.ubj > features.yaml
  scry model init bundle/ --write`,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := predictor.Open(args[0])
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			text := startingSpec(b)
			if !write {
				_, err := cmd.OutOrStdout().Write(text)
				return err
			}
			file, err := specPath(args[0])
			if err == nil {
				err = writeNew(file, text, force)
			}
			if err == nil {
				fmt.Fprintf(cmd.OutOrStdout(), "%s: %d features; edit the paths, then: scry model inspect %s\n", file, len(b.Ensemble.Inputs), filepath.Dir(file))
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&write, "write", false, "write it beside the model instead of to standard output")
	cmd.Flags().BoolVar(&force, "force", false, "with --write: replace a features.yaml that is there")
	return cmd
}

// specPath is where the features.yaml of a model file or folder belongs.
func specPath(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !info.IsDir() {
		path = filepath.Dir(path)
	}
	return filepath.Join(path, "features.yaml"), nil
}

func writeNew(file string, text []byte, force bool) error {
	flags := os.O_WRONLY | os.O_CREATE | os.O_EXCL
	if force {
		flags = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	}
	f, err := os.OpenFile(file, flags, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already; --force replaces it", file)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}

const specHead = `# The features of %s (%s), in column order. Edit:
#   name     the model's name for the feature%s
#   path     where an event has it: cart.value, items[0].price, ["odd name"]
#   missing  what an event without it means: required (it becomes a dead letter), nan (the
#            model's own way with missing values) or a number that stands in
# Add categories: [a, b] where an event has a word and the model a number: the word's
# position, from 0. Add parse: true where an event has a number in quotes.
# See docs/models.md for all keys.
%s
features:
`

// startingSpec is a features.yaml of what the model knows.
func startingSpec(b *predictor.Bundle) []byte {
	e := b.Ensemble
	named, note := b.Named(), ""
	if !named {
		note = "; this one has none, so give any"
	}
	var w bytes.Buffer
	fmt.Fprintf(&w, specHead, printable(b.ModelFile), strings.TrimSpace(e.Library+" "+e.Version), note, labelsHint(len(e.Outputs)))
	for i, in := range e.Inputs {
		name := in.Name
		if !named {
			name = unnamed(i)
		}
		fmt.Fprintf(&w, "  - {name: %s, path: %s, missing: required}%s\n", scalar(name), scalar(feature.PathFor(name)), categoryHint(in))
	}
	return w.Bytes()
}

func labelsHint(outputs int) string {
	if outputs > 1 {
		return fmt.Sprintf("# labels: [a, b, ...]  # the names of the %d classes, in output order", outputs)
	}
	return "# labels: [no, yes]  # if the score is a probability: the negative class first"
}

func categoryHint(in forest.Input) string {
	switch {
	case len(in.Categories) > 0:
		return "  # the model holds its categories: " + printable(strings.ReplaceAll(some(in.Categories, 6), "\t", " "))
	case in.Kind == forest.Categorical:
		return "  # a category's code; for words add categories: [...], in code order"
	}
	return ""
}

// unnamed is the name of a feature for which the model has none.
func unnamed(i int) string { return fmt.Sprintf("f%d", i) }

// plainScalar matches what YAML takes for text in a flow mapping, whatever its version.
var plainScalar = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`)

// scalar writes a text in YAML, quoted where it could be read as anything else.
func scalar(s string) string {
	switch strings.ToLower(s) {
	case "null", "true", "false", "yes", "no", "on", "off", "y", "n":
	default:
		if plainScalar.MatchString(s) {
			return s
		}
	}
	var quoted bytes.Buffer
	e := json.NewEncoder(&quoted)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string always marshals; JSON's strings are YAML's
	return strings.TrimSuffix(quoted.String(), "\n")
}
