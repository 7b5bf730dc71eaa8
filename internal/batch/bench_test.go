package batch

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"scry/internal/testenv"
	"scry/predictor"
	"scry/predictor/feature"
	"scry/stream"
)

const benchRows = 200_000

// The benchmarks report CPU time an event, of all threads: what a busy machine disturbs
// least. The goals: lines at most 1/0.8 of floor, a Parquet file of numbers at most
// 1/1.5 of lines.

// BenchmarkFloor is extraction and scoring of the shared events and nothing else, on one
// core.
func BenchmarkFloor(b *testing.B) {
	d, _, lines := benchFiles(b)
	events := bytes.Split(bytes.TrimSpace(lines), []byte("\n"))
	const chunk = 128
	rows, scores := make([]float64, chunk*len(d.Features)), make([]float64, chunk)
	s := feature.NewScratch(len(d.Features))
	before := cpuTime(b)
	for b.Loop() {
		for from := 0; from < benchRows; from += chunk {
			s.Reset()
			n := min(chunk, benchRows-from)
			for i := range n {
				if _, err := d.Extractor.Extract(events[from+i], rows[i*len(d.Features):], s); err != nil {
					b.Fatal(err)
				}
			}
			if err := d.Model.Predict(rows[:n*len(d.Features)], scores[:n]); err != nil {
				b.Fatal(err)
			}
		}
	}
	reportCPU(b, before)
}

func BenchmarkRun(b *testing.B) {
	d, files, _ := benchFiles(b)
	for _, name := range []string{"lines", "csv", "parquet"} {
		b.Run(name, func(b *testing.B) {
			before := cpuTime(b)
			for b.Loop() {
				inputs, err := Files([]string{files[name]}, name, nil)
				if err != nil {
					b.Fatal(err)
				}
				out, err := NewOutput(JSONLines, io.Discard, d)
				if err != nil {
					b.Fatal(err)
				}
				totals, err := Run(b.Context(), Config{Inputs: inputs, Stream: stream.DefaultConfig(), Deployment: d, Output: out,
					Rejects: &Rejects{W: io.Discard}, Progress: func(Totals) {}, Warn: func(string) {}})
				if err != nil || totals.Predicted != benchRows {
					b.Fatal(totals, err)
				}
			}
			reportCPU(b, before)
		})
	}
}

func reportCPU(b *testing.B, before time.Duration) {
	b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N)/benchRows, "cpu-ns/event")
}

func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// benchFiles writes benchRows events of the shared model's numbers, as JSON lines, CSV
// and Parquet; the two categories, which JSON names, are codes that are left out.
func benchFiles(b *testing.B) (d *predictor.Deployment, files map[string]string, lines []byte) {
	b.Helper()
	d, err := predictor.Load(filepath.Join(testenv.Shared(b), "models/osi-xgb"), predictor.Config{Threshold: 0.5})
	if err != nil {
		b.Fatal(err)
	}
	var text, table, columns bytes.Buffer
	schema := parquet.Group{}
	for _, f := range d.Features {
		if len(f.Categories) == 0 {
			schema[f.Name] = parquet.Compressed(parquet.Leaf(parquet.DoubleType), &parquet.Snappy)
			fmt.Fprintf(&table, "%s,", f.Path)
		}
	}
	table.Truncate(table.Len() - 1)
	table.WriteByte('\n')
	w := parquet.NewGenericWriter[map[string]any](&columns, parquet.NewSchema("events", schema))
	shared, err := os.ReadFile(filepath.Join(testenv.Shared(b), "models/osi-xgb/events.jsonl"))
	if err != nil {
		b.Fatal(err)
	}
	events := bytes.SplitAfter(bytes.TrimSuffix(shared, []byte("\n")), []byte("\n"))
	r := rand.New(rand.NewPCG(1, 2))
	row := make([]float64, len(d.Features))
	s := feature.NewScratch(len(row))
	for range benchRows {
		event := bytes.TrimSpace(events[r.IntN(len(events))])
		text.Write(append(event[:len(event):len(event)], '\n'))
		if _, err := d.Extractor.Extract(event, row, s); err != nil {
			b.Fatal(err)
		}
		cells := make(map[string]any)
		for i, f := range d.Features {
			if len(f.Categories) == 0 {
				cells[f.Name] = row[i]
				fmt.Fprintf(&table, "%v,", row[i])
			}
		}
		table.Truncate(table.Len() - 1)
		table.WriteByte('\n')
		if _, err := w.Write([]map[string]any{cells}); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	files = make(map[string]string)
	dir := b.TempDir()
	for name, data := range map[string][]byte{"lines": text.Bytes(), "csv": table.Bytes(), "parquet": columns.Bytes()} {
		files[name] = filepath.Join(dir, "events."+name)
		if err := os.WriteFile(files[name], data, 0o666); err != nil {
			b.Fatal(err)
		}
	}
	return d, files, text.Bytes()
}
