package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"scry/stream"
)

func checkpointCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "checkpoint",
		Short: "Where the group stands; move it",
		Long: `Checkpoint shows and moves the consumer group's committed offsets, which are all the state
scry has in Kafka. Moving is refused while the group has members.`,
		Example: `  scry checkpoint ls -c scry.yaml
  scry checkpoint seek -c scry.yaml --by 1h --dry-run`,
	}
	cmd.AddCommand(checkpointLsCommand(), checkpointExportCommand(), checkpointImportCommand(), checkpointSeekCommand())
	return cmd
}

// withGroup opens the configured group for one command.
func withGroup(cmd *cobra.Command, file *configFlags, work func(context.Context, *stream.Group) error) error {
	c, _, err := file.load()
	if err != nil {
		return err
	}
	g, err := stream.OpenGroup(c.Config)
	if err != nil {
		return err
	}
	defer g.Close()
	ctx, cancel := context.WithTimeout(cmd.Context(), time.Minute)
	defer cancel()
	return work(ctx, g)
}

func checkpointLsCommand() *cobra.Command {
	var file configFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "ls -c scry.yaml",
		Short: "List where the group stands in each partition",
		Long: `Ls lists, for each partition of the input topics, the next offset to read, the records that
lie before the end (lag), and how long the first of them has been waiting.`,
		Example: `  scry checkpoint ls -c scry.yaml
  scry checkpoint ls -c scry.yaml --json`,
		Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withGroup(cmd, &file, func(ctx context.Context, g *stream.Group) error {
				s, err := g.Standing(ctx)
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(cmd.OutOrStdout(), s)
				}
				return printStanding(cmd.OutOrStdout(), s)
			})
		},
	}
	file.register(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "the same as JSON, as export writes it")
	return cmd
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func printStanding(w io.Writer, s stream.Standing) error {
	fmt.Fprintf(w, "group    %s: %s\n", s.Group, s.State)
	fmt.Fprintf(w, "members  %d\n\n", s.Members)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "TOPIC\tPARTITION\tNEXT\tEND\tLAG\tWAITING\tEVENT TIME")
	total := int64(0)
	for _, p := range s.Positions {
		next, waiting, event := "none", "", ""
		if p.Next >= 0 {
			next = fmt.Sprint(p.Next)
		}
		if !p.Due.IsZero() {
			waiting = max(s.At.Sub(p.Due), 0).Round(time.Second).String()
		}
		if p.EventTime > 0 {
			event = time.UnixMilli(p.EventTime).UTC().Format(time.RFC3339)
		}
		fmt.Fprintf(t, "%s\t%d\t%s\t%d\t%d\t%s\t%s\n", p.Topic, p.Partition, next, p.End, p.Lag(), waiting, event)
		total += p.Lag()
	}
	fmt.Fprintf(t, "\t\t\t\t%d\n", total)
	return t.Flush()
}

func checkpointImportCommand() *cobra.Command {
	var file configFlags
	var dry bool
	cmd := &cobra.Command{
		Use:   "import -c scry.yaml FILE",
		Short: "Move the group to where a file says it stood",
		Long: `Import reads what export wrote. A topic that is the same one (by its id) is restored by
offset; on another cluster, or when the topic was made anew, by time: to the first record at
or after the time of the record that was next. Some may then be read twice, none is skipped.`,
		Example: `  scry checkpoint import -c scry.yaml positions.json --dry-run
  scry checkpoint import -c scry.yaml positions.json`,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			was, err := readStanding(args[0])
			if err != nil {
				return err
			}
			return withGroup(cmd, &file, func(ctx context.Context, g *stream.Group) error {
				return move(ctx, cmd.OutOrStdout(), g, dry, func(now stream.PartitionStanding) (int64, bool, error) {
					return importTo(ctx, g, was, now)
				})
			})
		},
	}
	file.register(cmd)
	cmd.Flags().BoolVar(&dry, "dry-run", false, "show what would move, and move nothing")
	return cmd
}

func readStanding(path string) (stream.Standing, error) {
	var s stream.Standing
	text, err := os.ReadFile(path)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("%s: %w; give a file that `scry checkpoint export` wrote", path, err)
	}
	if len(s.Positions) == 0 {
		return s, fmt.Errorf("%s holds no positions; give a file that `scry checkpoint export` wrote", path)
	}
	return s, nil
}

// importTo is where a partition goes by what was exported of it.
func importTo(ctx context.Context, g *stream.Group, was stream.Standing, now stream.PartitionStanding) (int64, bool, error) {
	for _, p := range was.Positions {
		if p.Topic != now.Topic || p.Partition != now.Partition || p.Next < 0 {
			continue
		}
		if p.TopicID == now.TopicID {
			return p.Next, true, nil
		}
		due := p.Due
		if due.IsZero() { // it had read all there was
			due = was.At
		}
		to, err := g.OffsetAt(ctx, now, due)
		return to, err == nil, err
	}
	return 0, false, nil
}

// move takes each partition to where to says, when it says anything, and prints how.
func move(ctx context.Context, w io.Writer, g *stream.Group, dry bool, to func(stream.PartitionStanding) (int64, bool, error)) error {
	s, err := g.Standing(ctx)
	if err != nil {
		return err
	}
	var moves []stream.Move
	for _, p := range s.Positions {
		next, ok, err := to(p)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if next < p.Start || next > p.End {
			return fmt.Errorf("%s-%d: offset %d is not in the log, which holds %d to %d", p.Topic, p.Partition, next, p.Start, p.End)
		}
		moves = append(moves, stream.Move{Topic: p.Topic, Partition: p.Partition, From: p.Next, To: next})
	}
	if len(moves) == 0 {
		return fmt.Errorf("no partition of the input topics is meant; see `scry checkpoint ls`")
	}
	if !dry {
		if err := g.Commit(ctx, moves); err != nil {
			return err
		}
	}
	return printMoves(w, moves, dry)
}

func printMoves(w io.Writer, moves []stream.Move, dry bool) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "TOPIC\tPARTITION\tFROM\tTO\t")
	for _, m := range moves {
		from, effect := fmt.Sprint(m.From), "stays"
		switch {
		case m.From < 0:
			from, effect = "none", ""
		case m.To < m.From:
			effect = fmt.Sprintf("%d read again", m.From-m.To)
		case m.To > m.From:
			effect = fmt.Sprintf("%d skipped", m.To-m.From)
		}
		fmt.Fprintf(t, "%s\t%d\t%s\t%d\t%s\n", m.Topic, m.Partition, from, m.To, effect)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if dry {
		fmt.Fprintln(w, "\nnothing was moved: --dry-run")
	}
	return nil
}
