package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"scry/stream"
)

func dlqCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dlq",
		Short: "Look at dead letters, and score them again",
		Long: `A dead letter is an event that could not be scored, as it was, with the reason. The dead
letters are a queue: redrive takes each from the front and scores it as run would have. One
that fails again goes to the back, and so does one not chosen that lies before a chosen one.`,
		Example: `  scry dlq ls -c scry.yaml --by reason
  scry dlq show -c scry.yaml web.events-3-991
  scry dlq redrive -c scry.yaml --reason missing_feature --dry-run`,
		Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return &usageError{fmt.Errorf("which one? %s ls, show or redrive", cmd.CommandPath())}
		},
	}
	cmd.AddCommand(dlqListCommand(), dlqShowCommand(), dlqRedriveCommand())
	return cmd
}

// selectionFlags say which dead letters are meant.
type selectionFlags struct {
	reasons      []string
	since, until string
}

func (f *selectionFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringSliceVar(&f.reasons, "reason", nil, "only these reasons: malformed, missing_feature, model_error, too_large, refused")
	cmd.Flags().StringVar(&f.since, "since", "", "only those rejected at or after: 2026-11-24T10:00:00Z, or 2h ago as 2h")
	cmd.Flags().StringVar(&f.until, "until", "", "only those rejected before")
}

func (f *selectionFlags) selection(ids []string) (s stream.Selection, err error) {
	s.IDs, s.Reasons = ids, f.reasons
	if err := s.Validate(); err != nil {
		return s, &usageError{fmt.Errorf("--reason: %w", err)}
	}
	if s.Since, err = parseWhen("--since", f.since, time.Now()); err != nil {
		return s, err
	}
	s.Until, err = parseWhen("--until", f.until, time.Now())
	return s, err
}

// parseWhen reads a time, or how long ago it was. Empty: the zero time.
func parseWhen(flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, &usageError{fmt.Errorf("%s %q: write a time such as 2026-11-24T10:00:00Z, or how long ago it was, such as 90m", flag, text)}
	}
	return t, nil
}

// oneLine makes text fit a table's last column.
func oneLine(text string, limit int) string {
	text = printable(strings.Join(strings.Fields(text), " "))
	if runes := []rune(text); len(runes) > limit {
		return string(runes[:limit-1]) + "…"
	}
	return text
}
