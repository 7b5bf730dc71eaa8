package stream

import (
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"scry/checkpoint"
	"scry/predictor"
)

// Stages is what scoring took, by stage.
type Stages struct{ Extract, Predict, Encode time.Duration }

// ScoreStages scores records as a Consumer would, in batches as it polls them, but all on
// the goroutine that calls it, and adds up what clock says of each stage. Clock is read
// four times for every 128 records. The first batch is scored once before, so that no
// memory is made while it counts. An error is the model's, not a record's.
func ScoreStages(cfg Config, d *predictor.Deployment, records []*kgo.Record, clock func() time.Duration) (sum Stages, err error) {
	s := newScorer(cfg)
	s.workers, s.clock = s.workers[:1], clock
	s.current, s.encoder = d, newEncoder(d)
	b := &batch{}
	if _, err = s.stages(b, d, records[:min(pollRecords, len(records))]); err != nil {
		return sum, err
	}
	for len(records) > 0 {
		n := min(pollRecords, len(records))
		took, err := s.stages(b, d, records[:n])
		if err != nil {
			return sum, err
		}
		sum.Extract += took.Extract
		sum.Predict += took.Predict
		sum.Encode += took.Encode
		records = records[n:]
	}
	return sum, nil
}

// stages scores one batch, a chunk after the other.
func (s *scorer) stages(b *batch, d *predictor.Deployment, records []*kgo.Record) (sum Stages, err error) {
	b.records = records
	b.runs = []run{{to: len(records), source: newSource(checkpoint.Partition{Topic: records[0].Topic})}}
	b.scored = time.Now()
	b.reset(len(records), d, s.caching)
	scoredAt := formatTime(b.scored)
	for c := range b.chunkCount() {
		s.chunk(b, c, &s.workers[0], scoredAt)
		took := &b.chunks[c].stats
		sum.Extract += took.extract
		sum.Predict += took.predict
		sum.Encode += took.encode
	}
	return sum, s.blame(b)
}
