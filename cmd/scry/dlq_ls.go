package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"scry/stream"
)

func dlqListCommand() *cobra.Command {
	var file configFlags
	var chosen selectionFlags
	var by string
	var limit int
	var all, asJSON bool
	cmd := &cobra.Command{
		Use:   "ls -c scry.yaml",
		Short: "List dead letters, or count them by reason, topic or hour",
		Long: `Ls lists the dead letters that wait in the queue, newest first: when the event was rejected, its
place in the source (the ID that show and redrive take), the reason, how often it was
tried, and what was wrong. --all adds those that a redrive has passed, as long as the topic
keeps them. What other groups and programs wrote is left out, and counted on standard error.`,
		Example: `  scry dlq ls -c scry.yaml
  scry dlq ls -c scry.yaml --by reason --since 24h
  scry dlq ls -c scry.yaml --reason malformed --limit 0 --json`,
		Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, _, err := file.load()
			if err != nil {
				return err
			}
			s, err := chosen.selection(nil)
			if err != nil {
				return err
			}
			return withSignals(cmd.Context(), func(ctx context.Context) error {
				var others int64
				each := func(f func(*stream.DeadLetter) error) (err error) {
					others, err = stream.EachDeadLetter(ctx, c.Config, all, s, f)
					return err
				}
				if by != "" {
					err = countDeadLetters(cmd.OutOrStdout(), each, by, asJSON)
				} else {
					err = listDeadLetters(cmd.OutOrStdout(), each, limit, asJSON)
				}
				if err == nil && others > 0 {
					fmt.Fprintf(cmd.ErrOrStderr(), "left out: %s of other groups or programs\n", plural(others, "record"))
				}
				return err
			})
		},
	}
	file.register(cmd)
	chosen.register(cmd)
	cmd.Flags().StringVar(&by, "by", "", "count them by reason, topic or hour instead")
	cmd.Flags().IntVar(&limit, "limit", 50, "show so many, the newest; 0: all")
	cmd.Flags().BoolVar(&all, "all", false, "also those that a redrive has passed")
	cmd.Flags().BoolVar(&asJSON, "json", false, "a JSON object a line")
	return cmd
}

// eachDeadLetter calls its argument with each of the dead letters chosen.
type eachDeadLetter func(func(*stream.DeadLetter) error) error

// listDeadLetters keeps no more than twice limit in memory.
func listDeadLetters(w io.Writer, each eachDeadLetter, limit int, asJSON bool) error {
	var found []stream.DeadLetter
	total := 0
	newest := func() {
		slices.SortStableFunc(found, func(a, b stream.DeadLetter) int {
			return cmp.Or(b.Time.Compare(a.Time), cmp.Compare(a.Partition, b.Partition), cmp.Compare(b.Offset, a.Offset))
		})
		if limit > 0 && len(found) > limit {
			found = found[:limit]
		}
	}
	err := each(func(d *stream.DeadLetter) error {
		total++
		d.Key, d.Value, d.Headers = nil, nil, nil // they hold a whole fetch
		if found = append(found, *d); limit > 0 && len(found) >= 2*limit {
			newest()
		}
		return nil
	})
	if err != nil {
		return err
	}
	newest()
	if asJSON {
		return writeLines(w, found)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "REJECTED\tID\tREASON\tTRIED\tWHAT WAS WRONG")
	for _, d := range found {
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\n", d.Time.Format(time.RFC3339), d.ID, printable(d.Reason), d.Attempts, oneLine(d.Message, 100))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if len(found) < total {
		fmt.Fprintf(w, "… and %s older ones: --limit\n", count(total-len(found)))
	}
	return nil
}

// A deadLetterGroup is the dead letters that have something in common.
type deadLetterGroup struct {
	Name    string    `json:"name"`
	Count   int       `json:"count"`
	First   time.Time `json:"first"`
	Last    time.Time `json:"last"`
	Newest  string    `json:"newest_id"`
	Message string    `json:"newest_message"`
}

func countDeadLetters(w io.Writer, each eachDeadLetter, by string, asJSON bool) error {
	name := map[string]func(*stream.DeadLetter) string{
		"reason": func(d *stream.DeadLetter) string { return d.Reason },
		"topic":  func(d *stream.DeadLetter) string { return d.Topic },
		"hour":   func(d *stream.DeadLetter) string { return d.Time.Truncate(time.Hour).Format("2006-01-02T15:04Z") },
	}[by]
	if name == nil {
		return &usageError{fmt.Errorf("--by %s: write reason, topic or hour", by)}
	}
	groups := map[string]*deadLetterGroup{}
	err := each(func(d *stream.DeadLetter) error {
		g := groups[name(d)]
		if g == nil {
			g = &deadLetterGroup{Name: name(d), First: d.Time}
			groups[g.Name] = g
		}
		g.Count++
		if d.Time.Before(g.First) {
			g.First = d.Time
		}
		if !d.Time.Before(g.Last) {
			g.Last, g.Newest, g.Message = d.Time, d.ID, d.Message
		}
		return nil
	})
	if err != nil {
		return err
	}
	sorted := make([]deadLetterGroup, 0, len(groups))
	for _, g := range groups {
		sorted = append(sorted, *g)
	}
	slices.SortFunc(sorted, func(a, b deadLetterGroup) int {
		if by == "hour" {
			return cmp.Compare(b.Name, a.Name)
		}
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Name, b.Name))
	})
	if asJSON {
		return writeLines(w, sorted)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "COUNT\t"+map[string]string{"reason": "REASON", "topic": "TOPIC", "hour": "HOUR"}[by]+"\tFIRST\tLAST\tTHE NEWEST")
	for _, g := range sorted {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", count(g.Count), printable(g.Name), g.First.Format(time.RFC3339), g.Last.Format(time.RFC3339),
			oneLine(g.Newest+": "+g.Message, 100))
	}
	return t.Flush()
}
