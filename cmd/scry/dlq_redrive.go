package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"scry/predictor"
	"scry/stream"
)

func dlqRedriveCommand() *cobra.Command {
	var file configFlags
	var chosen selectionFlags
	var attempts int
	var dry, asJSON bool
	var value string
	cmd := &cobra.Command{
		Use:   "redrive -c scry.yaml [ID...]",
		Short: "Score dead letters again",
		Long: `Redrive scores dead letters as run would: after a mend of the model's features.yaml or of
model.paths, for example. All that wait in the queue, or those chosen by reason, time or ID.
It ends at the end of the queue as of its start, and may run beside run.

A prediction has the id, the event time and the place in Redis that it would have had at first: a
newer one stays. The source topic is not written. An event that fails again is a dead
letter again, with one attempt more; after --max-attempts it stays where it is, and is
passed by. So is one whose value was cut. Progress is the offset of group GROUP.redrive:
what was redriven is not redriven again. Those not chosen that lie before a chosen one, in its
partition, go to the back of the queue as they are; the others stay where they are.

An ID that does not wait in the queue is refused, before anything is written. It exits with 1
then, and when any failed again.`,
		Example: `  scry dlq redrive -c scry.yaml --dry-run
  scry dlq redrive -c scry.yaml --reason missing_feature --since 24h
  scry dlq redrive -c scry.yaml web.events-3-991
  scry dlq redrive -c scry.yaml web.events-3-991 --value event  # as show --raw wrote it, mended`,
		RunE: func(cmd *cobra.Command, ids []string) error {
			c, _, err := file.load()
			if err != nil {
				return err
			}
			s, err := chosen.selection(ids)
			if err != nil {
				return err
			}
			if attempts < 1 {
				return &usageError{fmt.Errorf("--max-attempts %d: write 1 or more", attempts)}
			}
			mended, err := mendedValue(value, ids)
			if err != nil {
				return err
			}
			d, err := loadModel(c)
			if err != nil {
				return err
			}
			return withSignals(cmd.Context(), func(ctx context.Context) error {
				o := stream.Redrive{Select: s, MaxAttempts: attempts, Value: mended}
				if dry {
					return rehearse(ctx, cmd.OutOrStdout(), c, d, o, asJSON)
				}
				t := openTerminal(cmd.ErrOrStderr())
				if t.redraw {
					o.Progress = func(done, total int64) {
						fmt.Fprintf(t, "\r%s of %s dead letters looked at ", count(done), count(total))
					}
				}
				sum, err := stream.RedriveDeadLetters(ctx, c.Config, d, o, stream.Env{Log: newLogger(cmd.ErrOrStderr(), c.Log)})
				if t.redraw {
					fmt.Fprintln(t)
				}
				return writeRedriven(cmd.OutOrStdout(), sum, err, asJSON)
			})
		},
	}
	file.register(cmd)
	chosen.register(cmd)
	cmd.Flags().IntVar(&attempts, "max-attempts", 5, "pass by what was tried so often")
	cmd.Flags().StringVar(&value, "value", "", "a file with the event as it should have been, of the one ID given; a newline at its end is dropped")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "score them, write nothing, and say what would become of them")
	cmd.Flags().BoolVar(&asJSON, "json", false, "the counts as one JSON object")
	return cmd
}

// mendedValue reads what stands in for the value of the one event that is meant.
func mendedValue(path string, ids []string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	if len(ids) != 1 {
		return nil, &usageError{fmt.Errorf("--value %s: give the ID of the one event it is, such as web.events-3-991", path)}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("--value: %w", err)
	}
	return bytes.TrimSuffix(text, []byte("\n")), nil
}

func writeRedriven(w io.Writer, sum stream.Redriven, err error, asJSON bool) error {
	if err != nil && sum == (stream.Redriven{}) {
		return err
	}
	if asJSON {
		if err := json.NewEncoder(w).Encode(sum); err != nil {
			return err
		}
	} else {
		for _, l := range []struct {
			n    int64
			what string
		}{
			{sum.Scored, "scored"},
			{sum.Failed, "failed again: dead letters with one attempt more"},
			{sum.NotChosen, "not chosen: they wait at the back of the queue"},
			{sum.Exhausted, "passed by: tried --max-attempts times"},
			{sum.Cut, "passed by: a part of the value is missing"},
			{sum.Foreign, "passed by: of another group or program"},
		} {
			if l.n > 0 || l.what == "scored" {
				fmt.Fprintf(w, "%s %s\n", count(l.n), l.what)
			}
		}
	}
	if err == nil && sum.Failed > 0 {
		err = fmt.Errorf("%s failed again; scry dlq ls says why", count(sum.Failed))
	}
	return err
}

// rehearse scores the chosen dead letters and writes nothing.
func rehearse(ctx context.Context, w io.Writer, c Config, d *predictor.Deployment, o stream.Redrive, asJSON bool) error {
	var sum stream.Redriven
	var first error
	_, err := stream.EachDeadLetter(ctx, c.Config, false, o.Select, func(l *stream.DeadLetter) error {
		switch {
		case l.Cut != "" && o.Value == nil:
			sum.Cut++
			return nil
		case l.Attempts >= o.MaxAttempts:
			sum.Exhausted++
			return nil
		case o.Value != nil:
			l.Value = o.Value
		case l.Value == nil:
			sum.Scored++ // a tombstone
			return nil
		}
		e := stream.Explain(c.Config, d, &kgo.Record{Topic: l.Topic, Partition: l.SourcePartition, Offset: l.SourceOffset,
			Timestamp: l.SourceTime, Key: l.Key, Value: l.Value})
		if e.Err == nil {
			sum.Scored++
			return nil
		}
		sum.Failed++
		if first == nil {
			first = fmt.Errorf("%s would fail again: %w", l.ID, e.Err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if asJSON {
		return json.NewEncoder(w).Encode(sum)
	}
	fmt.Fprintf(w, "would be scored: %s, fail again: %s, passed by: %s. Nothing was written.\n",
		count(sum.Scored), count(sum.Failed), count(sum.Cut+sum.Exhausted))
	if first != nil {
		fmt.Fprintln(w, printable(first.Error()))
	}
	return nil
}
