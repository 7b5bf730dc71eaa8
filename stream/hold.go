package stream

import (
	"fmt"
)

// holdWindow is how many of the last events the share of rejects is taken over, and
// holdFloor how many count as seen at the start, so that a few bad events do not
// hold a stream that has only begun.
const (
	holdWindow = 1000
	holdFloor  = 200
)

// A brake decides when a run of rejects is no longer the events' fault: a field
// renamed upstream must not drain the topic into the dead letters. It is used by the
// loop alone.
type brake struct {
	share    float64 // 1: never
	rejected [holdWindow]bool
	at, seen int
	count    int
}

// observe takes in a batch's rows, oldest first, and says whether to hold.
func (k *brake) observe(rows []result) error {
	var last *reject
	for i := range rows {
		r := rows[i].reject
		if r != nil {
			last = r
		}
		k.push(r != nil)
	}
	if k.share >= 1 || last == nil {
		return nil
	}
	if base := max(k.seen, holdFloor); float64(k.count) > k.share*float64(base) {
		return fmt.Errorf("%d of the last %d events were rejected, more than output.hold_when_rejected (%g) allows; the newest: %w",
			k.count, k.seen, k.share, last.err)
	}
	return nil
}

func (k *brake) push(rejected bool) {
	if k.rejected[k.at] {
		k.count--
	}
	k.rejected[k.at] = rejected
	if rejected {
		k.count++
	}
	k.at = (k.at + 1) % holdWindow
	k.seen = min(k.seen+1, holdWindow)
}
