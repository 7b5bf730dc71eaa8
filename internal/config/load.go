package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v4"
)

const (
	maxFile   = 1 << 20
	maxFaults = 100 // a file with more is of another kind
)

// A Source is where settings come from. Flags win over the environment, that over the file,
// and that over the defaults.
type Source struct {
	Path   string                      // of the YAML file; empty: no file
	Prefix string                      // of the environment variables: SCRY for SCRY_KAFKA_BROKERS
	Env    func(string) (string, bool) // os.LookupEnv
	Sets   []string                    // of the flag --set: kafka.brokers=a,b
}

// Load reads the settings of src into into, a pointer to a struct that holds the defaults
// (see Key for its tags). Mistakes in the settings do not stop it: Provenance.Join gives them
// together with those that validation finds. An error means that the file cannot be read as
// YAML at all, and that there is nothing to validate.
func Load(src Source, into any) (*Provenance, error) {
	l := newLoader(src, into)
	if src.Path != "" {
		data, err := readFile(src.Path)
		if err != nil {
			return nil, err
		}
		if err := l.document(data); err != nil {
			return nil, err
		}
	}
	l.environment(src.Prefix)
	l.flags(src.Sets)
	l.masks()
	return l.p, nil
}

// masks refuses secrets that Print wrote: they are none.
func (l *loader) masks() {
	for _, k := range l.keys {
		text := k.Value.String()
		if k.Field.Type != secretType || !strings.Contains(text, mask) || k.show(text) != text {
			continue
		}
		f := Fault{Path: k.Path, Value: text, Problem: "is what is printed in a secret's place", Mend: "write the secret itself, or ${VARIABLE}"}
		if o := l.p.Origin(k.Path); o.Line > 0 {
			f.Line = o.Line
		} else {
			f.Source = o.Source
		}
		l.blame(f)
	}
}

type loader struct {
	keys  []Key
	index map[string]Key
	vars  expander
	file  string // as origins name it
	p     *Provenance
}

func newLoader(src Source, into any) *loader {
	l := &loader{
		keys:  Keys(into),
		index: make(map[string]Key),
		vars:  expander{lookup: src.Env},
		file:  filepath.Base(src.Path),
		p:     newProvenance(),
	}
	for _, k := range l.keys {
		l.index[k.Path] = k
	}
	return l
}

// blame notes a fault that keeps a key, or all of a section, from being read.
func (l *loader) blame(f Fault) {
	l.p.blamed[f.Path] = true
	l.note(f)
}

// note keeps a fault, unless there are so many that nobody reads on.
func (l *loader) note(f Fault) {
	switch n := len(l.p.faults); {
	case n < maxFaults:
		l.p.faults = append(l.p.faults, f)
	case n == maxFaults:
		l.p.faults.Add("", "", fmt.Sprintf("more than %d mistakes", maxFaults), "mend these first")
	}
}

var errTooLarge = Fault{Problem: "is larger than 1 MiB", Mend: "is it the configuration, and not data?"}

func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, Fault{Problem: "does not exist", Mend: "give the path of a configuration, or start from examples/scry.yaml"}
	case err != nil:
		return nil, Fault{Problem: "cannot be read: " + err.Error(), Mend: "check its path and permissions"}
	case !info.Mode().IsRegular():
		return nil, Fault{Problem: "is not a regular file", Mend: "give the path of a YAML file"}
	case info.Size() > maxFile:
		return nil, errTooLarge
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, Fault{Problem: "cannot be read: " + err.Error(), Mend: "check its permissions"}
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, Fault{Problem: "cannot be read: " + err.Error(), Mend: "check the disk"}
	}
	if len(data) > maxFile {
		return nil, errTooLarge
	}
	return data, nil
}

// document reads the one YAML document of the file.
func (l *loader) document(data []byte) error {
	var doc, second yaml.Node
	dec, err := yaml.NewLoader(bytes.NewReader(data))
	if err != nil {
		return syntaxFault(data, err)
	}
	switch err := dec.Load(&doc); {
	case errors.Is(err, io.EOF):
		return Fault{Problem: "the file is empty", Mend: "start from examples/scry.yaml"}
	case err != nil:
		return syntaxFault(data, err)
	}
	switch err := dec.Load(&second); {
	case err == nil:
		return Fault{Line: second.Line, Problem: "a second YAML document begins here", Mend: "keep one document a file"}
	case !errors.Is(err, io.EOF):
		return syntaxFault(data, err)
	}
	top := doc.Content[0]
	if isNull(top) {
		return Fault{Line: top.Line, Problem: "the file says nothing", Mend: "start from examples/scry.yaml"}
	}
	if top.Kind != yaml.MappingNode {
		return Fault{Line: top.Line, Problem: "the file is " + shape(top) + ", not keys and values", Mend: "start from examples/scry.yaml"}
	}
	l.section("", top)
	return nil
}

// syntaxFault tells where the YAML breaks off.
func syntaxFault(data []byte, err error) error {
	f := Fault{Problem: "not YAML: " + err.Error(), Mend: "check the indentation, colons and quotes there"}
	var at *yaml.LoadError
	if errors.As(err, &at) {
		f.Problem = "not YAML: " + at.Message
		f.Line = min(at.Mark.Line, countLines(data)) // the parser counts one too many at the end
		if at.Mark.Line == 0 {                       // the reader knows the byte only
			f.Line = countLines(data[:min(at.Mark.Index, len(data))])
		}
	}
	return f
}

func countLines(data []byte) int { return 1 + bytes.Count(data, []byte("\n")) }
