package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"scry/internal/config"
	"scry/predictor"
	"scry/stream"
)

// validateFlags are what `scry validate` is told.
type validateFlags struct {
	configFlags
	offline bool
	event   string
	json    bool
}

func validateCommand() *cobra.Command {
	var f validateFlags
	cmd := &cobra.Command{
		Use:   "validate -c scry.yaml",
		Short: "Look at config, model, an event, brokers and Redis before a start",
		Long: `Validate looks at everything that a start needs and changes nothing: the configuration,
the model and its golden rows, what becomes of an event, the brokers and topics, the
consumer group and how many events a start would read, and Redis.

The event is the newest of the input topics, or the one in --event.

The exit code is 1 when something would keep a start from working, 78 when the
configuration cannot be used, and 0 otherwise, warnings or not.`,
		Example: `  scry validate -c scry.yaml
  scry validate -c scry.yaml --offline --event event.json
  kcat -C -b localhost:9092 -t web.events -o -1 -c 1 | scry validate -c scry.yaml --event -`,
		Args:              exactArgs(0),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, from, err := f.load()
			if err != nil {
				return err
			}
			return withSignals(cmd.Context(), func(ctx context.Context) error {
				report, err := validate(ctx, f, c, from, cmd.InOrStdin())
				if err != nil {
					return err
				}
				if f.json {
					err = report.writeJSON(cmd.OutOrStdout())
				} else {
					report.print(openTerminal(cmd.OutOrStdout()))
				}
				return errors.Join(err, report.verdict())
			})
		},
	}
	f.register(cmd)
	cmd.Flags().BoolVar(&f.offline, "offline", false, "leave brokers and Redis alone")
	cmd.Flags().StringVar(&f.event, "event", "", "a file with one event to score, - for standard input")
	cmd.Flags().BoolVar(&f.json, "json", false, "write JSON")
	return cmd
}

// A checklist is what validate found.
type checklist struct {
	OK       bool             `json:"ok"`
	Findings []stream.Finding `json:"findings"`
	Event    *eventReport     `json:"event,omitempty"`
}

func (l *checklist) add(level stream.Level, what, mend, format string, args ...any) {
	l.Findings = append(l.Findings, stream.Finding{Level: level, What: what, Mend: mend, Detail: fmt.Sprintf(format, args...)})
}

// validate fills a checklist. An error is the command line's: an event that cannot be read.
func validate(ctx context.Context, f validateFlags, c Config, from *config.Provenance, stdin io.Reader) (*checklist, error) {
	l := &checklist{}
	event, err := readEvent(f.event, stdin)
	if err != nil {
		return nil, err
	}
	l.config(f.path, c)
	d, err := loadModel(c)
	if err != nil {
		mend := ""
		if errors.Is(err, fs.ErrNotExist) {
			mend = "correct model.uri; a path that is not absolute counts from the working directory"
		}
		l.add(stream.Fail, "model", mend, "%v", err)
	} else {
		l.model(c, d)
	}
	reached := false
	if !f.offline {
		findings := stream.Preflight(ctx, c.Config, d)
		reached = !slices.ContainsFunc(findings, func(f stream.Finding) bool {
			return f.Level == stream.Fail && (f.What == "kafka" || f.What == "topic")
		})
		l.Findings = append(l.Findings, findings...)
	}
	if d != nil {
		l.event(ctx, c, d, event, reached)
	}
	l.OK = true
	for _, finding := range l.Findings {
		l.OK = l.OK && finding.Level != stream.Fail
	}
	return l, nil
}

// randomName matches names that change with every start: a container's id, and a pod's
// of a Deployment.
var randomName = regexp.MustCompile(`^[0-9a-f]{12}$|-[0-9a-f]{8,10}-[0-9a-z]{5}$`)

// config says what there is to say about values that are legal.
func (l *checklist) config(path string, c Config) {
	if path == "" {
		path = "no file"
	}
	l.add(stream.OK, "config", "", "%s: pipeline %s", path, c.Name)
	if randomName.MatchString(c.Kafka.Instance) {
		l.add(stream.Warn, "config", "leave kafka.instance empty, or run a StatefulSet, whose names stay",
			"kafka.instance is %s, which looks like a name that changes with each start: partitions of the old name wait for it until the session timeout (%v)",
			c.Kafka.Instance, c.Kafka.SessionTimeout)
	}
}

