package feature

import "errors"

// Both sentinels are permanent for the event: no retry mends it.
var (
	ErrMalformed = errors.New("malformed event")          // cannot be decoded
	ErrMissing   = errors.New("required feature missing") // decoded, but unusable
)

// A Feature says where one column of a row comes from.
type Feature struct {
	Name       string
	Path       string   // in the event: dotted, [n] for an array's element
	Required   bool     // an event without it is refused; else Missing stands in
	Missing    float64  // the value of an absent feature; NaN unless the bundle says otherwise; unused when Required
	Categories []string // not empty: a string whose position here is the value
	Parse      bool     // a number written as a string counts as that number
}

// Fields is what the pipeline needs of an event besides its features.
type Fields struct {
	Entity    []byte // aliases the event or the Scratch; nil means the event names none
	EventTime int64  // Unix milliseconds; meaningful when HasTime
	HasTime   bool
}

// An Extractor turns one event into one row, in a single pass over its bytes. It
// is immutable and safe for concurrent use; each goroutine brings its own Scratch.
// It keeps neither value nor row, and allocates nothing on success.
type Extractor interface {
	// Extract fills row, one value a feature. An error is ErrMalformed or
	// ErrMissing, wrapped with what and where; row is then unspecified.
	Extract(value []byte, row []float64, s *Scratch) (Fields, error)
}

// Scratch is the memory one goroutine extracts with: what the events of a batch
// lacked, a column each, room for what had to be unescaped, and what the last
// events looked like, which makes the next ones faster. It serves one Extractor.
// Reset it when the Fields taken with it are no longer needed.
type Scratch struct {
	Missing []uint64 // events without the feature
	Unknown []uint64 // events with a category the model does not know
	buf     []byte

	plan    *JSON     // whose guesses these are
	guesses [][]guess // by node
}

// NewScratch returns a Scratch for rows of n features.
func NewScratch(n int) *Scratch {
	return &Scratch{Missing: make([]uint64, n), Unknown: make([]uint64, n)}
}

// Reset forgets the counts and the unescaped bytes.
func (s *Scratch) Reset() {
	clear(s.Missing)
	clear(s.Unknown)
	s.buf = s.buf[:0]
}
