package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"scry/internal/config"
	"scry/internal/web"
	"scry/predictor"
	"scry/stream"
)

func runCommand() *cobra.Command {
	var file configFlags
	var print bool
	cmd := &cobra.Command{
		Use:   "run -c scry.yaml",
		Short: "Consume events, score them, publish the predictions",
		Long: `Run reads events from the input topics, scores each with the model, and publishes the
predictions to the output topic and to Redis. It goes on until it is stopped: SIGTERM or
Ctrl-C drains what is in flight and commits it, a second one quits at once.`,
		Example: `  scry run -c scry.yaml
  scry run -c scry.yaml --set kafka.brokers=k1:9092,k2:9092
  scry run -c scry.yaml --print-config`,
		Args:              exactArgs(0),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, from, err := file.load()
			if err != nil {
				return err
			}
			if print {
				return printConfig(cmd.OutOrStdout(), c, from)
			}
			d, err := loadModel(c)
			if err != nil {
				return err
			}
			return withSignals(cmd.Context(), func(ctx context.Context) error {
				return serve(ctx, c, d, newLogger(cmd.ErrOrStderr(), c.Log))
			})
		},
	}
	file.register(cmd)
	cmd.Flags().BoolVar(&print, "print-config", false, "print what is in force and where each value came from, and stop")
	return cmd
}

// serve runs a consumer and its two listeners until ctx ends or one of them fails.
func serve(ctx context.Context, c Config, d *predictor.Deployment, log *slog.Logger) error {
	s, err := newService(c, d, log)
	if err != nil {
		return err
	}
	return s.run(ctx)
}

// A service is a consumer with its two listeners.
type service struct {
	log      *slog.Logger
	consumer *stream.Consumer
	server   *web.Server
	metrics  *prometheus.Registry
}

// newService takes the two addresses; it connects to nothing and consumes nothing yet.
func newService(c Config, d *predictor.Deployment, log *slog.Logger) (*service, error) {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	consumer, err := stream.New(c.Config, d, stream.Env{Log: log, Registerer: reg})
	if err != nil {
		return nil, err
	}
	server, err := web.Listen(web.Config{
		Health: c.HTTP.Health, Admin: c.HTTP.Admin, Pprof: c.HTTP.Pprof,
		Name: c.Name, Deployment: d, Consumer: consumer, Gatherer: reg, Log: log,
	})
	if err != nil {
		return nil, err
	}
	log.Info("scry is starting", "name", c.Name, "group", c.Kafka.Group, "model", d.Name+"/"+d.Version,
		"health", server.HealthAddr(), "admin", server.AdminAddr())
	return &service{log, consumer, server, reg}, nil
}

// run consumes and answers until ctx ends or one of the two fails.
func (s *service) run(ctx context.Context) error {
	// The listeners outlive the consumer: a drain can be watched.
	g, listening := errgroup.WithContext(context.WithoutCancel(ctx))
	serving, stop := context.WithCancel(listening)
	g.Go(func() error { return s.server.Run(serving) })
	g.Go(func() error {
		defer stop()
		consuming, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(listening, cancel)()
		return s.consumer.Run(consuming)
	})
	err := g.Wait()
	t := s.consumer.Stats().Totals()
	s.log.Info("scry has stopped", "predicted", t.Predicted, "tombstones", t.Tombstones, "dead_letters", t.DeadLetters)
	return err
}

// echo is how soon after the first signal another one counts as the same: some tools
// signal both a process and its group.
const echo = 250 * time.Millisecond

// withSignals runs work until it ends. The first SIGINT or SIGTERM cancels its
// context, a second one returns without waiting for it.
func withSignals(ctx context.Context, work func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(signals)
	done := make(chan error, 1)
	go func() { done <- work(ctx) }()
	var stopping time.Time
	for {
		select {
		case err := <-done:
			return err
		case s := <-signals:
			switch {
			case stopping.IsZero():
				stopping = time.Now()
				cancel()
			case time.Since(stopping) > echo:
				return signalError(s.(syscall.Signal))
			}
		}
	}
}

// configFlags are the flags of every command that reads scry.yaml.
type configFlags struct {
	path string
	sets []string
}

func (f *configFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&f.path, "config", "c", "", "the configuration `FILE`, scry.yaml")
	cmd.Flags().StringArrayVar(&f.sets, "set", nil, "`KEY=VALUE` over file and environment: --set cache.ttl=1h (repeatable)")
	completeConfig(cmd)

}

func (f *configFlags) load() (Config, *config.Provenance, error) {
	return loadConfig(f.path, f.sets)
}

func loadModel(c Config) (*predictor.Deployment, error) {
	d, err := predictor.Load(c.Model.URI, predictorConfig(c))
	switch {
	case err == nil:
		return d, nil
	case strings.Contains(c.Model.URI, "://"):
		return nil, fmt.Errorf("model.uri %s: only a path can be loaded; copy the bundle to this machine", c.Model.URI)
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("model.uri %s: %w; write the path of a bundle's folder or of a model file", c.Model.URI, err)
	}
	return nil, fmt.Errorf("model %s: %w", c.Model.URI, err)
}

func predictorConfig(c Config) predictor.Config {
	return predictor.Config{
		Format:    c.Input.Format,
		Paths:     c.Model.Paths,
		Threshold: c.Model.Threshold,
		Entity:    c.Input.Entity,
		EventTime: c.Input.EventTime.Path,
		TimeUnit:  c.Input.EventTime.Unit,
	}
}

func newLogger(w io.Writer, c LogConfig) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.Level)) // validated
	o := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}
