package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"scry/stream"
)

func lookupCommand() *cobra.Command {
	var file configFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "lookup -c scry.yaml KEY...",
		Short: "Show the cached prediction of an entity",
		Long: `Lookup reads the newest prediction of each entity from Redis, as an application would, and
says what it is worth: fresh; stale, by another model version than model.uri's or older than
cache.ttl; deleted, by a tombstone; or missing. It needs no Kafka. It exits with 1 when any
is missing.`,
		Example: `  scry lookup -c scry.yaml u42
  scry lookup -c scry.yaml --json u42 u43`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return &usageError{fmt.Errorf("which entity? give its key: %s u42", cmd.CommandPath())}
			}
			return nil
		},
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, keys []string) error {
			c, _, err := file.load()
			if err != nil {
				return err
			}
			d, err := loadModel(c)
			if err != nil {
				return err
			}
			cache, err := stream.OpenCache(c.Cache, d)
			if err != nil {
				return err
			}
			defer cache.Close()
			return lookUp(cmd.Context(), cmd.OutOrStdout(), cache, keys, asJSON)
		},
	}
	file.register(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "a JSON object a line: entity, state, why, value")
	return cmd
}

// lookUp writes what the cache holds for each key. It fails when any is missing.
func lookUp(ctx context.Context, w io.Writer, cache *stream.CacheReader, keys []string, asJSON bool) error {
	var found []stream.Cached
	missing := 0
	for _, key := range keys {
		c, err := cache.Lookup(ctx, key)
		if err != nil {
			return err
		}
		if c.State == stream.Missing {
			missing++
		}
		found = append(found, c)
	}
	write := writeTable
	if asJSON {
		write = writeLines[stream.Cached]
	}
	if err := write(w, found); err != nil {
		return err
	}
	if missing > 0 {
		return fmt.Errorf("the cache holds no prediction for %d of %d", missing, len(keys))
	}
	return nil
}

// writeLines writes a JSON object a line.
func writeLines[T any](w io.Writer, found []T) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	for i := range found {
		if err := e.Encode(&found[i]); err != nil {
			return err
		}
	}
	return nil
}

func writeTable(w io.Writer, found []stream.Cached) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ENTITY\tSTATE\tSCORE\tLABEL\tMODEL\tEVENT TIME")
	for _, c := range found {
		var p struct {
			Score        json.RawMessage
			Label, Model string
			EventTime    time.Time `json:"event_time"`
		}
		event := ""
		if c.Value != nil {
			if err := json.Unmarshal(c.Value, &p); err != nil {
				return fmt.Errorf("the value of %s: %w", c.Entity, err)
			}
			event = p.EventTime.Format(time.RFC3339Nano)
		}
		cells := []string{c.Entity, c.State, string(p.Score), p.Label, p.Model, event, c.Why}
		fmt.Fprintln(t, printable(strings.TrimRight(strings.Join(cells, "\t"), "\t")))
	}
	return t.Flush()
}

// printable keeps what a value holds from steering the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\t' {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}
