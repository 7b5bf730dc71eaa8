package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"

	"scry/internal/testenv"
)

// A shopEvent is an event of the shared model's, as JSON and as Parquet.
type shopEvent struct {
	User string    `json:"user_id" parquet:"user_id"`
	TS   time.Time `json:"ts" parquet:"ts,timestamp(millisecond)"`
	Page struct {
		Value  *float64 `json:"value" parquet:"value,optional"`
		Bounce *float64 `json:"bounce_rate" parquet:"bounce_rate,optional"`
		Exit   *float64 `json:"exit_rate" parquet:"exit_rate,optional"`
	} `json:"page" parquet:"page"`
	Session struct {
		Month   *string  `json:"month" parquet:"month,optional,dict"`
		Special *float64 `json:"special_day" parquet:"special_day,optional,dict"`
		Visitor *string  `json:"visitor_type" parquet:"visitor_type,optional"`
		Weekend *bool    `json:"weekend" parquet:"weekend,optional"`
		Traffic *int32   `json:"traffic_type" parquet:"traffic_type,optional"`
		Admin   visits   `json:"admin" parquet:"admin"`
		Info    visits   `json:"info" parquet:"info"`
		Product visits   `json:"product" parquet:"product"`
	} `json:"session" parquet:"session"`
	Client struct {
		OS      *int64 `json:"os" parquet:"os,optional"`
		Browser *int64 `json:"browser" parquet:"browser,optional,dict"`
		Region  *int32 `json:"region" parquet:"region,optional"`
	} `json:"client" parquet:"client"`
}

type visits struct {
	Pages   *float64 `json:"pages" parquet:"pages,optional"`
	Seconds *float64 `json:"seconds" parquet:"seconds,optional"`
}

