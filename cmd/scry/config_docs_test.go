package main

import (
	"bytes"
	"flag"
	"os"
	"strings"
	"testing"

	"scry/internal/config"
	"scry/internal/config/gen"
)

var update = flag.Bool("update", false, "write the generated files anew")

func comments(t *testing.T) gen.Comments {
	t.Helper()
	c, err := gen.ReadComments(".", "../../stream")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestGeneratedFiles holds docs against the structs. `go generate ./cmd/scry` mends it.
func TestGeneratedFiles(t *testing.T) {
	const reference, schema = "../../docs/config.md", "../../docs/schemas/config.json"
	committed, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	const mark = "go generate ./cmd/scry`. -->\n\n"
	written, _, found := strings.Cut(strings.ReplaceAll(string(committed), "\r", ""), strings.TrimSpace(mark))
	if !found {
		t.Fatalf("%s has lost its mark %q", reference, mark)
	}
	var table, rules bytes.Buffer
	table.WriteString(written + mark)
	if err := gen.Markdown(&table, DefaultConfig(), comments(t), envPrefix); err != nil {
		t.Fatal(err)
	}
	if err := gen.Schema(&rules, "scry.yaml", DefaultConfig(), comments(t)); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string][]byte{reference: table.Bytes(), schema: rules.Bytes()} {
		if *update {
			if err := os.WriteFile(path, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what the structs say (%v); run go generate ./cmd/scry", path, err)
		}
	}
}

func TestEveryKeyIsDocumentedAndHasItsOwnVariable(t *testing.T) {
	keys := config.Keys(DefaultConfig())
	said := comments(t)
	seen := make(map[string]string)
	for _, k := range keys {
		if said.Of(k) == "" {
			t.Errorf("no comment on %s", k.Path)
		}
		env := k.Env(envPrefix)
		if seen[env] != "" {
			t.Errorf("%s sets %s and %s", env, seen[env], k.Path)
		}
		seen[env] = k.Path
	}
}
