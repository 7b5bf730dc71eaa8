package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
)

// pipelineFlags are what `scry bench` is told.
type pipelineFlags struct {
	configFlags
	file       string
	events     int
	rate       float64
	duration   time.Duration
	partitions int32
	brokers    []string
	redis      string
	asJSON     bool
}

func benchCommand() *cobra.Command {
	var f pipelineFlags
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure the pipeline on this machine: events a second, CPU time by stage, latency",
		Long: `Bench runs the ordinary consumer twice over: catching up with --events that lie in the topic
already, which is as fast as it goes, and then at a steady --rate, which shows the time from
an event's append to its prediction being durable in topic and cache.

Model and events are those of scry demo, or your own: with -c and --file the model, the
mapping and the delivery of scry.yaml, and the file's events, one a line, over and over.
The brokers and the Redis of scry.yaml are left alone.

Kafka and Redis run inside the process unless --brokers and --redis name real ones. Inside,
they share its cores and its CPU time. Named brokers are reached by a plain connection, or
as kafka.tls and kafka.sasl of -c say; topics, group and keys begin with scry-bench- or
pred:scry-bench-, and are deleted at the end. With --brokers alone there is no cache.

The stages of both parts are timed by the clock, so whatever else runs on the cores adds to
them. How the CPU time of an event divides is measured afterwards, on Linux: up to 50,000 more
events of the same source are scored on one thread, whose CPU clock gives extract, predict and
encode; the rest is what the process took in the first part (getrusage) without these three.
At a low rate batches are small, and scoring takes more than that.
Percentiles are at most 9 % and a millisecond too high. Ctrl-C ends early and tidies up.`,
		Example: `  scry bench
  scry bench --events 2000000 --duration 0
  scry bench --rate 20000 --duration 1m --json
  scry bench --brokers localhost:9092 --redis redis://localhost:6379/0 --partitions 8
  scry bench --brokers kafka:9093 -c scry.yaml
  scry bench -c scry.yaml --file events.jsonl`,
		Args:              exactArgs(0),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.validate(); err != nil {
				return &usageError{err}
			}
			return withSignals(cmd.Context(), func(ctx context.Context) error {
				return benchPipeline(ctx, f, cmd.OutOrStdout(), cmd.ErrOrStderr())
			})
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&f.file, "file", "", "events for the model of -c, one a line")
	cmd.Flags().IntVar(&f.events, "events", 500_000, "events to catch up with; 0 leaves this part out")
	cmd.Flags().Float64Var(&f.rate, "rate", 1000, "events a second while latency is measured")
	cmd.Flags().DurationVar(&f.duration, "duration", 10*time.Second, "how long latency is measured; 0 leaves this part out")
	cmd.Flags().Int32Var(&f.partitions, "partitions", 4, "partitions of the topics")
	cmd.Flags().StringSliceVar(&f.brokers, "brokers", nil, "a real Kafka instead, host:port,...")
	cmd.Flags().StringVar(&f.redis, "redis", "", "a real Redis instead, redis://host:6379/0")
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "write JSON")
	return cmd
}

func (f pipelineFlags) validate() error {
	switch {
	case f.path == "" && f.file != "":
		return errors.New("--file holds events for the model and mapping of -c: give it")
	case f.path == "" && len(f.sets) > 0:
		return errors.New("--set changes the configuration of -c: give it")
	case f.path != "" && f.file == "" && len(f.brokers) == 0:
		return errors.New("of -c come model and mapping for the events of --file, and how to log in at --brokers: give one of them")
	case f.events < 0 || f.events > 1e9:
		return fmt.Errorf("--events %d: give a number up to 1000000000", f.events)
	case f.duration < 0:
		return fmt.Errorf("--duration %v: give a time such as 10s", f.duration)
	case f.events == 0 && f.duration == 0:
		return errors.New("--events 0 --duration 0 leaves nothing to measure")
	case !(f.rate > 0 && f.rate <= 1e6):
		return fmt.Errorf("--rate %v: give a number of events a second, up to 1000000", f.rate)
	case f.partitions < 1 || f.partitions > 1000:
		return fmt.Errorf("--partitions %d: give a number from 1 to 1000", f.partitions)
	}
	return nil
}

// benchPipeline measures and prints. What it made on servers is gone when it returns.
func benchPipeline(ctx context.Context, f pipelineFlags, stdout, stderr io.Writer) (err error) {
	screen := &screen{terminal: openTerminal(stderr), errors: stderr}
	w, err := openWorkload(f)
	if err != nil {
		return err
	}
	closeServers, err := startBenchServers(ctx, f, &w.config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeServers()) }()
	if faults := w.config.Validate(); len(faults) > 0 {
		return &usageError{faults}
	}
	s, err := newService(w.config, w.model, newLogger(screen, LogConfig{Level: "warn", Format: "text"}))
	if err != nil {
		return err
	}
	t, err := newTraffic(w.config.Kafka, w.config.Input.Topics[0], f.rate, w.events)
	if err != nil {
		return err
	}
	defer t.client.Close()

	m := &measurement{service: s, traffic: t, screen: screen, stopped: make(chan struct{})}
	r, err := m.run(ctx, f)
	screen.progress("")
	if err != nil {
		return err
	}
	r.describe(f, w)
	if err := r.scoreAlone(w, t); err != nil {
		return err
	}
	if f.asJSON {
		return writeJSON(stdout, r)
	}
	r.print(openTerminal(stdout))
	return nil
}

// progress shows one line that the next replaces, on a terminal; an empty one goes.
func (s *screen) progress(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !s.redraw:
	case line == "":
		s.draw(nil)
	default:
		s.draw([]string{"  " + line})
	}
}
