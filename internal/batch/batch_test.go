package batch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"scry/predictor"
	"scry/predictor/feature"
	"scry/stream"
)

// same is a model whose score is x; it sleeps for an hour on a negative one.
type same struct{}

func (same) Inputs() []string  { return []string{"x", "y"} }
func (same) Outputs() []string { return []string{"score"} }
func (same) Predict(in, out []float64) error {
	for i := range out {
		if out[i] = in[2*i]; out[i] < 0 {
			time.Sleep(time.Hour)
		}
	}
	return nil
}

// config scores text with same and writes to w.
func config(t *testing.T, text string, w io.Writer) Config {
	t.Helper()
	features := []feature.Feature{{Name: "x", Path: "x", Required: true}, {Name: "y", Path: "y"}}
	extractor, err := feature.NewJSON(features, feature.JSONConfig{})
	if err != nil {
		t.Fatal(err)
	}
	d := &predictor.Deployment{Name: "same", Version: "1", Features: features, Extractor: extractor, Model: same{}, Threshold: 0.5}
	f, err := os.Open(file(t, "events.jsonl", text))
	if err != nil {
		t.Fatal(err)
	}
	inputs, err := Files([]string{"-"}, "", f)
	if err != nil {
		t.Fatal(err)
	}
	out, err := NewOutput(JSONLines, w, d)
	if err != nil {
		t.Fatal(err)
	}
	return Config{Inputs: inputs, Stream: stream.DefaultConfig(), Deployment: d, Output: out, Rejects: &Rejects{W: t.Output()},
		Progress: func(Totals) {}, Warn: func(text string) { t.Error(text) }}
}

func file(t *testing.T, name, text string) string {
	t.Helper()
	name = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	return name
}

// events are n of them, a line each, with x = first, 1, 2, ...
func events(first, n int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "{\"x\":%d}\n", first)
	for i := 1; i < n; i++ {
		fmt.Fprintf(&b, "{\"x\":%d}\n", i)
	}
	return b.String()
}

// check says whether text has the predictions of the lines, one after the other, and
// nothing else.
func check(t *testing.T, text string, lines, scores []int) {
	t.Helper()
	if n := strings.Count(text, "\n"); n != len(lines) || n > 0 && !strings.HasSuffix(text, "}\n") {
		t.Fatalf("%d predictions, want %d; the end is %.300q", n, len(lines), text[max(0, len(text)-300):])
	}
	i := 0
	for line := range strings.Lines(text) {
		if want := fmt.Sprintf(`{"id":"stdin-0-%d","score":%d,`, lines[i], scores[i]); !strings.HasPrefix(line, want) {
			t.Fatalf("prediction %d: %s, want %s", i, line, want)
		}
		i++
	}
}

func count(from, n int) (list []int) {
	for i := range n {
		list = append(list, from+i)
	}
	return list
}

// TestOrder: predictions keep the order of the events when the first batch is the last
// one that is scored.
func TestOrder(t *testing.T) {
	const n = 20*blockEvents + 3
	var out bytes.Buffer
	c := config(t, events(-1, n), &out)
	synctest.Test(t, func(t *testing.T) {
		if totals, err := Run(t.Context(), c); err != nil || totals.Predicted != n {
			t.Fatal(totals, err)
		}
	})
	check(t, out.String(), count(1, n), append([]int{-1}, count(1, n-1)...))
}

// A gate is a writer that lets nothing through until it is opened.
type gate struct {
	bytes.Buffer
	open chan struct{}
}

func (g *gate) Write(b []byte) (int, error) {
	<-g.open
	return g.Buffer.Write(b)
}

// TestReadsNoFurther than the jobs have room while the output is stuck.
func TestReadsNoFurther(t *testing.T) {
	const n = 100_000
	synctest.Test(t, func(t *testing.T) {
		g := &gate{open: make(chan struct{})}
		c := config(t, events(0, n), g)
		ended := make(chan error)
		go func() {
			_, err := Run(t.Context(), c)
			ended <- err
		}()
		synctest.Wait()
		at, err := c.Inputs[0].file.Seek(0, io.SeekCurrent)
		if err != nil || at == 0 || at > 512<<10 {
			t.Errorf("%d bytes of %d were read: %v", at, len(events(0, n)), err)
		}
		close(g.open)
		if err := <-ended; err != nil {
			t.Error(err)
		}
		check(t, g.String(), count(1, n), count(0, n))
	})
}

// TestCancelled: what was written by then are whole predictions, those that were
// counted, and no more follow.
func TestCancelled(t *testing.T) {
	var out bytes.Buffer
	c := config(t, events(0, 100*blockEvents), &out)
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	c.Progress = func(t Totals) {
		if t.Predicted == 3*blockEvents {
			cancel(enough)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		totals, err := Run(ctx, c)
		if n := int(totals.Predicted); !errors.Is(err, enough) || n < 3*blockEvents || n == 100*blockEvents {
			t.Errorf("%+v: %v", totals, err)
		}
		synctest.Wait()
		check(t, out.String(), count(1, int(totals.Predicted)), count(0, int(totals.Predicted)))
	})
}

