package batch

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"io"
	"strconv"

	"scry/predictor"
	"scry/stream"
)

// The formats of output.
const (
	JSONLines = "jsonl" // the output topic's records
)

// An Output writes predictions in one format.
type Output interface {
	// format appends a batch's predictions to b; for many goroutines.
	format(b []byte, name string, e *stream.Events) []byte
	// write writes a batch that was formatted; end what is left when all are written.
	write(j *job) error
	end() error
}

// NewOutput makes an Output of a format, JSONLines, CSV or Parquet, for the predictions
// of d.
func NewOutput(format string, w io.Writer, d *predictor.Deployment) (Output, error) {
	switch format {
	case JSONLines:
		return &lineOutput{w}, nil
	case CSV:
		return newCSVOutput(w, d)
	case Parquet:
		return newParquetOutput(w, d), nil
	}
	return nil, fmt.Errorf("output format %q; it is jsonl, csv or parquet", format)
}

type lineOutput struct{ w io.Writer }

func (lineOutput) format(b []byte, _ string, e *stream.Events) []byte {
	for i := range e.Len() {
		if p := e.Prediction(i); p != nil {
			b = append(append(b, p...), '\n')
		}
	}
	return b
}

func (o lineOutput) write(j *job) error {
	if len(j.out) == 0 {
		return nil
	}
	_, err := o.w.Write(j.out)
	return err
}

func (lineOutput) end() error { return nil }

// A csvOutput writes the members of a prediction as columns, and with more than two
// classes a column scores.LABEL for each.
type csvOutput struct {
	lineOutput
	d       *predictor.Deployment
	classes []string
}

func newCSVOutput(w io.Writer, d *predictor.Deployment) (*csvOutput, error) {
	o := &csvOutput{lineOutput{w}, d, classes(d)}
	header := []string{"id", "entity", "score", "label", "model_name", "model_version", "arm", "event_time", "scored_at"}
	for _, c := range o.classes {
		header = append(header, "scores."+c)
	}
	c := csv.NewWriter(w)
	c.Write(header) //nolint:errcheck // sticky: Error tells
	c.Flush()
	return o, c.Error()
}

// classes are the keys of a prediction's scores.
func classes(d *predictor.Deployment) []string {
	outputs := d.Model.Outputs()
	switch {
	case len(outputs) < 2:
		return nil
	case len(d.Labels) == len(outputs):
		return d.Labels
	}
	return outputs
}

func (o *csvOutput) format(b []byte, name string, e *stream.Events) []byte {
	text := bytes.NewBuffer(b)
	c := csv.NewWriter(text)
	var record []string
	for i := range e.Len() {
		s := e.Scored(i)
		if s.Err != nil {
			continue
		}
		record = append(record[:0], id(name, s.Position), string(s.Entity), number(s.Score), label(o.d, s.Class),
			o.d.Name, o.d.Version, "champion", s.EventTime.Format(milliseconds), s.ScoredAt.Format(milliseconds))
		for i := range o.classes {
			record = append(record, number(s.Scores[i]))
		}
		c.Write(record) //nolint:errcheck // into memory
	}
	c.Flush()
	return text.Bytes()
}

const milliseconds = "2006-01-02T15:04:05.000Z07:00"

func id(name string, position int64) string {
	return name + "-0-" + strconv.FormatInt(position, 10)
}

// number is a score that reads back as exactly itself; NaN is NaN.
func number(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }

func label(d *predictor.Deployment, class int) string {
	if class < len(d.Labels) {
		return d.Labels[class]
	}
	return ""
}
