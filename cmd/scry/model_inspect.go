package main

import (
	"fmt"
	"io"
	"math"
	"reflect"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"scry/predictor"
	"scry/predictor/forest"
)

func modelInspectCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "inspect PATH",
		Short: "Show what a model is: trees, features, outputs, memory, cost",
		Long: `Inspect shows what a model file or bundle holds: the library that wrote it, its trees, its
features as the model and features.yaml tell them, its outputs, the memory it takes, and
what scoring a row costs here and now, measured for a tenth of a second on random rows.`,
		Example: `  scry model inspect model.ubj
  scry model inspect --json bundle/ | jq .features`,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := inspect(args[0])
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), s)
			}
			return s.write(cmd.OutOrStdout())
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return cmd
}

// A modelSummary is what inspect says of a model.
type modelSummary struct {
	Name           string   `json:"name"`
	Version        string   `json:"version,omitempty"`
	Digest         string   `json:"digest"`
	File           string   `json:"file"`
	Library        string   `json:"library"`
	LibraryVersion string   `json:"library_version,omitempty"`
	Objective      string   `json:"objective"`
	Link           string   `json:"link"`
	Outputs        []string `json:"outputs"`
	Labels         []string `json:"labels,omitempty"`
	Trees          int      `json:"trees"` // 0: a linear model
	Depth          int      `json:"depth"`
	Leaves         int      `json:"leaves"`
	Layout         string   `json:"layout"`
	LayoutBytes    int      `json:"layout_bytes"`
	MemoryBytes    int      `json:"memory_bytes"`
	Cost           timing   `json:"cost"` // on random rows
	Golden         *struct {
		Rows   int    `json:"rows"`
		Failed int    `json:"failed"`
		Error  string `json:"error,omitempty"`
	} `json:"golden,omitempty"`
	Unnamed  bool             `json:"unnamed,omitempty"` // the features' names are made up
	Features []featureSummary `json:"features"`
}

type featureSummary struct {
	Name       string   `json:"name"`
	Type       string   `json:"type"` // to the model: numeric or categorical
	Splits     int      `json:"splits"`
	Path       string   `json:"path,omitempty"`
	Missing    string   `json:"missing,omitempty"` // what stands in for it: nan, a number, or required
	Categories []string `json:"categories,omitempty"`
}

var linkNames = map[forest.Link]string{
	forest.Identity: "none", forest.Sigmoid: "sigmoid", forest.Softmax: "softmax", forest.SoftmaxArg: "index of the greatest",
	forest.Exp: "exp", forest.Hinge: "0 or 1", forest.SignedSquare: "sign(x) x^2", forest.Log1pExp: "log(1+exp)",
	forest.Sort: "ascending order", forest.SoftplusSteps: "softplus steps",
}

func inspect(path string) (*modelSummary, error) {
	b, err := predictor.Open(path)
	if err != nil {
		return nil, err
	}
	e := b.Ensemble
	s := &modelSummary{
		Name: b.Name, Digest: b.Digest, File: b.ModelFile, Library: e.Library, LibraryVersion: e.Version,
		Objective: e.Objective, Link: linkNames[e.Link], Outputs: e.Outputs,
		Trees: len(e.Trees), Layout: b.Compiled.Layout(), LayoutBytes: b.Compiled.Bytes(),
		MemoryBytes: memoryOf(e) + b.Compiled.Bytes(),
	}
	s.shape(e)
	if b.Named() || b.Spec != nil {
		if err := s.deployed(b); err != nil {
			return nil, err
		}
	} else {
		s.Unnamed = true
		for i := range s.Features {
			s.Features[i].Name = unnamed(i)
		}
	}
	const rows = 1024
	s.Cost, err = timeBatch(b.Compiled, randomRows(e, rows), 128, 100*time.Millisecond)
	return s, err
}

// memoryOf is what an ensemble takes beside its layout, its few names not counted.
func memoryOf(e *forest.Ensemble) int {
	n := bytesOf(e.Trees) + bytesOf(e.Inputs) + bytesOf(e.Base)
	for i := range e.Trees {
		t := &e.Trees[i]
		n += bytesOf(t.Nodes) + bytesOf(t.Leaves) + bytesOf(t.Sets)
		for k := range t.Leaves {
			n += bytesOf(t.Leaves[k].Vector) + bytesOf(t.Leaves[k].Feature) + bytesOf(t.Leaves[k].Coef)
		}
		for _, set := range t.Sets {
			n += bytesOf(set)
		}
	}
	if e.Linear != nil {
		n += bytesOf(e.Linear.Weight) + bytesOf(e.Linear.Bias)
	}
	return n
}

func bytesOf[S ~[]T, T any](s S) int { return cap(s) * int(reflect.TypeFor[T]().Size()) }

