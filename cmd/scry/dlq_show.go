package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"scry/stream"
)

func dlqShowCommand() *cobra.Command {
	var file configFlags
	var asJSON, raw bool
	cmd := &cobra.Command{
		Use:   "show -c scry.yaml ID",
		Short: "Show one dead letter: the event, and what was wrong with it",
		Long: `Show finds the dead letter of one event by its place in the source, topic-partition-offset: the id
that its prediction would have, and that ls lists. Of several, after a redrive, it shows the
last. What is no text is shown in hex; --raw writes the event's bytes and nothing else.`,
		Example: `  scry dlq show -c scry.yaml web.events-3-991
  scry dlq show -c scry.yaml --raw web.events-3-991 > event.json`,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, _, err := file.load()
			if err != nil {
				return err
			}
			return withSignals(cmd.Context(), func(ctx context.Context) error {
				d, err := findDeadLetter(ctx, c.Config, args[0])
				if err != nil {
					return err
				}
				w := cmd.OutOrStdout()
				switch {
				case raw:
					_, err = w.Write(d.Value)
				case asJSON:
					err = writeDeadLetterJSON(w, d)
				default:
					err = writeDeadLetter(w, d)
				}
				return err
			})
		},
	}
	file.register(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "as one JSON object")
	cmd.Flags().BoolVar(&raw, "raw", false, "the event's bytes and nothing else")
	return cmd
}

// findDeadLetter returns the last dead letter of an event: the one with the most attempts.
func findDeadLetter(ctx context.Context, c stream.Config, id string) (*stream.DeadLetter, error) {
	var found *stream.DeadLetter
	_, err := stream.EachDeadLetter(ctx, c, true, stream.Selection{IDs: []string{id}}, func(d *stream.DeadLetter) error {
		if found == nil || d.Attempts >= found.Attempts {
			found = d
		}
		return nil
	})
	return found, err
}

func writeDeadLetter(w io.Writer, d *stream.DeadLetter) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name, value string) { fmt.Fprintf(t, "%s\t%s\n", name, value) }
	line("event", fmt.Sprintf("topic %s, partition %d, offset %d, of %s", d.Topic, d.SourcePartition, d.SourceOffset, d.SourceTime.Format(time.RFC3339Nano)))
	line("rejected", fmt.Sprintf("%s, by group %s with model %s", d.Time.Format(time.RFC3339Nano), printable(d.Group), printable(d.Model)))
	line("reason", fmt.Sprintf("%s, in stage %s", printable(d.Reason), printable(d.Stage)))
	line("wrong", printable(d.Message))
	line("tried", fmt.Sprintf("%d times", d.Attempts))
	line("lies at", fmt.Sprintf("partition %d, offset %d of the dead letter topic", d.Partition, d.Offset))
	line("key", readable(d.Key))
	for _, h := range d.Headers {
		line("header", printable(h.Key)+": "+readable(h.Value))
	}
	if d.Cut != "" {
		line("value", fmt.Sprintf("cut: %d of %s bytes; the whole has SHA-256 %s. It cannot be redriven", len(d.Value), printable(d.Cut), printable(d.SHA256)))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if d.Value == nil {
		return nil
	}
	_, err := fmt.Fprintf(w, "\n%s\n", readable(d.Value))
	return err
}

// readable is b as text, or as a hex dump when it is none.
func readable(b []byte) string {
	if b == nil {
		return "none"
	}
	text := utf8.Valid(b) && !strings.ContainsFunc(string(b), func(r rune) bool {
		return unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t'
	})
	if !text {
		return strings.TrimRight(hex.Dump(b), "\n")
	}
	return strings.ReplaceAll(string(b), "\r", "")
}

// writeDeadLetterJSON has what is bytes as text where it is UTF-8 and in hex where not.
func writeDeadLetterJSON(w io.Writer, d *stream.DeadLetter) error {
	type header struct {
		Key   string `json:"key"`
		Value string `json:"value,omitempty"`
		Hex   string `json:"value_hex,omitempty"`
	}
	text := func(b []byte) (text, inHex string) {
		if utf8.Valid(b) {
			return string(b), ""
		}
		return "", hex.EncodeToString(b)
	}
	all := struct {
		*stream.DeadLetter
		Key      string   `json:"key,omitempty"`
		KeyHex   string   `json:"key_hex,omitempty"`
		Value    string   `json:"value,omitempty"`
		ValueHex string   `json:"value_hex,omitempty"`
		Headers  []header `json:"headers,omitempty"`
	}{DeadLetter: d}
	all.Key, all.KeyHex = text(d.Key)
	all.Value, all.ValueHex = text(d.Value)
	for _, h := range d.Headers {
		v, x := text(h.Value)
		all.Headers = append(all.Headers, header{h.Key, v, x})
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(all)
}
