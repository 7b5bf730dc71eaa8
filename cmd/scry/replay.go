package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"scry/predictor"
	"scry/stream"
)

// replayFlags say what is replayed, and where to.
type replayFlags struct {
	file     configFlags
	from, to string
	topic    string
	noCache  bool
	against  string
	asJSON   bool
}

func replayCommand() *cobra.Command {
	var f replayFlags
	cmd := &cobra.Command{
		Use:   "replay -c scry.yaml --from T [--to T] [--topic TOPIC] [--no-cache] [--against PATH]",
		Short: "Score a span of the input again, with this model or against another",
		Long: `Replay scores what the input topics got between two times again, as run would with the model
in scry.yaml, and ends. It may run beside run, which does not notice: it has a consumer group of
its own. In Redis a newer prediction stays, and that of the same event is replaced. Rejected
events are counted and told, and do not become dead letters a second time.

Cut short, the same replay goes on where it stopped: give it the same two times, which it logs
and tells. When it is through, its group is deleted, and the same command begins anew.

With --against nothing is written or committed: both models score the span, and what is told is
how the scores, labels and rejects of the one at PATH (the challenger) differ from those of
the one in scry.yaml (the champion). When no event could be compared, it exits with 1.

Times are those of the records. In each partition a replay reads from the first record of --from
or later up to the first one of --to or later.`,
		Example: `  scry replay -c scry.yaml --from 2026-11-24T10:00:00Z --to 2026-11-24T12:00:00Z
  scry replay -c scry.yaml --from 2h --to 1h --topic predictions.again --no-cache
  scry replay -c scry.yaml --from 24h --against models/buyer-intent-2
  scry replay -c scry.yaml --from 24h --against models/buyer-intent-2 --json`,
		Args:              exactArgs(0),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, span, err := f.load()
			if err != nil {
				return err
			}
			d, err := loadModel(c)
			if err != nil {
				return err
			}
			var challenger *predictor.Deployment
			if f.against != "" {
				other := c
				other.Model.URI = f.against
				if challenger, err = loadModel(other); err != nil {
					return fmt.Errorf("--against: %w", err)
				}
			}
			return withSignals(cmd.Context(), func(ctx context.Context) error {
				t := openTerminal(cmd.ErrOrStderr())
				o := stream.Replay{Span: span, Progress: spanProgress(t)}
				if challenger != nil {
					sum, err := stream.CompareSpan(ctx, c.Config, d, challenger, span, o.Progress)
					endProgress(t)
					if err != nil {
						return err
					}
					c := comparison{span.From, span.To, about(d), about(challenger), sum}
					return errors.Join(writeComparison(cmd.OutOrStdout(), c, f.asJSON), c.compared())
				}
				began := time.Now()
				sum, err := stream.ReplaySpan(ctx, c.Config, d, o, stream.Env{Log: newLogger(cmd.ErrOrStderr(), c.Log)})
				endProgress(t)
				r := replayReport{span.From, span.To, about(d), c.Output.Topic, c.Cache.URL != "" && c.Cache.From == "input", time.Since(began).Seconds(), sum}
				if err != nil && sum.Read == 0 {
					return err
				}
				return errors.Join(err, r.write(cmd.OutOrStdout(), f.asJSON))
			})
		},
	}
	f.file.register(cmd)
	cmd.Flags().StringVar(&f.from, "from", "", "where the span begins: 2026-11-24T10:00:00Z, or 2h ago as 2h")
	cmd.Flags().StringVar(&f.to, "to", "", "where it ends, likewise; now, when this is left out")
	cmd.Flags().StringVar(&f.topic, "topic", "", "write the predictions to this `TOPIC` instead of output.topic")
	cmd.Flags().BoolVar(&f.noCache, "no-cache", false, "leave Redis alone")
	cmd.Flags().StringVar(&f.against, "against", "", "compare with the model or bundle at `PATH`, and write nothing")
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "the result as JSON")
	return cmd
}

