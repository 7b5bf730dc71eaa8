package main

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"
)

// complete returns what is offered for the last of args, and the directive to the shell.
func complete(t *testing.T, args ...string) (offers []string, directive string) {
	t.Helper()
	var out, errs bytes.Buffer
	if code := run(append([]string{"__completeNoDesc"}, args...), &out, &errs); code != 0 {
		t.Fatalf("%v: exit code %d: %s", args, code, &errs)
	}
	offers = strings.Split(strings.TrimSpace(out.String()), "\n")
	return offers[:len(offers)-1], offers[len(offers)-1]
}

func TestCompletion(t *testing.T) {
	const files, noFiles, noFilesNoSpace, filesOf = ":0", ":4", ":6", ":8"
	for _, c := range []struct {
		args, directive, want string
	}{
		{"val", noFiles, "validate"},
		{"run -c ", filesOf, "yaml yml"},
		{"model inspect ", files, ""},
		{"validate --event ", files, ""},
		{"validate ", noFiles, ""},
		{"run --set kafka.sasl.m", noFilesNoSpace, "kafka.sasl.mechanism="},
		{"run --set kafka.protocol=", noFiles, "kafka.protocol=classic kafka.protocol=consumer"},
		{"run --set http.pprof=t", noFiles, "http.pprof=true"},
		{"run --set name=", noFiles, ""},
	} {
		offers, directive := complete(t, strings.Split(c.args, " ")...)
		typed := c.args[strings.LastIndex(c.args, " ")+1:]
		var fit []string // the shells filter what a function offers
		for _, o := range offers {
			if strings.HasPrefix(o, typed) {
				fit = append(fit, o)
			}
		}
		if got := strings.Join(fit, " "); got != c.want || directive != c.directive {
			t.Errorf("%q: %q, directive %s; want %q, %s", c.args, got, directive, c.want, c.directive)
		}
	}
}

// Each shell that is here can read its script.
func TestCompletionScripts(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		var script, errs bytes.Buffer
		if code := run([]string{"completion", shell}, &script, &errs); code != 0 || !strings.Contains(script.String(), "__complete") {
			t.Errorf("%s: exit code %d, %d bytes: %s", shell, code, script.Len(), &errs)
		}
		path, err := exec.LookPath(shell)
		if err != nil {
			t.Logf("%s is not here: its script is not tried", shell)
			continue
		}
		cmd := exec.Command(path, "-n")
		cmd.Stdin = &script
		if said, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", shell, err, said)
		}
	}
}
