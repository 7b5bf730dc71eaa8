package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	buyerintent "scry/examples/buyer-intent"
	"scry/predictor"
)

// A workload is what a bench runs: a pipeline with names of its own, and its events.
type workload struct {
	config Config
	model  *predictor.Deployment
	title  string // of the model, as its own bundle calls it
	events eventSource
}

// openWorkload loads model and events. It names neither brokers nor Redis yet.
func openWorkload(f pipelineFlags) (w workload, err error) {
	w.config = DefaultConfig()
	if f.path != "" {
		if w.config, _, err = f.load(); err != nil {
			return w, err
		}
	}
	if f.file == "" {
		given := w.config.Kafka
		w.config = DefaultConfig()
		w.config.Kafka = given
		w.config.Input.EventTime.Path = "ts"
		w.config.Model.URI = "bundled"
		w.model, err = predictor.LoadFS(buyerintent.Bundle(), demoName, predictorConfig(w.config))
		w.events = openShop(f.rate)
	} else {
		if w.events, err = openReplay(f.file, f.events+int(f.rate*f.duration.Seconds())); err != nil {
			return w, err
		}
		w.model, err = loadModel(w.config)
	}
	if err != nil {
		return w, err
	}
	w.title = w.model.Name + "/" + w.model.Version
	w.rename("scry-bench-" + strings.ToLower(rand.Text()[:10]))
	return w, nil
}

// rename makes everything that is written anywhere the bench's own, and lets nothing but
// the end stop it.
func (w *workload) rename(name string) {
	c := &w.config
	c.Name = name
	c.Kafka.Group = name
	c.Kafka.Instance = ""
	c.Input.Topics = []string{name + ".events"}
	c.Input.Start = "earliest"
	c.Output.Topic = name + ".predictions"
	c.Output.DeadLetterTopic = name + ".dlq"
	c.Output.HoldWhenRejected = 1
	c.Cache.From = "input" // an event is done when it is cached, too
	c.Cache.TTL = 0        // which counts from the events' own times, and they may be old
	c.HTTP.Health, c.HTTP.Admin = "127.0.0.1:0", "127.0.0.1:0"
	w.model.Name = name // cached under pred:NAME:
}

// maxReplay is how many bytes of a file are replayed.
const maxReplay = 256 << 20

// A replay is the lines of a file over and over. A line's number is its key, which is the
// entity where input.entity names none.
type replay struct {
	lines [][]byte
	keys  [][]byte
	next  int
}

// openReplay reads up to n lines.
func openReplay(path string, n int) (*replay, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, &usageError{fmt.Errorf("--file: %w", err)}
	}
	defer file.Close()
	r := &replay{}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20) // a record's usual limit
	for total := 0; len(r.lines) < n && total < maxReplay && lines.Scan(); {
		if line := bytes.TrimSpace(lines.Bytes()); len(line) > 0 {
			total += len(line)
			r.lines = append(r.lines, bytes.Clone(line))
			r.keys = append(r.keys, strconv.AppendInt(nil, int64(len(r.lines)), 10))
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("--file %s, after line %d: %w", path, len(r.lines), err)
	}
	if len(r.lines) == 0 {
		return nil, &usageError{fmt.Errorf("--file: %s has no event; give one a line", path)}
	}
	return r, nil
}

// Next returns the next line; buf and time are not needed.
func (r *replay) Next([]byte, time.Time) (key, event []byte) {
	i := r.next
	r.next = (i + 1) % len(r.lines)
	return r.keys[i], r.lines[i]
}
