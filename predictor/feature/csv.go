package feature

import (
	"bytes"
	"errors"
	"fmt"
)

// CSV extracts rows from the records of a CSV file with a header (RFC 4180): fields
// apart by commas, and between quotes where they hold a comma, a quote (doubled) or an
// end of line. It is an [Extractor]; an event is one record without its end of line. A
// quote within a field that does not begin with one is an ordinary character. A field
// is worth what a string with Parse is worth to [JSON]; an empty one is absent, and
// true and false are a boolean.
type CSV struct{ table *Table }

var _ Extractor = (*CSV)(nil)

// NewCSV prepares the extraction from the records under a header.
func NewCSV(header []byte, features []Feature, c JSONConfig) (*CSV, error) {
	var columns []string
	fields := fields{data: header}
	for {
		text, more, err := fields.next(nil)
		if err != nil {
			return nil, fmt.Errorf("the header: %w", err)
		}
		columns = append(columns, string(text))
		if !more {
			break
		}
	}
	t, err := NewTable(columns, features, c)
	if err != nil {
		return nil, err
	}
	return &CSV{t}, nil
}

// Table is the header's.
func (c *CSV) Table() *Table { return c.table }

// Extract implements [Extractor].
func (c *CSV) Extract(value []byte, row []float64, s *Scratch) (Fields, error) {
	t := c.table
	r := reader{row: row[:len(t.plan.features)], plan: t.plan, scratch: s}
	for i := range r.row {
		r.row[i] = absent.nan()
	}
	fields := fields{data: value}
	for i := 0; ; i++ {
		text, more, err := fields.next(s)
		if err != nil {
			return Fields{}, fmt.Errorf("%w: field %d: %w", ErrMalformed, i+1, err)
		}
		if i < len(t.targets) {
			r.cell(t.targets[i], text)
		}
		if !more {
			if i+1 != len(t.targets) {
				return Fields{}, fmt.Errorf("%w: %d fields under a header of %d", ErrMalformed, i+1, len(t.targets))
			}
			return r.settle()
		}
	}
}

// fields goes over one CSV record.
type fields struct {
	data []byte
	at   int
}

var (
	errUnclosed = errors.New("its closing quote is missing")
	errBehind   = errors.New("something follows its closing quote; a quote within quotes is doubled")
)

// next returns the field that begins here and whether another one follows. The field
// aliases the record or, when quotes were to be undoubled, the Scratch.
func (f *fields) next(s *Scratch) (text []byte, more bool, err error) {
	start := f.at
	if start < len(f.data) && f.data[start] == '"' {
		return f.quoted(s)
	}
	end := start
	for end < len(f.data) && f.data[end] != ',' {
		end++
	}
	f.at = end + 1
	return f.data[start:end:end], end < len(f.data), nil
}

func (f *fields) quoted(s *Scratch) (text []byte, more bool, err error) {
	start, doubled := f.at+1, false
	end := start
	for {
		n := bytes.IndexByte(f.data[end:], '"')
		if n < 0 {
			return nil, false, errUnclosed
		}
		end += n
		if end+1 == len(f.data) || f.data[end+1] != '"' {
			break
		}
		doubled = true
		end += 2
	}
	f.at = end + 2
	if end+1 < len(f.data) && f.data[end+1] != ',' {
		return nil, false, errBehind
	}
	text = f.data[start:end:end]
	if doubled {
		if s == nil {
			s = new(Scratch)
		}
		from := len(s.buf)
		for i := start; i < end; i++ {
			s.buf = append(s.buf, f.data[i])
			if f.data[i] == '"' {
				i++
			}
		}
		text = s.buf[from:len(s.buf):len(s.buf)]
	}
	return text, end+1 < len(f.data), nil
}

// CSVRecord returns the length of the record that data begins with, with its end of
// line; 0 when its end is not in data.
func CSVRecord(data []byte) int {
	line := bytes.IndexByte(data, '\n') + 1
	if line == 0 || bytes.IndexByte(data[:line], '"') < 0 {
		return line
	}
	f := fields{data: data}
	for f.at < len(data) {
		if data[f.at] == '"' {
			end := f.at + 1
			for {
				n := bytes.IndexByte(data[end:], '"')
				if n < 0 {
					return 0
				}
				end += n + 1
				if end == len(data) {
					return 0
				}
				if data[end] != '"' {
					break
				}
				end++
			}
			f.at = end
		}
		// To the end of the field, with whatever follows a closing quote.
		for f.at < len(data) && data[f.at] != ',' {
			if data[f.at] == '\n' {
				return f.at + 1
			}
			f.at++
		}
		f.at++
	}
	return 0
}
