package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestGeneratedFilesCommands holds docs/cli.md against the commands, from its mark on.
// `go generate ./cmd/scry` mends it.
func TestGeneratedFilesCommands(t *testing.T) {
	const reference, mark = "../../docs/cli.md", "go generate ./cmd/scry`. -->"
	committed, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	written, _, found := strings.Cut(strings.ReplaceAll(string(committed), "\r", ""), mark)
	if !found {
		t.Fatalf("%s has lost its mark %q", reference, mark)
	}
	var want bytes.Buffer
	want.WriteString(written + mark + "\n")
	for _, cmd := range commands(newRoot()) {
		describe(&want, cmd)
	}
	if *update {
		if err := os.WriteFile(reference, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(reference); err != nil || !bytes.Equal(got, want.Bytes()) {
		t.Errorf("%s is not what the commands say (%v); run go generate ./cmd/scry", reference, err)
	}
}

// TestEveryCommandExplainsItself: what --help and the reference are made of.
func TestEveryCommandExplainsItself(t *testing.T) {
	for _, cmd := range commands(newRoot()) {
		name := cmd.CommandPath()
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: its summary is %q; want a phrase without a full stop", name, cmd.Short)
		}
		if cmd.Long == "" {
			t.Errorf("%s does not say what it does", name)
		}
		if cmd.HasSubCommands() {
			continue
		}
		if cmd.Example == "" {
			t.Errorf("%s has no example", name)
		}
		for line := range strings.Lines(cmd.Example) {
			if !strings.Contains(line, "  ") || !strings.Contains(line, name) && !strings.HasPrefix(line, "    ") {
				t.Errorf("%s: an example is indented by two spaces and shows the command: %q", name, line)
			}
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s --%s is not explained", name, f.Name)
			}
		})
	}
}

// commands lists all below root, each before its own; cobra's help and completion are
// explained by hand.
func commands(root *cobra.Command) (all []*cobra.Command) {
	for _, cmd := range root.Commands() {
		if cmd.IsAvailableCommand() && cmd.Name() != "help" && cmd.Name() != "completion" {
			all = append(append(all, cmd), commands(cmd)...)
		}
	}
	return all
}

// describe writes a command's section.
func describe(w io.Writer, cmd *cobra.Command) {
	level := strings.Repeat("#", strings.Count(cmd.CommandPath(), " ")+1)
	fmt.Fprintf(w, "\n%s %s\n\n%s\n", level, cmd.CommandPath(), cmd.Long)
	if cmd.HasSubCommands() {
		return
	}
	fmt.Fprintf(w, "\n```\n%s\n```\n", cmd.UseLine())
	rows := 0
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		if rows++; rows == 1 {
			fmt.Fprint(w, "\n| flag | default | |\n|---|---|---|\n")
		}
		name, usage := pflag.UnquoteUsage(f)
		flag := "--" + f.Name
		if f.Shorthand != "" {
			flag = "-" + f.Shorthand + ", " + flag
		}
		fmt.Fprintf(w, "| `%s` | %s | %s |\n", strings.TrimSpace(flag+" "+name), defaultOf(f), strings.ReplaceAll(usage, "|", `\|`))
	})
	fmt.Fprintf(w, "\n```sh\n%s\n```\n", strings.ReplaceAll(strings.TrimPrefix(cmd.Example, "  "), "\n  ", "\n"))
}

// defaultOf is empty for what is not given.
func defaultOf(f *pflag.Flag) string {
	switch v := strings.Trim(f.DefValue, "[]"); v {
	case "", "false":
		return ""
	default:
		return "`" + v + "`"
	}
}
