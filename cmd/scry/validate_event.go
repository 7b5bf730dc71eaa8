package main

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"scry/predictor"
	"scry/predictor/feature"
	"scry/stream"
)

// An eventReport is where everything in a prediction came from.
type eventReport struct {
	Source     string          `json:"source"`
	Entity     string          `json:"entity,omitempty"`
	EntityFrom string          `json:"entity_from"`
	Time       time.Time       `json:"event_time"`
	TimeFrom   string          `json:"event_time_from"`
	Features   []featureReport `json:"features"`
	Prediction json.RawMessage `json:"prediction"`

	entityPath, timePath string
}

// A featureReport is one value as the model got it.
type featureReport struct {
	Name  string   `json:"name"`
	Path  string   `json:"path"`
	Value *float64 `json:"value"` // null: not a number, which is how models take what is missing
	From  string   `json:"from"`
}

func newEventReport(where string, c Config, d *predictor.Deployment, e stream.Explanation) *eventReport {
	r := &eventReport{Source: where, Entity: e.Entity, EntityFrom: "the record's key",
		Time: e.EventTime, TimeFrom: e.TimeFrom, Prediction: e.Prediction}
	if c.Input.Entity != "" {
		r.EntityFrom = stream.FromEvent
	}
	r.entityPath, r.timePath = c.Input.Entity, c.Input.EventTime.Path
	for i, f := range d.Features {
		report := featureReport{Name: f.Name, Path: f.Path, From: valueFrom(f, e.Row[i], e.Missing[i], e.Unknown[i])}
		if v := e.Row[i]; !math.IsNaN(v) && !math.IsInf(v, 0) {
			report.Value = &v
		}
		r.Features = append(r.Features, report)
	}
	return r
}

// valueFrom says how a feature came by its value.
func valueFrom(f feature.Feature, value float64, missing, unknown bool) string {
	switch {
	case unknown:
		return "a category the model does not know: counts as missing"
	case missing:
		return "not in the event: its missing policy"
	case len(f.Categories) > 0 && value >= 0 && int(value) < len(f.Categories):
		return fmt.Sprintf("category %q", f.Categories[int(value)])
	}
	return stream.FromEvent
}

// print writes the checklist for people: the findings, the event as a table, the count.
func (l *checklist) print(t terminal) {
	styles := map[stream.Level]string{stream.OK: green, stream.Warn: yellow, stream.Fail: red}
	names := map[stream.Level]string{stream.OK: "ok", stream.Warn: "warn", stream.Fail: "FAIL"}
	counts := map[stream.Level]int{}
	wide := 0
	for _, f := range l.Findings {
		wide = max(wide, len(f.What))
	}
	for _, f := range l.Findings {
		counts[f.Level]++
		fmt.Fprintf(t, "%s  %-*s  %s\n", t.paint(styles[f.Level], fmt.Sprintf("%-4s", names[f.Level])), wide, f.What, f.Detail)
		if f.Mend != "" {
			fmt.Fprintf(t, "      %-*s  %s %s\n", wide, "", t.paint(bold, "->"), f.Mend)
		}
	}
	if l.Event != nil {
		l.Event.print(t)
	}
	fmt.Fprintf(t, "\n%d ok, %s, %d failed\n", counts[stream.OK], plural(counts[stream.Warn], "warning"), counts[stream.Fail])
}

func (e *eventReport) print(t terminal) {
	rows := [][4]string{{"feature", "path", "value", "from"}}
	for _, f := range e.Features {
		value := "nan"
		if f.Value != nil {
			value = strconv.FormatFloat(*f.Value, 'g', -1, 64)
		}
		rows = append(rows, [4]string{f.Name, f.Path, value, f.From})
	}
	rows = append(rows, [4]string{},
		[4]string{"entity", e.entityPath, e.Entity, e.EntityFrom},
		[4]string{"event time", e.timePath, e.Time.Format("2006-01-02T15:04:05.000Z07:00"), e.TimeFrom})
	var wide [3]int
	for _, row := range rows {
		for i := range wide {
			wide[i] = max(wide[i], utf8.RuneCountInString(row[i]))
		}
	}
	fmt.Fprintf(t, "\n")
	for i, row := range rows {
		line := fmt.Sprintf("  %-*s  %-*s  %-*s  %s", wide[0], row[0], wide[1], row[1], wide[2], row[2], row[3])
		if i == 0 {
			line = t.paint(dim, line)
		}
		fmt.Fprintln(t, strings.TrimRight(line, " "))
	}
	fmt.Fprintf(t, "\n  %s\n  %s\n", t.paint(dim, "prediction"), e.Prediction)
}
