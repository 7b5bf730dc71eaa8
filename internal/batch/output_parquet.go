package batch

import (
	"io"
	"time"

	"github.com/parquet-go/parquet-go"

	"scry/predictor"
	"scry/stream"
)

// A parquetRow is a prediction; the columns are called as its members are.
type parquetRow struct {
	ID        string             `parquet:"id"`
	Entity    *string            `parquet:"entity,optional"`
	Score     float64            `parquet:"score"`
	Label     *string            `parquet:"label,optional,dict"`
	Scores    map[string]float64 `parquet:"scores,optional"` // only with more than two classes
	Name      string             `parquet:"model_name,dict"`
	Version   string             `parquet:"model_version,dict"`
	Arm       string             `parquet:"arm,dict"`
	EventTime time.Time          `parquet:"event_time,timestamp(millisecond)"`
	ScoredAt  time.Time          `parquet:"scored_at,timestamp(millisecond)"`
}

// parquetGroup bounds the rows of a group, and with it the memory.
const parquetGroup = 128 << 10

type parquetOutput struct {
	w       *parquet.GenericWriter[parquetRow]
	d       *predictor.Deployment
	classes []string
	rows    []parquetRow
}

func newParquetOutput(w io.Writer, d *predictor.Deployment) *parquetOutput {
	return &parquetOutput{d: d, classes: classes(d), w: parquet.NewGenericWriter[parquetRow](w,
		parquet.Compression(&parquet.Zstd), parquet.MaxRowsPerRowGroup(parquetGroup), parquet.CreatedBy("scry", d.Version, ""))}
}

func (o *parquetOutput) format(b []byte, _ string, _ *stream.Events) []byte { return b }

func (o *parquetOutput) write(j *job) error {
	o.rows = o.rows[:0]
	for i := range j.events.Len() {
		s := j.events.Scored(i)
		if s.Err != nil {
			continue
		}
		r := parquetRow{ID: id(j.input.Name, s.Position), Score: s.Score, Name: o.d.Name, Version: o.d.Version, Arm: "champion",
			EventTime: s.EventTime, ScoredAt: s.ScoredAt}
		if s.Entity != nil {
			entity := string(s.Entity)
			r.Entity = &entity
		}
		if l := label(o.d, s.Class); l != "" {
			r.Label = &l
		}
		if o.classes != nil {
			r.Scores = make(map[string]float64, len(o.classes))
			for i, c := range o.classes {
				r.Scores[c] = s.Scores[i]
			}
		}
		o.rows = append(o.rows, r)
	}
	_, err := o.w.Write(o.rows)
	return err
}

func (o *parquetOutput) end() error { return o.w.Close() }
