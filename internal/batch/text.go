package batch

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
)

// A textSource reads records that end at an end of line.
type textSource struct {
	r      io.Reader
	read   *atomic.Int64
	file   *os.File
	record func([]byte) int   // the length of the first record; 0: its end is not there
	lines  func([]byte) int64 // that a record has

	want int    // bytes to read for the next job
	tail []byte // read, and not yet in a job
	line int64  // the tail's first, counted from one
	end  bool   // nothing is to be read behind the tail
}

func lineLength(b []byte) int { return bytes.IndexByte(b, '\n') + 1 }

func oneLine([]byte) int64 { return 1 }

func countLines(b []byte) int64 { return int64(bytes.Count(b, []byte{'\n'})) }

func (s *textSource) position() int64 { return s.read.Load() }

func (s *textSource) Close() error { return s.file.Close() }

// begin drops a byte order mark.
func (s *textSource) begin() error {
	var err error
	if s.tail, err = s.more(nil, 3); err != nil {
		return err
	}
	s.tail = bytes.TrimPrefix(s.tail, []byte("\xef\xbb\xbf"))
	return nil
}

// header takes the first record off.
func (s *textSource) header() ([]byte, error) {
	for want := 64 << 10; ; want *= 2 {
		var err error
		if s.tail, err = s.more(s.tail, want); err != nil {
			return nil, err
		}
		n := s.record(s.tail)
		if n == 0 && s.end {
			n = len(s.tail)
		}
		switch {
		case n > 0:
			header := s.tail[:n]
			s.tail = s.tail[n:]
			s.line += s.lines(header)
			return trimEnd(header), nil
		case s.end:
			return nil, errors.New("is empty; a CSV file begins with a header that names its columns")
		case want >= maxEvent:
			return nil, fmt.Errorf("its header is longer than %d MiB: is this CSV?", maxEvent>>20)
		}
	}
}

// more reads until b holds at least want bytes or the input ends.
func (s *textSource) more(b []byte, want int) ([]byte, error) {
	for len(b) < want && !s.end {
		if cap(b)-len(b) < 4<<10 {
			b = append(make([]byte, 0, max(want, 2*len(b))+4<<10), b...)
		}
		n, err := s.r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case errors.Is(err, io.EOF):
			s.end = true
		case errors.Is(err, io.ErrUnexpectedEOF):
			return b, errors.New("ends in the middle of its compressed data; it was cut short")
		case err != nil:
			return b, err
		}
	}
	return b, nil
}

// fill implements source.
func (s *textSource) fill(j *job) (bool, error) {
	j.packed = false
	j.text = append(j.text[:0], s.tail...)
	at := 0
	for want := s.want; ; want = 2 * len(j.text) {
		var err error
		if j.text, err = s.more(j.text, want); err != nil {
			return false, err
		}
		if at = s.events(j); at > 0 || s.end {
			break
		}
		if len(j.text) > maxEvent {
			return false, fmt.Errorf("the event that begins in line %d is longer than %d MiB; is the format right?", s.line, maxEvent>>20)
		}
	}
	s.tail = append(s.tail[:0], j.text[at:]...)
	s.want = min(2*s.want, blockBytes)
	if j.events.Len() == blockEvents { // more than these are would only be copied
		s.want = min(at+4<<10, blockBytes)
	}
	return len(s.tail) > 0 || !s.end, nil
}

// events adds the records in a job's text and returns where they end.
func (s *textSource) events(j *job) int {
	at := 0
	for at < len(j.text) && j.events.Len() < blockEvents {
		n := s.record(j.text[at:])
		if n == 0 && s.end { // the last one
			n = len(j.text) - at
			j.broken = true
		}
		if n == 0 {
			break
		}
		record := j.text[at : at+n]
		at += n
		if event := trimEnd(record); len(event) > 0 {
			j.events.Add(event, s.line)
		}
		s.line += s.lines(record)
	}
	return at
}

// trimEnd takes the end of line off.
func trimEnd(b []byte) []byte {
	n := len(b)
	if n > 0 && b[n-1] == '\n' {
		n--
	}
	if n > 0 && b[n-1] == '\r' {
		n--
	}
	return b[:n:n]
}