// shape counts what the trees consist of.
func (s *modelSummary) shape(e *forest.Ensemble) {
	s.Features = make([]featureSummary, len(e.Inputs))
	for i, in := range e.Inputs {
		s.Features[i] = featureSummary{Name: in.Name, Type: "numeric", Categories: in.Categories}
		if in.Kind == forest.Categorical {
			s.Features[i].Type = "categorical"
		}
	}
	for t := range e.Trees {
		tree := &e.Trees[t]
		s.Leaves += len(tree.Leaves)
		depth := make([]int, len(tree.Nodes)) // children follow their parent
		for i, n := range tree.Nodes {
			s.Features[n.Feature].Splits++
			s.Depth = max(s.Depth, depth[i]+1)
			for _, child := range []int32{n.Left, n.Right} {
				if child >= 0 {
					depth[child] = depth[i] + 1
				}
			}
		}
	}
}

// deployed adds what features.yaml and golden.json say.
func (s *modelSummary) deployed(b *predictor.Bundle) error {
	d, err := b.Deployment(predictor.Config{})
	if err != nil {
		return err
	}
	s.Name, s.Version, s.Labels = d.Name, d.Version, d.Labels
	for i, f := range d.Features {
		s.Features[i].Name, s.Features[i].Path, s.Features[i].Categories = f.Name, f.Path, f.Categories
		switch {
		case f.Required:
			s.Features[i].Missing = "required"
		case math.IsNaN(f.Missing):
			s.Features[i].Missing = "nan"
		default:
			s.Features[i].Missing = strconv.FormatFloat(f.Missing, 'g', -1, 64)
		}
	}
	golden, err := b.Golden()
	if golden == nil && err == nil {
		return nil
	}
	s.Golden = new(struct {
		Rows   int    `json:"rows"`
		Failed int    `json:"failed"`
		Error  string `json:"error,omitempty"`
	})
	if err == nil {
		var r predictor.Report
		r, err = predictor.Verify(d, golden)
		s.Golden.Rows, s.Golden.Failed = r.Rows, r.Failed
	}
	if err != nil {
		s.Golden.Error = err.Error()
	}
	return nil
}

func (s *modelSummary) write(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(what, format string, args ...any) {
		fmt.Fprintf(t, "%s\t%s\n", what, printable(fmt.Sprintf(format, args...)))
	}
	line("model", "%s", strings.TrimSuffix(s.Name+"/"+s.Version, "/"))
	line("file", "%s, sha256 of the bundle %s", s.File, s.Digest)
	line("library", "%s", strings.TrimSpace(s.Library+" "+s.LibraryVersion))
	line("objective", "%s, link %s", s.Objective, s.Link)
	line("outputs", "%d: %s", len(s.Outputs), some(s.Outputs, 10))
	if len(s.Labels) > 0 {
		line("labels", "%s", some(s.Labels, 20))
	}
	if s.Trees > 0 {
		line("trees", "%s, %s deep at most, %s leaves", count(s.Trees), count(s.Depth), count(s.Leaves))
	} else {
		line("trees", "none")
	}
	line("layout", "%s, %s", s.Layout, size(s.LayoutBytes))
	line("memory", "%s, the layout included", size(s.MemoryBytes))
	line("cost", "about %s a row (%.0f ms, random rows in batches of %d, one core, now)", nanoseconds(s.Cost.NsPerRow), 100., s.Cost.Batch)
	switch g := s.Golden; {
	case g == nil:
		line("golden rows", "none: nothing shows that scores are the training library's")
	case g.Error != "":
		line("golden rows", "cannot be scored: %s", g.Error)
	case g.Failed > 0:
		line("golden rows", "%s, of which %s differ: see scry model verify", count(g.Rows), count(g.Failed))
	default:
		line("golden rows", "%s, reproduced", count(g.Rows))
	}
	line("features", "%d", len(s.Features))
	if err := t.Flush(); err != nil {
		return err
	}
	return s.writeFeatures(w)
}

func (s *modelSummary) writeFeatures(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(t, "\n  #\tNAME\tTYPE\tSPLITS\tPATH\tMISSING\tCATEGORIES\n")
	for i, f := range s.Features {
		categories := some(f.Categories, 6)
		if len(f.Categories) > 0 {
			categories = fmt.Sprintf("%d: %s", len(f.Categories), categories)
		}
		cells := fmt.Sprintf("%3d\t%s\t%s\t%s\t%s\t%s\t%s", i, f.Name, f.Type, count(f.Splits), f.Path, f.Missing, categories)
		fmt.Fprintln(t, printable(cells))
	}
	if err := t.Flush(); err != nil || !s.Unnamed {
		return err
	}
	_, err := fmt.Fprintln(w, "\nThe model names no features: name them in features.yaml, see scry model init.")
	return err
}