func (l *checklist) model(c Config, d *predictor.Deployment) {
	kind := plural(len(d.Model.Outputs()), "output")
	if len(d.Labels) > 0 {
		kind = "labels " + strings.Join(d.Labels, ", ")
	}
	l.add(stream.OK, "model", "", "%s: %s/%s, %s, %s", c.Model.URI, d.Name, d.Version, plural(len(d.Features), "feature"), kind)
	if d.Golden.Rows == 0 {
		l.add(stream.Warn, "golden rows", "write a golden.json with some rows and the training library's scores",
			"the bundle has none, so nothing shows that the model scores as it did in training")
		return
	}
	l.add(stream.OK, "golden rows", "", "%s scored as in training: the greatest difference is %.2g (%s allowed)", plural(d.Golden.Rows, "row"), d.Golden.MaxDiff, d.Golden.Allowed)
}

// maxEventFile is how large an event in --event may be.
const maxEventFile = 16 << 20

// readEvent reads the event of --event; nil when there is none.
func readEvent(path string, stdin io.Reader) (*kgo.Record, error) {
	if path == "" {
		return nil, nil
	}
	name := path
	if path == "-" {
		name = "standard input"
	} else {
		file, err := os.Open(path)
		if err != nil {
			return nil, &usageError{fmt.Errorf("--event: %w", err)}
		}
		defer file.Close()
		stdin = file
	}
	value, err := io.ReadAll(io.LimitReader(stdin, maxEventFile+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("--event: %w", err)
	case len(value) > maxEventFile:
		return nil, &usageError{fmt.Errorf("--event: %s has more than 16 MiB; give one event", name)}
	case len(strings.TrimSpace(string(value))) == 0:
		return nil, &usageError{fmt.Errorf("--event: %s is empty; give one event", name)}
	}
	return &kgo.Record{Topic: "sample", Value: value, Timestamp: time.Now()}, nil
}

// event explains what becomes of the event given, or else of the newest.
func (l *checklist) event(ctx context.Context, c Config, d *predictor.Deployment, given *kgo.Record, online bool) {
	r, wrong, where := given, stream.Fail, ""
	switch {
	case given != nil:
		where = "the one given"
	case !online:
		l.add(stream.OK, "event", "", "none looked at: give one with --event")
		return
	default:
		var err error
		if r, err = stream.Newest(ctx, c.Config); err != nil {
			l.add(stream.Warn, "event", "give one with --event", "the newest of %s cannot be read: %v", strings.Join(c.Input.Topics, ", "), err)
			return
		}
		if r == nil {
			l.add(stream.OK, "event", "", "none looked at: %s has no event yet; give one with --event", strings.Join(c.Input.Topics, ", "))
			return
		}
		wrong, where = stream.Warn, fmt.Sprintf("the newest (%s-%d-%d)", r.Topic, r.Partition, r.Offset)
	}
	e := stream.Explain(c.Config, d, r)
	if e.Err != nil {
		l.add(wrong, "event", "look at its producer, or at the paths in features.yaml and model.paths", "%s would be a dead letter: %v", where, e.Err)
		return
	}
	l.Event = newEventReport(where, c, d, e)
	l.add(stream.OK, "event", "", "%s is scored", where)
	l.order(c, r, given != nil, e)
}

// order warns when events of one entity may lie in several partitions.
func (l *checklist) order(c Config, r *kgo.Record, keyless bool, e stream.Explanation) {
	const mend = "have the producer key its records by it"
	switch {
	case e.Entity == "" && c.Input.Entity == "" && !keyless:
		l.add(stream.Warn, "entity", "set input.entity to a path in the event", "the record has no key, so the prediction has no entity and is not cached")
	case e.Entity == "" && c.Input.Entity != "":
		l.add(stream.Warn, "entity", "correct input.entity, or look at the producer", "the event has nothing at input.entity (%s), so the prediction has no entity and is not cached", c.Input.Entity)
	case c.Input.Entity != "" && !keyless && string(r.Key) != e.Entity:
		l.add(stream.Warn, "entity", mend, "%s is not the record's key: predictions of one entity may come out of order (the cache keeps the newest by event time all the same)", c.Input.Entity)
	}
}

// verdict is the error that gives the exit code.
func (l *checklist) verdict() error {
	failed := 0
	for _, f := range l.Findings {
		if f.Level == stream.Fail {
			failed++
		}
	}
	if failed > 0 {
		return fmt.Errorf("%s failed", plural(failed, "check"))
	}
	return nil
}

func (l *checklist) writeJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(l)
}

func plural[N int | int64](n N, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return count(n) + " " + what + "s"
}
