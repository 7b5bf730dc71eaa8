package forest

import (
	"errors"
	"strings"
)

// kind is a token's type.
type kind uint8

const (
	objectStart kind = iota
	objectEnd
	arrayStart
	arrayEnd
	str     // text: a string, or a member's name
	literal // text: a number as JSON spells it
	whole   // int
	single  // float, read from float32
	double  // float
	boolean // int: 0 or 1
	null
	end // of the document
)

// A token is one piece of a document. text aliases the file and is good until the
// next token.
type token struct {
	kind  kind
	text  []byte
	int   int64
	float float64
}

// tokens reads JSON or UBJ forwards. It checks that the document is well formed, and
// allocates no more than the file is long.
type tokens interface {
	next(*token) error
	at() int // bytes read so far
}

// maxDepth bounds nesting: a model's deepest value is 7 levels down.
const maxDepth = 32

var errCut = errors.New("the file ends too early: it was cut, or is still being written")

// A fieldError says where in a document an error is: learner.gradient_booster.model.
type fieldError struct {
	field string
	err   error
}

func (e *fieldError) Error() string { return e.field + ": " + e.err.Error() }
func (e *fieldError) Unwrap() error { return e.err }

// within puts an error one level further out; nil stays nil.
func within(field string, err error) error {
	if err == nil {
		return nil
	}
	inner, ok := err.(*fieldError) //nolint:errorlint // only the outermost one is extended
	if !ok {
		return &fieldError{field, err}
	}
	if !strings.HasPrefix(inner.field, "[") {
		field += "."
	}
	inner.field = field + inner.field
	return inner
}

// short cuts what an error quotes.
func short(s string) string { return s[:min(len(s), 60)] }
