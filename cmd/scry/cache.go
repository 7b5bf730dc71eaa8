package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"scry/stream"
)

func cacheCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cache",
		Short: "Heal the cache",
		Long: `Cache mends what Redis holds, after it lost data or was skipped while it was down. To look at
one entity, see scry lookup.`,
		Example: `  scry cache rebuild -c scry.yaml`,
		Args:    exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return &usageError{fmt.Errorf("do what with it? %s rebuild", cmd.CommandPath())}
		},
	}
	cmd.AddCommand(cacheRebuildCommand())
	return cmd
}

func cacheRebuildCommand() *cobra.Command {
	var file configFlags
	var since string
	var rate int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "rebuild -c scry.yaml",
		Short: "Write the predictions of the output topic to Redis again",
		Long: `Rebuild reads the output topic up to its end as of now and offers each prediction to Redis, which
keeps the newest of each entity: afterwards it holds what it held before it lost data, as
far as the topic goes back. It may run beside run, and again. It reads what can still be
alive by cache.ttl; --since overrides that.`,
		Example: `  scry cache rebuild -c scry.yaml
  scry cache rebuild -c scry.yaml --rate 20000 --since 2h`,
		Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, _, err := file.load()
			if err != nil {
				return err
			}
			if rate < 0 {
				return &usageError{fmt.Errorf("--rate %d: write how many predictions a second, or 0 for no limit", rate)}
			}
			o := stream.Rebuild{Rate: rate}
			if o.Since, err = parseWhen("--since", since, time.Now()); err != nil {
				return err
			}
			d, err := loadModel(c)
			if err != nil {
				return err
			}
			return withSignals(cmd.Context(), func(ctx context.Context) error {
				t := openTerminal(cmd.ErrOrStderr())
				began := time.Now()
				if t.redraw {
					o.Progress = func(done, total int64) {
						fmt.Fprintf(t, "\r%s of %s predictions, %s a second ", count(done), count(total),
							count(int64(float64(done)/time.Since(began).Seconds())))
					}
				}
				sum, err := stream.RebuildCache(ctx, c.Config, d, o, stream.Env{Log: newLogger(cmd.ErrOrStderr(), c.Log)})
				if t.redraw {
					fmt.Fprintln(t)
				}
				if err != nil {
					return err
				}
				if asJSON {
					return json.NewEncoder(cmd.OutOrStdout()).Encode(sum)
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s written, %s unchanged, %s older than what Redis held, %s expired, %s without an entity, %s of another model or program\n",
					count(sum.Written), count(sum.Unchanged), count(sum.Stale), count(sum.Expired), count(sum.NoEntity), count(sum.Other))
				return nil
			})
		},
	}
	file.register(cmd)
	cmd.Flags().StringVar(&since, "since", "", "read predictions made since: 2026-11-24T10:00:00Z, or 2h ago as 2h")
	cmd.Flags().IntVar(&rate, "rate", 0, "at most so many predictions a second; 0: as fast as it goes")
	cmd.Flags().BoolVar(&asJSON, "json", false, "the counts as one JSON object")
	return cmd
}
