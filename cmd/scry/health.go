package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// healthCommand is the probe of images that hold nothing but scry.
func healthCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "health [URL]",
		Short: "Ask a running scry whether it is alive",
		Long: `Health gets URL and exits with 0 when the answer is 200, else with 1 and the answer's
reason. URL is http://127.0.0.1:9090/livez by default; see http.health.`,
		Example: `  scry health
  scry health http://127.0.0.1:9090/readyz`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return &usageError{fmt.Errorf("at most one URL; see %s --help", cmd.CommandPath())}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			url := "http://127.0.0.1:9090/livez"
			if len(args) == 1 {
				url = args[0]
			}
			return probe(cmd.Context(), url)
		},
	}
}

// probe returns nil when url answers 200 within 5 s.
func probe(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return &usageError{err}
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusOK {
		return nil
	}
	reason, err := io.ReadAll(io.LimitReader(response.Body, 1<<10))
	if err != nil {
		return err
	}
	return fmt.Errorf("%s: %s: %s", url, response.Status, strings.TrimSpace(string(reason)))
}
