package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"scry/stream"
)

// seekFlags say where to.
type seekFlags struct {
	toTime   string
	toOffset int64
	by       time.Duration
	skip     string
	topic    string
	part     int32
	dry      bool
}

func checkpointSeekCommand() *cobra.Command {
	var file configFlags
	var f seekFlags
	cmd := &cobra.Command{
		Use:   "seek -c scry.yaml (--to-time T | --to-offset N | --by D | --skip TOPIC/PARTITION/OFFSET)",
		Short: "Move the group",
		Long: `Seek moves the group's positions, in all partitions of the input topics or in those that
--topic and --partition name. Versions make reading again harmless to the cache; the output
topic gets the predictions once more, with the same ids.`,
		Example: `  scry checkpoint seek -c scry.yaml --to-time 2026-11-24T10:00:00Z --dry-run
  scry checkpoint seek -c scry.yaml --by 1h                  # to an hour ago
  scry checkpoint seek -c scry.yaml --to-time earliest
  scry checkpoint seek -c scry.yaml --skip web.events/3/991  # go on behind one event`,
		Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			to, err := f.target(cmd)
			if err != nil {
				return &usageError{err}
			}
			return withGroup(cmd, &file, func(ctx context.Context, g *stream.Group) error {
				return move(ctx, cmd.OutOrStdout(), g, f.dry, func(p stream.PartitionStanding) (int64, bool, error) {
					if f.topic != "" && p.Topic != f.topic || f.part >= 0 && p.Partition != f.part {
						return 0, false, nil
					}
					return to(ctx, g, p)
				})
			})
		},
	}
	file.register(cmd)
	cmd.Flags().StringVar(&f.toTime, "to-time", "", "the first record at or after an RFC 3339 time; or earliest, latest")
	cmd.Flags().Int64Var(&f.toOffset, "to-offset", 0, "this offset, in each partition meant")
	cmd.Flags().DurationVar(&f.by, "by", 0, "the first record of so long ago: 1h")
	cmd.Flags().StringVar(&f.skip, "skip", "", "behind this one record: TOPIC/PARTITION/OFFSET")
	cmd.Flags().StringVar(&f.topic, "topic", "", "only this topic")
	cmd.Flags().Int32Var(&f.part, "partition", -1, "only this partition")
	cmd.Flags().BoolVar(&f.dry, "dry-run", false, "show what would move, and move nothing")
	return cmd
}

// A target says where a partition goes; false: it stays.
type target func(ctx context.Context, g *stream.Group, p stream.PartitionStanding) (int64, bool, error)

// target reads the one flag that says where to.
func (f *seekFlags) target(cmd *cobra.Command) (target, error) {
	var to target
	given := 0
	take := func(name string, make func() (target, error)) error {
		if !cmd.Flags().Changed(name) {
			return nil
		}
		given++
		var err error
		to, err = make()
		return err
	}
	err := errors.Join(
		take("to-time", f.atTime),
		take("to-offset", func() (target, error) {
			return func(context.Context, *stream.Group, stream.PartitionStanding) (int64, bool, error) {
				return f.toOffset, true, nil
			}, nil
		}),
		take("by", func() (target, error) {
			if f.by <= 0 {
				return nil, fmt.Errorf("--by %v: give how long ago, such as 1h", f.by)
			}
			return since(time.Now().Add(-f.by)), nil
		}),
		take("skip", f.behind),
	)
	if err == nil && given != 1 {
		err = errors.New("give one of --to-time, --to-offset, --by and --skip")
	}
	return to, err
}

func since(at time.Time) target {
	return func(ctx context.Context, g *stream.Group, p stream.PartitionStanding) (int64, bool, error) {
		n, err := g.OffsetAt(ctx, p, at)
		return n, err == nil, err
	}
}

func (f *seekFlags) atTime() (target, error) {
	switch f.toTime {
	case "earliest":
		return func(_ context.Context, _ *stream.Group, p stream.PartitionStanding) (int64, bool, error) {
			return p.Start, true, nil
		}, nil
	case "latest":
		return func(_ context.Context, _ *stream.Group, p stream.PartitionStanding) (int64, bool, error) {
			return p.End, true, nil
		}, nil
	}
	at, err := time.Parse(time.RFC3339, f.toTime)
	if err != nil {
		return nil, fmt.Errorf("--to-time %q: write 2026-11-24T10:00:00Z, earliest or latest", f.toTime)
	}
	return since(at), nil
}

// behind goes on after one record, when the group has not passed it yet.
func (f *seekFlags) behind() (target, error) {
	parts := strings.Split(f.skip, "/")
	if len(parts) == 3 {
		partition, err1 := strconv.ParseInt(parts[1], 10, 32)
		offset, err2 := strconv.ParseInt(parts[2], 10, 64)
		if parts[0] != "" && err1 == nil && err2 == nil {
			return func(_ context.Context, _ *stream.Group, p stream.PartitionStanding) (int64, bool, error) {
				if p.Topic != parts[0] || int64(p.Partition) != partition {
					return 0, false, nil
				}
				if p.Next > offset {
					return 0, false, fmt.Errorf("the group has passed %s already: it stands at %d", f.skip, p.Next)
				}
				return offset + 1, true, nil
			}, nil
		}
	}
	return nil, fmt.Errorf("--skip %q: write TOPIC/PARTITION/OFFSET, such as web.events/3/991", f.skip)
}