type failing struct {
	bytes.Buffer
	left int
}

var errFull = errors.New("no space")

func (f *failing) Write(b []byte) (int, error) {
	if f.left--; f.left < 0 {
		return 0, errFull
	}
	return f.Buffer.Write(b)
}

// TestOutputFails: it ends with the error, and counts what was written.
func TestOutputFails(t *testing.T) {
	out := &failing{left: 2}
	c := config(t, events(0, 100*blockEvents), out)
	synctest.Test(t, func(t *testing.T) {
		if totals, err := Run(t.Context(), c); !errors.Is(err, errFull) || totals.Predicted != 2*blockEvents {
			t.Errorf("%+v: %v", totals, err)
		}
	})
	check(t, out.String(), count(1, 2*blockEvents), count(0, 2*blockEvents))
}

// TestLines of any length are the events, whatever ends them, in one block or over
// several, packed or not.
func TestLines(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var text strings.Builder
	var lines, scores []int
	const n = 2000
	for i := 1; i <= n; i++ {
		if i%7 == 0 {
			text.WriteString("\n")
			continue
		}
		long := r.IntN(100)
		if i%500 == 1 {
			long = r.IntN(4 * blockBytes)
		}
		fmt.Fprintf(&text, `{"pad":"%s","x":%d}`, strings.Repeat("p", long), i)
		lines, scores = append(lines, i), append(scores, i)
		if i%3 == 0 {
			text.WriteString("\r")
		}
		if i < n {
			text.WriteString("\n")
		}
	}
	plain := text.String()
	half := len(plain) / 2
	for name, text := range map[string]string{
		"plain":             plain,
		"marked":            "\xef\xbb\xbf" + plain,
		"gzip":              packed(t, gzipTo, plain),
		"gzip, two members": packed(t, gzipTo, plain[:half]) + packed(t, gzipTo, plain[half:]),
		"zstd":              packed(t, zstdTo, plain),
		"zstd, two frames":  packed(t, zstdTo, plain[:half]) + packed(t, zstdTo, plain[half:]),
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			c := config(t, text, &out)
			var last Totals
			c.Progress = func(t Totals) { last = t }
			if _, err := Run(t.Context(), c); err != nil || last.Read != int64(len(text)) {
				t.Fatalf("%d of %d bytes read: %v", last.Read, len(text), err)
			}
			check(t, out.String(), lines, scores)
		})
	}
}

func gzipTo(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil }
func zstdTo(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) }

func packed(t *testing.T, to func(io.Writer) (io.WriteCloser, error), text string) string {
	t.Helper()
	var b bytes.Buffer
	w, err := to(&b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil || w.Close() != nil {
		t.Fatal("packing")
	}
	return b.String()
}

// TestBadInputs end with what is wrong, and where.
func TestBadInputs(t *testing.T) {
	zstd := packed(t, zstdTo, events(0, 5000))
	gzip := packed(t, gzipTo, events(0, 5000))
	for name, tc := range map[string]struct{ text, says string }{
		"cut zstd":      {zstd[:len(zstd)-9], "cut short"},
		"cut gzip":      {gzip[:len(gzip)-9], "cut short"},
		"endless event": {events(0, 300) + strings.Repeat("x", 3*maxEvent), "the event that begins in line 301 is longer than 16 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Run(t.Context(), config(t, tc.text, io.Discard)); err == nil || !strings.Contains(err.Error(), "stdin: ") || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%v does not say %q", err, tc.says)
			}
		})
	}
}

// TestLastLineBroken: it is a reject, with a warning; a whole one without its end of
// line is an event.
func TestLastLineBroken(t *testing.T) {
	for last, warned := range map[string]bool{`{"x":`: true, `{"x":2}`: false, `{"x":` + "\n": false} {
		c := config(t, events(0, 2)+last, io.Discard)
		var warnings []string
		c.Warn = func(text string) { warnings = append(warnings, text) }
		totals, err := Run(t.Context(), c)
		if err != nil || totals.Predicted+totals.Rejected != 3 || (len(warnings) > 0) != warned {
			t.Errorf("%q: %+v, %q, %v", last, totals, warnings, err)
		}
	}
}

// TestAbsentColumn: a feature without a column is said once, by the file's name.
func TestAbsentColumn(t *testing.T) {
	c := config(t, "", io.Discard)
	var warnings []string
	c.Warn = func(text string) { warnings = append(warnings, text) }
	whole, part := file(t, "whole.csv", "x,y\n1,2\n"), file(t, "part.csv", "x\n"+strings.Repeat("1\n", 2*blockEvents))
	var err error
	if c.Inputs, err = Files([]string{whole, part}, "", nil); err != nil {
		t.Fatal(err)
	}
	if totals, err := Run(t.Context(), c); err != nil || totals.Predicted != 1+2*blockEvents {
		t.Fatal(totals, err)
	}
	if len(warnings) != 1 || warnings[0] != part+" has no column for y: missing in every row" {
		t.Errorf("warnings: %q", warnings)
	}
}