// shopFiles writes the shared events in every format and returns the files' names.
func shopFiles(t *testing.T) (dir string, names map[string]string) {
	t.Helper()
	dir = t.TempDir()
	lines, err := os.ReadFile(filepath.Join(testenv.Shared(t), "models/osi-xgb/events.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var events []shopEvent
	table := &bytes.Buffer{}
	rows := csv.NewWriter(table)
	rows.Write([]string{"ts", "user_id", "page.value", "page.bounce_rate", "ExitRates", "session.month", "session.special_day",
		"session.visitor_type", "session.weekend", "session.traffic_type", "session.admin.pages", "session.admin.seconds", "session.info.pages",
		"session.info.seconds", "session.product.pages", "session.product.seconds", "client.os", "client.browser", "client.region", "note"})
	for line := range bytes.Lines(lines) {
		var e shopEvent
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
		s := e.Session
		rows.Write([]string{e.TS.Format(time.RFC3339Nano), e.User, cell(e.Page.Value), cell(e.Page.Bounce), cell(e.Page.Exit), cell(s.Month),
			cell(s.Special), cell(s.Visitor), cell(s.Weekend), cell(s.Traffic), cell(s.Admin.Pages), cell(s.Admin.Seconds), cell(s.Info.Pages),
			cell(s.Info.Seconds), cell(s.Product.Pages), cell(s.Product.Seconds), cell(e.Client.OS), cell(e.Client.Browser), cell(e.Client.Region),
			"said \"hi\",\nand left"})
	}
	rows.Flush()
	columns := &bytes.Buffer{}
	w := parquet.NewGenericWriter[shopEvent](columns, parquet.MaxRowsPerRowGroup(1500), parquet.PageBufferSize(4<<10))
	if _, err := w.Write(events); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	names = make(map[string]string)
	for name, data := range map[string][]byte{"events.jsonl": lines, "events.csv": table.Bytes(), "events.parquet": columns.Bytes(),
		"events.jsonl.gz": gzipped(t, lines), "events.csv.zst": zstded(t, table.Bytes()), "unended.jsonl": bytes.TrimSpace(lines)} {
		names[name] = filepath.Join(dir, name)
		if err := os.WriteFile(names[name], data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir, names
}

func cell[T any](v *T) string {
	if v == nil {
		return ""
	}
	if f, ok := any(*v).(float64); ok {
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	return fmt.Sprint(*v)
}

func gzipped(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zstded(t *testing.T, data []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(data, nil)
}

// scoreConfigFile writes a scry.yaml for the shared model.
func scoreConfigFile(t *testing.T, dir string) string {
	t.Helper()
	name := filepath.Join(dir, "scry.yaml")
	text := fmt.Sprintf("name: osi\ninput: {topics: [in], entity: user_id, event_time: {path: ts}}\noutput: {topic: out}\nmodel: {uri: %s}\n",
		filepath.Join(testenv.Shared(t), "models/osi-xgb"))
	if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	return name
}

// scored runs scry score and returns what it wrote.
func scored(t *testing.T, want int, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	if code := run(append([]string{"score"}, args...), &out, &errs); code != want {
		t.Fatalf("scry score %v: exit code %d, want %d: %s", args, code, want, errs.String())
	}
	return out.String(), errs.String()
}

type scoredRecord struct {
	ID, Entity string
	Score      float64
	EventTime  time.Time `json:"event_time"`
}

func records(t *testing.T, text string) (list []scoredRecord) {
	t.Helper()
	for line := range strings.Lines(text) {
		var r scoredRecord
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		list = append(list, r)
	}
	return list
}

// TestScoreFormats: in whatever format the events are, every score is the golden one,
// bit for bit that of the deployment that run uses, in the events' order.
func TestScoreFormats(t *testing.T) {
	dir, files := shopFiles(t)
	config := scoreConfigFile(t, dir)
	c, _, err := loadConfig(config, nil)
	if err != nil {
		t.Fatal(err)
	}
	d, err := loadModel(c)
	if err != nil {
		t.Fatal(err)
	}
	var golden map[string]float64
	data, err := os.ReadFile(filepath.Join(testenv.Shared(t), "models/osi-xgb/golden-events.json"))
	if err != nil || json.Unmarshal(data, &golden) != nil {
		t.Fatal(err)
	}
	var events []shopEvent
	var exact []float64
	lines, _ := os.ReadFile(files["events.jsonl"])
	for line := range bytes.Lines(lines) {
		scores, err := d.Score(bytes.TrimSpace(line))
		var e shopEvent
		if err != nil || json.Unmarshal(line, &e) != nil {
			t.Fatal(err)
		}
		exact, events = append(exact, scores[0]), append(events, e)
	}
	for name, file := range files {
		t.Run(name, func(t *testing.T) {
			out, _ := scored(t, 0, "-c", config, file)
			got := records(t, out)
			if len(got) != len(golden) {
				t.Fatalf("%d predictions of %d events", len(got), len(golden))
			}
			for i, r := range got {
				line := i + 1
				if strings.Contains(name, "csv") {
					line = 2*i + 2 // a record has two lines, and a header is above
				}
				if want := fmt.Sprintf("%s-0-%d", file, line); r.ID != want {
					t.Fatalf("prediction %d has the id %s, want %s", i, r.ID, want)
				}
				if math.Abs(r.Score-golden[strconv.Itoa(i)]) > 1.2e-7 {
					t.Fatalf("%s: score %v, want %v", r.ID, r.Score, golden[strconv.Itoa(i)])
				}
				if r.Score != exact[i] || r.Entity != events[i].User || !r.EventTime.Equal(events[i].TS) {
					t.Fatalf("%+v, want score %v and %+v", r, exact[i], events[i])
				}
			}
		})
	}
}

// TestScoreOutputs: CSV and Parquet hold what the JSON lines do.
func TestScoreOutputs(t *testing.T) {
	dir, files := shopFiles(t)
	config := scoreConfigFile(t, dir)
	text, _ := scored(t, 0, "-c", config, files["events.jsonl"])
	want := records(t, text)

	name := filepath.Join(dir, "out.csv")
	scored(t, 0, "-c", config, files["events.jsonl"], "--out", name)
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil || len(rows) != len(want)+1 {
		t.Fatalf("%d rows of CSV, want %d: %v", len(rows), len(want)+1, err)
	}
	for i, r := range rows[1:] {
		w := want[i]
		if score, _ := strconv.ParseFloat(r[2], 64); r[0] != w.ID || r[1] != w.Entity || score != w.Score || r[7] != w.EventTime.Format("2006-01-02T15:04:05.000Z") {
			t.Fatalf("%v, want %v", r, w)
		}
	}

	name = filepath.Join(dir, "out.parquet")
	scored(t, 0, "-c", config, files["events.jsonl"], "--out", name)
	type row struct {
		ID        string    `parquet:"id"`
		Entity    string    `parquet:"entity,optional"`
		Score     float64   `parquet:"score"`
		EventTime time.Time `parquet:"event_time,timestamp(millisecond)"`
	}
	got, err := parquet.ReadFile[row](name)
	if err != nil || len(got) != len(want) {
		t.Fatalf("%d rows of Parquet, want %d: %v", len(got), len(want), err)
	}
	for i, r := range got {
		w := want[i]
		if r.ID != w.ID || r.Entity != w.Entity || r.Score != w.Score || !r.EventTime.Equal(w.EventTime) {
			t.Fatalf("%v, want %v", r, w)
		}
	}
}

// TestScoreRejects: what cannot be scored is told with its line, the rest is scored, and
// a last line that was cut off is one of those.
func TestScoreRejects(t *testing.T) {
	dir, files := shopFiles(t)
	config := scoreConfigFile(t, dir)
	lines, _ := os.ReadFile(files["events.jsonl"])
	first := bytes.SplitAfter(lines, []byte("\n"))
	in := filepath.Join(dir, "broken.jsonl")
	text := bytes.Join([][]byte{first[0], []byte("\n"), []byte("not json\n"), first[1], first[2][:40]}, nil)
	if err := os.WriteFile(in, text, 0o666); err != nil {
		t.Fatal(err)
	}
	out, errs := scored(t, 0, "-c", config, in)
	if got := records(t, out); len(got) != 2 || got[1].ID != in+"-0-4" {
		t.Errorf("predictions: %v", got)
	}
	for _, want := range []string{in + ":3: malformed event", in + ":5: malformed event", "cut short"} {
		if !strings.Contains(errs, want) {
			t.Errorf("%q is missing in %s", want, errs)
		}
	}
	rejects := filepath.Join(dir, "rejects.jsonl")
	_, errs = scored(t, 0, "-c", config, in, "--rejects", rejects)
	if strings.Contains(errs, in+":3") {
		t.Errorf("standard error tells what the file does: %s", errs)
	}
	data, err := os.ReadFile(rejects)
	if err != nil {
		t.Fatal(err)
	}
	var r struct {
		Line                 int
		Reason, Event, Stage string
	}
	if err := json.Unmarshal(data[:bytes.IndexByte(data, '\n')], &r); err != nil || r.Line != 3 || r.Reason != "malformed" || r.Event != "not json" {
		t.Errorf("%s: %v", data, err)
	}
}

// TestScoreNothing: when no event can be scored it is no success, and there is no file.
func TestScoreNothing(t *testing.T) {
	dir, files := shopFiles(t)
	out := filepath.Join(dir, "out.jsonl")
	_, errs := scored(t, 1, "-c", scoreConfigFile(t, dir), files["events.csv"], "--input-format", "lines", "--out", out)
	if !strings.Contains(errs, "not one of") {
		t.Error(errs)
	}
	absentFiles(t, dir, "out.jsonl")
}

// absentFiles: neither the file nor a temporary one is there.
func absentFiles(t *testing.T, dir, name string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.Contains(e.Name(), name) {
			t.Errorf("%s was left behind", e.Name())
		}
	}
}

// TestScoreFailures: each leaves no output file and says what is wrong.
func TestScoreFailures(t *testing.T) {
	dir, files := shopFiles(t)
	config := scoreConfigFile(t, dir)
	packed, _ := os.ReadFile(files["events.jsonl.gz"])
	columns, _ := os.ReadFile(files["events.parquet"])
	write := func(name string, data []byte) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, data, 0o666); err != nil {
			t.Fatal(err)
		}
		return name
	}
	damaged := bytes.Clone(columns)
	for i := 4; i < len(damaged)/2; i++ {
		damaged[i] ^= 0x5a
	}
	out := filepath.Join(dir, "out.jsonl")
	for name, test := range map[string]struct {
		args []string
		code int
		says string
	}{
		"cut gzip":        {[]string{write("cut.jsonl.gz", packed[:len(packed)/2]), "-o", out}, 1, "cut short"},
		"cut Parquet":     {[]string{write("cut.parquet", columns[:len(columns)/2]), "-o", out}, 1, "not a Parquet file"},
		"damaged Parquet": {[]string{write("damaged.parquet", damaged), "-o", out}, 1, "damaged.parquet"},
		"Parquet as text": {[]string{files["events.parquet"], "--input-format", "lines", "-o", out}, 1, "Parquet"},
		"no such file":    {[]string{filepath.Join(dir, "nothing-*.jsonl"), "-o", out}, 1, "no such file"},
		"twice":           {[]string{files["events.jsonl"], files["events.jsonl"], "-o", out}, 1, "twice"},
		"wrong columns":   {[]string{write("x.csv", []byte("a,b\n1,2\n")), "-o", out}, 1, `entity: no column is named "user_id"`},
		"empty CSV":       {[]string{write("empty.csv", nil), "-o", out}, 1, "header"},
		"over an input":   {[]string{files["events.jsonl"], "-o", files["events.jsonl"]}, 2, "is an input"},
		"no cache":        {[]string{files["events.jsonl"], "--to-cache", "-o", out}, 2, "cache.url"},
		"odd entity":      {[]string{files["events.jsonl"], "--set", "input.entity=user..id", "--set", "model.uri=nowhere", "-o", out}, 78, "input.entity: \"user..id\": not a path"},
		"odd format":      {[]string{files["events.jsonl"], "--output-format", "xml", "-o", out}, 2, "jsonl, csv or parquet"},
	} {
		t.Run(name, func(t *testing.T) {
			_, errs := scored(t, test.code, append([]string{"-c", config}, test.args...)...)
			if !strings.Contains(errs, test.says) {
				t.Errorf("%q is not in %s", test.says, errs)
			}
			absentFiles(t, dir, "out.jsonl")
		})
	}
}

// TestScoreDiskFull: a device that takes nothing ends it, and stays a device.
func TestScoreDiskFull(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("needs /dev/full")
	}
	dir, files := shopFiles(t)
	config := scoreConfigFile(t, dir)
	for _, args := range [][]string{{"--out", "/dev/full"}, {"--out", "/dev/full", "--output-format", "csv"},
		{"--out", "/dev/full", "--output-format", "parquet"}, {"--out", filepath.Join(dir, "out.jsonl"), "--rejects", "/dev/full", files["events.csv"], "--input-format", "lines"}} {
		_, errs := scored(t, 1, append([]string{"-c", config, files["events.jsonl"]}, args...)...)
		if !strings.Contains(errs, "no space left") {
			t.Error(errs)
		}
	}
	absentFiles(t, dir, "out.jsonl")
}

// TestScoreCancelled: what a signal interrupts leaves no file. Predictions were being
// made then: the input is a pipe that stays open.
func TestScoreCancelled(t *testing.T) {
	dir, files := shopFiles(t)
	c, _, err := loadConfig(scoreConfigFile(t, dir), nil)
	if err != nil {
		t.Fatal(err)
	}
	d, err := loadModel(c)
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	ctx, cancel := context.WithCancel(t.Context())
	lines, _ := os.ReadFile(files["events.jsonl"])
	go func() {
		if _, err := w.Write(lines); err == nil { // more than a pipe holds: it is being read
			cancel()
		}
	}()
	o := scoreOptions{out: filepath.Join(dir, "out.jsonl"), outputFormat: "jsonl"}
	if err := o.score(ctx, c, d, nil, r, io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), "out.jsonl was not written") {
		t.Errorf("error: %v", err)
	}
	absentFiles(t, dir, "out.jsonl")
}

// TestScoreStdin: events from a pipe.
func TestScoreStdin(t *testing.T) {
	dir, files := shopFiles(t)
	c, _, err := loadConfig(scoreConfigFile(t, dir), nil)
	if err != nil {
		t.Fatal(err)
	}
	d, err := loadModel(c)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(files["events.jsonl.gz"])
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	o := scoreOptions{outputFormat: "jsonl"}
	if err := o.score(t.Context(), c, d, nil, f, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	if got := records(t, out.String()); len(got) != 2000 || got[1999].ID != "stdin-0-2000" {
		t.Errorf("%d predictions", len(got))
	}
}

// TestScoreToCache: each entity's newest prediction is in Redis, and a later run with
// older events changes nothing.
func TestScoreToCache(t *testing.T) {
	dir, files := shopFiles(t)
	server := miniredis.RunT(t)
	args := []string{"-c", scoreConfigFile(t, dir), "--set", "cache.url=redis://" + server.Addr(), "--set", "cache.ttl=0", "--to-cache"}
	text, _ := scored(t, 0, append(args, files["events.jsonl"])...)
	newest := make(map[string]scoredRecord)
	for _, r := range records(t, text) {
		if !r.EventTime.Before(newest[r.Entity].EventTime) {
			newest[r.Entity] = r
		}
	}
	check := func() {
		t.Helper()
		if n := len(server.Keys()); n != len(newest) {
			t.Errorf("%d keys, want %d", n, len(newest))
		}
		for entity, want := range newest {
			var got scoredRecord
			value, err := server.Get("pred:osi-xgb:" + entity)
			if err != nil || json.Unmarshal([]byte(value), &got) != nil || got.Score != want.Score || got.ID != want.ID {
				t.Fatalf("%s: %s %v, want %+v", entity, value, err, want)
			}
		}
	}
	check()
	lines, _ := os.ReadFile(files["events.jsonl"])
	older := filepath.Join(dir, "older.jsonl")
	if err := os.WriteFile(older, bytes.ReplaceAll(lines, []byte(`"2026-`), []byte(`"2025-`)), 0o666); err != nil {
		t.Fatal(err)
	}
	_, errs := scored(t, 0, append(args, older)...)
	if !strings.Contains(errs, "cache: 0 keys written") {
		t.Error(errs)
	}
	check()
}

// TestScoreLarge: the memory does not grow with the file.
func TestScoreLarge(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 170 MB")
	}
	dir, files := shopFiles(t)
	lines, _ := os.ReadFile(files["events.jsonl"])
	name := filepath.Join(dir, "large.jsonl")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	const times = 200
	for range times {
		w.Write(lines)
	}
	if w.Flush() != nil || f.Close() != nil {
		t.Fatal("writing a large file")
	}
	out := filepath.Join(dir, "out.csv")
	_, errs := scored(t, 0, "-c", scoreConfigFile(t, dir), name, "--out", out)
	if !strings.Contains(errs, "400,000 predictions, 0 rejected") {
		t.Error(errs)
	}
	if held := heldBytes(); held > 200<<20 {
		t.Errorf("%d MiB of memory were taken", held>>20)
	}
}

// heldBytes is what the process has from the system and has not given back.
func heldBytes() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Sys - m.HeapReleased
}