// load reads the configuration, with what the flags say put into it, and the span.
func (f *replayFlags) load() (c Config, span stream.Span, err error) {
	if f.against != "" && (f.topic != "" || f.noCache) {
		return c, span, &usageError{errors.New("--against writes nothing: leave out --topic and --no-cache")}
	}
	now := time.Now().Truncate(time.Second)
	if f.from == "" {
		return c, span, &usageError{errors.New("from when on? give --from, a time such as 2026-11-24T10:00:00Z or how long ago it was, such as 2h")}
	}
	if span.From, err = parseWhen("--from", f.from, now); err != nil {
		return c, span, err
	}
	if span.To, err = parseWhen("--to", f.to, now); err != nil {
		return c, span, err
	}
	if f.to == "" {
		span.To = now
	}
	if err := span.Validate(); err != nil {
		return c, span, &usageError{err}
	}
	if c, _, err = f.file.load(); err != nil {
		return c, span, err
	}
	if f.noCache {
		c.Cache.URL = ""
	}
	if f.topic != "" {
		c.Output.Topic = f.topic
		if faults := c.Config.Validate(); len(faults) > 0 {
			return c, span, &usageError{fmt.Errorf("--topic: %w", faults)}
		}
	}
	return c, span, nil
}

func spanProgress(t terminal) func(done, total int64) {
	if !t.redraw {
		return nil
	}
	began := time.Now()
	return func(done, total int64) {
		fmt.Fprintf(t, "\r\x1b[K%s of %s events, %s a second ", count(done), count(total), count(int64(float64(done)/time.Since(began).Seconds())))
	}
}

func endProgress(t terminal) {
	if t.redraw {
		fmt.Fprintln(t)
	}
}

// aModel says which model it is.
type aModel struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Digest  string `json:"digest"`
}

func about(d *predictor.Deployment) aModel { return aModel{d.Name, d.Version, d.Digest} }

func (m aModel) String() string { return printable(m.Name + "/" + m.Version) }

// A replayReport is what a replay says at its end, as JSON.
type replayReport struct {
	From    time.Time `json:"from"`
	To      time.Time `json:"to"`
	Model   aModel    `json:"model"`
	Topic   string    `json:"topic"`
	Cached  bool      `json:"cached"`
	Seconds float64   `json:"seconds"`
	stream.Replayed
}

func (r replayReport) write(w io.Writer, asJSON bool) error {
	if asJSON {
		return writeJSON(w, r)
	}
	if r.Done {
		fmt.Fprintln(w, "nothing to do: an earlier call came to the end of this span. The same command now begins anew.")
		return nil
	}
	again := ""
	if r.Resumed {
		again = ", from where an earlier call stopped"
	}
	fmt.Fprintf(w, "%s to %s with %v into %s%s\n", r.From.Format(time.RFC3339Nano), r.To.Format(time.RFC3339Nano), r.Model, r.Topic, again)
	fmt.Fprintf(w, "%s: %s, %s, %s rejected, in %.1f s\n",
		plural(r.Read, "event"), plural(r.Predictions, "prediction"), plural(r.Tombstones, "tombstone"), count(r.Rejected), r.Seconds)
	if r.Cached {
		fmt.Fprintf(w, "cache: %s written, %s had a newer prediction, %s past cache.ttl\n", plural(r.Written, "key"), count(r.Stale), count(r.Expired))
	}
	writeReasons(w, r.Reasons, r.Examples)
	if r.Lost > 0 {
		fmt.Fprintf(w, "%s were gone before they were read\n", count(r.Lost))
	}
	return nil
}

// writeReasons writes a line for each reason, with the first event it was true of.
func writeReasons(w io.Writer, reasons map[string]int64, first map[string]stream.Reject) {
	for _, reason := range slices.Sorted(maps.Keys(reasons)) {
		fmt.Fprintf(w, "  %s %s, such as %s: %s\n", count(reasons[reason]), reason, printable(first[reason].ID), oneLine(first[reason].Message, 120))
	}
}
