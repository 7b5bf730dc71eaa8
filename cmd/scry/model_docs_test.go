package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestGoldenDocs: the Python in docs/models.md is that of examples/golden, line by line.
func TestGoldenDocs(t *testing.T) {
	root := filepath.Join("..", "..")
	doc, err := os.ReadFile(filepath.Join(root, "docs", "models.md"))
	if err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile(filepath.Join(root, "examples", "golden", "make_golden.py"))
	if err != nil {
		t.Fatal(err)
	}
	checked, python := 0, false
	for line := range strings.Lines(string(doc)) {
		line = strings.TrimRight(line, "\n")
		switch code := strings.TrimSpace(line); {
		case strings.HasPrefix(line, "```"):
			python = line == "```python"
		case python && code != "" && !strings.HasPrefix(code, "# "):
			checked++
			if !strings.Contains(string(script), line+"\n") {
				t.Errorf("not in make_golden.py: %s", line)
			}
		}
	}
	if checked < 15 {
		t.Errorf("only %d lines of Python in docs/models.md", checked)
	}
}
