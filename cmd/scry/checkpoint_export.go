package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"scry/stream"
)

func checkpointExportCommand() *cobra.Command {
	var file configFlags
	cmd := &cobra.Command{
		Use:   "export -c scry.yaml FILE",
		Short: "Save where the group stands to a file",
		Long: `Export writes each partition's position with the time of the record it waits for, so that
import can restore it to the same cluster by offset, or to another one by time.`,
		Example: `  scry checkpoint export -c scry.yaml positions.json`,
		Args:    exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withGroup(cmd, &file, func(ctx context.Context, g *stream.Group) error {
				s, err := g.Standing(ctx)
				if err != nil {
					return err
				}
				return export(cmd.ErrOrStderr(), args[0], s)
			})
		},
	}
	file.register(cmd)
	return cmd
}

// export writes s to a file, and says so to w.
func export(w io.Writer, path string, s stream.Standing) error {
	positions := 0
	for _, p := range s.Positions {
		if p.Next >= 0 {
			positions++
		}
	}
	if positions == 0 {
		return fmt.Errorf("group %s has no offsets in the input topics, and %s was not written: correct kafka.group or input.topics, or run scry first", s.Group, path)
	}
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, append(text, '\n'), 0o644); err != nil {
		return err
	}
	fmt.Fprintf(w, "%s: group %s in %s, as of %s\n", path, s.Group, plural(positions, "partition"), s.At.Format(time.RFC3339))
	return nil
}
