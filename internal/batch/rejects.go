package batch

import (
	"encoding/json"
	"fmt"
	"io"

	"scry/stream"
)

// Rejects writes the events that have no prediction: as JSON lines with the raw event,
// or, without it, as lines for people.
type Rejects struct {
	W    io.Writer
	JSON bool
}

// A rejected is what a JSON line tells. docs/batch.md describes it.
type rejected struct {
	File   string `json:"file"`
	Line   int64  `json:"line"`
	Stage  string `json:"stage"`
	Reason string `json:"reason"`
	Error  string `json:"error"`
	Event  string `json:"event,omitempty"` // absent for a row of a Parquet file
}

func (r *Rejects) write(j *job, s stream.Scored) error {
	var line []byte
	if r.JSON {
		text := rejected{j.input.Name, s.Position, s.Stage, s.Reason, s.Err.Error(), ""}
		if !j.packed {
			text.Event = string(s.Event)
		}
		line, _ = json.Marshal(text) // strings and a number
		line = append(line, '\n')
	} else {
		line = fmt.Appendf(nil, "%s:%d: %v\n", j.input.Name, s.Position, s.Err)
	}
	if _, err := r.W.Write(line); err != nil {
		return fmt.Errorf("writing the rejects: %w", err)
	}
	return nil
}
