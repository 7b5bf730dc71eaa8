// Command scry turns a Kafka topic and a model file into live predictions.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// The exit codes, besides exitConfig and 130 or 143 for a signal that cut the work short.
const (
	exitFailed = 1
	exitUsage  = 2
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run is the program without the process.
func run(args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)

	err := root.ExecuteContext(context.Background())
	if err == nil {
		return 0
	}
	fmt.Fprintln(stderr, "scry:", err)
	var usage *usageError
	var configuration *configError
	var signal signalError
	switch {
	case errors.As(err, &configuration):
		return exitConfig
	case errors.As(err, &signal):
		return 128 + int(signal)
	case errors.As(err, &usage):
		return exitUsage
	}
	return exitFailed
}

// newRoot makes the tree of commands.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "scry",
		Short:         "Live predictions from a Kafka topic and a model file",
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          knownCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	root.AddCommand(
		benchCommand(),
		demoCommand(),
		runCommand(),
		validateCommand(),
		scoreCommand(),
		lookupCommand(),
		modelCommand(),
		checkpointCommand(),
		replayCommand(),
		dlqCommand(),
		cacheCommand(),
		healthCommand(),
	)
	return root
}

// stamped is the version that a release or an image sets: -ldflags "-X main.stamped=v1.2.3".
var stamped string

// version is the stamped one, or else the module's, made of the commit where no release
// is tagged.
func version() string {
	if stamped != "" {
		return stamped
	}
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "unknown"
	}
	return info.Main.Version
}

// A usageError is a command line that cannot be understood.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

// A signalError is a second signal, which cuts a drain short: its number.
type signalError int

func (e signalError) Error() string {
	return "stopped by a second signal; what was in flight will be read again"
}

// knownCommand is the Args of a command that does nothing but hold others.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := ""
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = "did you mean " + strings.Join(near, " or ") + "? "
	}
	return &usageError{fmt.Errorf("unknown command %q; %ssee %s --help", args[0], hint, cmd.CommandPath())}
}

// exactArgs is cobra's, as a usage error.
func exactArgs(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := cobra.ExactArgs(n)(cmd, args); err != nil {
			return &usageError{fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())}
		}
		return nil
	}
}
