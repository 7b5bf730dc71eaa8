package batch

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"scry/predictor"
	"scry/predictor/feature"
)

// The formats of input.
const (
	Lines   = "lines" // an event a line, in the pipeline's input.format
	CSV     = "csv"
	Parquet = "parquet"
)

// An Input is one file to score.
type Input struct {
	Name   string // in ids and messages
	Format string // Lines, CSV or Parquet; empty: by the name
	Size   int64  // 0: not known, as of a pipe

	file       *os.File // standard input; nil: to be opened
	deployment *predictor.Deployment
	warning    string // to be told with its first predictions
}

// Files expands the patterns of a command line into inputs; "-" is standard input. A
// pattern that matches nothing is an error.
func Files(patterns []string, format string, stdin *os.File) ([]Input, error) {
	var inputs []Input
	for _, pattern := range patterns {
		if pattern == "-" {
			inputs = append(inputs, Input{Name: "stdin", Format: format, file: stdin})
			continue
		}
		names := []string{pattern}
		if _, err := os.Stat(pattern); err != nil {
			matches, _ := filepath.Glob(pattern) // a bad pattern is a name, which is not there
			if len(matches) == 0 {
				return nil, err
			}
			names = matches
		}
		for _, name := range names {
			info, err := os.Stat(name)
			if err != nil {
				return nil, err
			}
			if info.IsDir() {
				return nil, fmt.Errorf("%s is a folder; name the files in it: %s", name, filepath.Join(name, "*"))
			}
			if slices.ContainsFunc(inputs, func(in Input) bool { return in.Name == name }) {
				return nil, fmt.Errorf("%s is named twice: its predictions would share their ids", name)
			}
			inputs = append(inputs, Input{Name: name, Format: format, Size: info.Size()})
		}
	}
	return inputs, nil
}

func (in *Input) format() string {
	if in.Format != "" {
		return in.Format
	}
	name := strings.ToLower(in.Name)
	for _, packed := range []string{".gz", ".zst"} {
		name = strings.TrimSuffix(name, packed)
	}
	switch filepath.Ext(name) {
	case ".csv":
		return CSV
	case ".parquet":
		return Parquet
	}
	return Lines
}

// A source fills jobs with the events of one input.
type source interface {
	// fill adds events to an empty job and says whether there are more to come.
	fill(j *job) (more bool, err error)
	// position is how much of the input was read, in bytes.
	position() int64
	io.Closer
}

func (in *Input) open(p *pipeline) (source, error) {
	f := in.file
	if f == nil {
		var err error
		if f, err = os.Open(in.Name); err != nil {
			return nil, errors.Unwrap(err)
		}
	}
	s, err := in.source(p, f)
	if err != nil {
		f.Close()
	}
	return s, err
}

func (in *Input) source(p *pipeline, f *os.File) (source, error) {
	if in.format() == Parquet {
		return openParquet(p, in, f)
	}
	counted := &countReader{r: f}
	text, err := decompress(counted)
	if err != nil {
		return nil, err
	}
	s := &textSource{r: text, read: &counted.n, file: f, line: 1, want: blockBytes, record: lineLength, lines: oneLine}
	in.deployment = p.Deployment
	if err := s.begin(); err != nil {
		return nil, err
	}
	if in.format() != CSV {
		return s, nil
	}
	s.record, s.lines = feature.CSVRecord, countLines
	header, err := s.header()
	if err != nil {
		return nil, err
	}
	extractor, err := feature.NewCSV(header, p.Deployment.Features, p.Fields)
	if err != nil {
		return nil, err
	}
	p.table(in, extractor.Table(), extractor)
	return s, nil
}

// table makes the deployment of an input that is a table.
func (p *pipeline) table(in *Input, t *feature.Table, e feature.Extractor) {
	if absent := t.Absent(); len(absent) > 0 {
		in.warning = fmt.Sprintf("%s has no column for %s: missing in every row", in.Name, strings.Join(absent, ", "))
	}
	d := *p.Deployment
	d.Extractor = e
	in.deployment = &d
}

// decompress looks at the first bytes, whatever the name is.
func decompress(r io.Reader) (io.Reader, error) {
	b := bufio.NewReaderSize(r, 64<<10)
	magic, err := b.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		return gzip.NewReader(b)
	case bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		// On this goroutine, and with what zstd --long=27 makes, no more.
		return zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(128<<20))
	case string(magic) == "PAR1":
		return nil, errors.New("is a Parquet file; say --input-format parquet, and name it as a file: its index is at its end")
	}
	return b, nil
}

type countReader struct {
	r io.Reader
	n atomic.Int64
}

func (c *countReader) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n.Add(int64(n))
	return n, err
}
