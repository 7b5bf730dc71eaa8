package stream

import (
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A clock that moves on at each look adds up to one tick a stage and chunk.
func TestScoreStages(t *testing.T) {
	records := make([]*kgo.Record, pollRecords+chunkRows+1)
	for i := range records {
		records[i] = &kgo.Record{Topic: "in", Key: []byte("k"), Value: []byte(event(1, "a")), Timestamp: time.Now()}
	}
	var now time.Duration
	clock := func() time.Duration { now++; return now }
	const chunks = pollRecords/chunkRows + 2
	got, err := ScoreStages(DefaultConfig(), doubler(), records, clock)
	if want := (Stages{chunks, chunks, chunks}); err != nil || got != want {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	if want := time.Duration(4 * (chunks + pollRecords/chunkRows)); now != want {
		t.Errorf("the clock was read %d times, want %d", now, want)
	}
	broken := doubler()
	broken.Model = failingModel{}
	if _, err := ScoreStages(DefaultConfig(), broken, records, clock); !errors.Is(err, errModel) {
		t.Errorf("a model that fails: %v", err)
	}
}
