package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"scry/internal/batch"
	"scry/predictor"
	"scry/predictor/feature"
	"scry/stream"
)

func scoreCommand() *cobra.Command {
	var file configFlags
	var o scoreOptions
	cmd := &cobra.Command{
		Use:   "score -c scry.yaml [FILE...]",
		Short: "Score files: events in, predictions out",
		Long: `Score does to the events of files what run does to those of a topic: the same event gets the
same prediction. It reads JSON lines (or lines in input.format), CSV with a header and
Parquet, also compressed with gzip or zstd, from files, globs and standard input, and writes
predictions in the order of the events as JSON lines, CSV or Parquet.

Events that cannot be scored are rejects: they go to --rejects, or with their line and reason
to standard error. A file given with --out appears when it is complete, or not at all. It
exits with 0 when every event was scored or rejected, and with 1 when none could be scored.`,
		Example: `  scry score -c scry.yaml events.jsonl > predictions.jsonl
  zcat events.jsonl.gz | scry score -c scry.yaml > predictions.jsonl
  scry score -c scry.yaml 'events-*.jsonl.zst' --out predictions.parquet --rejects rejects.jsonl
  scry score -c scry.yaml customers.parquet --to-cache --out predictions.csv`,
		RunE: func(cmd *cobra.Command, files []string) error {
			c, _, err := file.load()
			if err != nil {
				return err
			}
			if err := o.check(c); err != nil {
				return err
			}
			d, err := loadModel(c)
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			return o.score(ctx, c, d, files, os.Stdin, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	file.register(cmd)
	f := cmd.Flags()
	f.StringVarP(&o.out, "out", "o", "", "write the predictions to this file, which appears when it is complete (default: standard output)")
	f.StringVar(&o.rejects, "rejects", "", "write the rejects to this file, as JSON lines with the events (default: lines to standard error)")
	f.StringVar(&o.inputFormat, "input-format", "", "lines, csv or parquet (default: by each file's name; else lines, an event each)")
	f.StringVar(&o.outputFormat, "output-format", "", "jsonl, csv or parquet (default: by the name of --out; else jsonl)")
	f.BoolVar(&o.toCache, "to-cache", false, "write the predictions to Redis too, as run does: a newer one that is there stays")
	return cmd
}

type scoreOptions struct {
	out, rejects              string
	inputFormat, outputFormat string
	toCache                   bool
}

// check refuses what cannot be meant, before the model is loaded.
func (o *scoreOptions) check(c Config) error {
	switch o.inputFormat {
	case "", batch.Lines, batch.CSV, batch.Parquet:
	default:
		return &usageError{fmt.Errorf("--input-format %s: it is lines, csv or parquet", o.inputFormat)}
	}
	if o.outputFormat == "" {
		switch ext := strings.ToLower(filepath.Ext(o.out)); ext {
		case ".csv", ".parquet":
			o.outputFormat = ext[1:]
		default:
			o.outputFormat = batch.JSONLines
		}
	}
	switch o.outputFormat {
	case batch.JSONLines, batch.CSV, batch.Parquet:
	default:
		return &usageError{fmt.Errorf("--output-format %s: it is jsonl, csv or parquet", o.outputFormat)}
	}
	switch {
	case o.out != "" && o.out == o.rejects:
		return &usageError{errors.New("--out and --rejects name one file; give each its own")}
	case o.toCache && c.Cache.URL == "":
		return &usageError{errors.New("--to-cache: cache.url is empty; say which Redis: --set cache.url=redis://localhost:6379/0")}
	case o.toCache && c.Input.Entity == "":
		return &usageError{errors.New("--to-cache: a prediction is kept under its entity, and files have no record keys; say where events name it: --set input.entity=user_id")}
	}
	return nil
}

// score scores files, or stdin when there are none.
func (o *scoreOptions) score(ctx context.Context, c Config, d *predictor.Deployment, files []string, stdin *os.File, stdout, stderr io.Writer) (err error) {
	screen := &progress{terminal: openTerminal(stderr)}
	if len(files) == 0 {
		if openTerminal(stdin).redraw {
			return &usageError{errors.New("which files? name them, or send events to standard input")}
		}
		files = []string{"-"}
	}
	inputs, err := batch.Files(files, o.inputFormat, stdin)
	if err != nil {
		return err
	}
	outputs, err := o.open(inputs, stdout, screen)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, outputs.close(err == nil)) }()
	run := batch.Config{Inputs: inputs, Stream: c.Config, Deployment: d, Rejects: outputs.rejects,
		Fields:   feature.JSONConfig{Entity: c.Input.Entity, EventTime: c.Input.EventTime.Path, TimeUnit: feature.TimeUnit(c.Input.EventTime.Unit)},
		Progress: screen.update, Warn: screen.warn}
	if run.Output, err = batch.NewOutput(o.outputFormat, outputs.predictions, d); err != nil {
		return err
	}
	run.Stream.Cache.URL = ""
	if o.toCache {
		run.Stream.Cache.URL = c.Cache.URL
		run.Cache, err = stream.OpenCacheWriter(c.Cache, d, screen.dependency)
		if err != nil {
			return err
		}
		defer run.Cache.Close()
	}
	screen.begin(inputs)
	totals, err := batch.Run(ctx, run)
	screen.end()
	if err != nil {
		return o.explain(ctx, err)
	}
	screen.summary(totals, o.toCache)
	return nil
}

// explain says what an error leaves behind.
func (o *scoreOptions) explain(ctx context.Context, err error) error {
	left := "what is on standard output is not all"
	if o.out != "" {
		left = o.out + " was not written"
	}
	if ctx.Err() == nil {
		return fmt.Errorf("%w; %s", err, left)
	}
	return cutShort{signalError(signalOf(ctx)), left}
}

// A cutShort is a signal that ended the work before it was done.
type cutShort struct {
	signalError
	left string
}

func (e cutShort) Error() string { return "stopped by a signal; " + e.left }

func (e cutShort) Unwrap() error { return e.signalError }

// signalOf is the signal that ended a context of signal.NotifyContext.
func signalOf(ctx context.Context) syscall.Signal {
	if cause := context.Cause(ctx); cause != nil && strings.HasPrefix(cause.Error(), syscall.SIGTERM.String()) {
		return syscall.SIGTERM
	}
	return syscall.SIGINT
}
