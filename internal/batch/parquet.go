package batch

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/parquet-go/parquet-go"

	"scry/predictor/feature"
)

// A parquetSource reads the wanted columns of a Parquet file side by side, some rows of
// each at a time, into packed rows.
type parquetSource struct {
	in     *Input
	file   *os.File
	groups []parquet.RowGroup // those not yet begun
	packed *feature.Packed

	columns []*column
	entity  *column // nil: none
	left    int64   // rows of the group that is being read
	row     int64   // the number of the last one read, from one
	rows    int64   // of the file
}

func openParquet(p *pipeline, in *Input, f *os.File) (s *parquetSource, err error) {
	defer recoverParquet(&err)
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("a Parquet file has its index at its end: name it as a file, not as a pipe")
	}
	// Its statistics are of no use to who reads everything.
	file, err := parquet.OpenFile(f, info.Size(), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, fmt.Errorf("not a Parquet file that can be read: %w; one that is compressed as a whole must be unpacked first", err)
	}
	var leaves []parquet.LeafColumn
	var names []string
	for _, path := range file.Schema().Columns() {
		if leaf, ok := file.Schema().Lookup(path...); ok {
			leaves = append(leaves, leaf)
			names = append(names, strings.Join(path, "."))
		}
	}
	table, err := feature.NewTable(names, p.Deployment.Features, p.Fields)
	if err != nil {
		return nil, err
	}
	s = &parquetSource{in: in, file: f, groups: file.RowGroups(), packed: feature.NewPacked(table), rows: file.NumRows()}
	entity := s.packed.Entity()
	for i, leaf := range leaves {
		if !table.Wanted(i) {
			continue
		}
		c, err := newColumn(names[i], i, leaf)
		if err != nil {
			return nil, err
		}
		s.columns = append(s.columns, c)
		if i == entity {
			if s.entity, err = newColumn(names[i], i, leaf); err != nil {
				return nil, err
			}
		}
	}
	p.table(in, table, s.packed)
	return s, nil
}

// recoverParquet makes an error of the panics that broken files cause in the library.
func recoverParquet(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("not a Parquet file that can be read: %v", p)
	}
}

func (s *parquetSource) position() int64 { return s.in.Size * s.row / max(s.rows, 1) }

func (s *parquetSource) Close() error {
	for _, c := range s.all() {
		c.close()
	}
	return s.file.Close()
}

func (s *parquetSource) all() []*column {
	if s.entity == nil {
		return s.columns
	}
	return append([]*column{s.entity}, s.columns...)
}

// fill implements source.
func (s *parquetSource) fill(j *job) (more bool, err error) {
	defer recoverParquet(&err)
	j.packed = true
	for s.left == 0 {
		if len(s.groups) == 0 {
			return false, nil
		}
		group := s.groups[0]
		s.groups, s.left = s.groups[1:], group.NumRows()
		for _, c := range s.all() {
			c.begin(group)
		}
	}
	n := int(min(s.left, blockEvents))
	if err := s.blank(j, n); err != nil {
		return false, err
	}
	for _, c := range s.columns {
		if err := c.fill(s.packed, j.rows); err != nil {
			return false, fmt.Errorf("column %s: %w", c.name, err)
		}
	}
	for _, row := range j.rows {
		s.row++
		j.events.Add(row, s.row)
	}
	s.left -= int64(n)
	return s.left > 0 || len(s.groups) > 0, nil
}

// blank makes n packed rows that hold nothing but the entity.
func (s *parquetSource) blank(j *job, n int) error {
	j.text, j.rows = j.text[:0], j.rows[:0]
	ends := make([]int, 0, blockEvents)
	if s.entity == nil {
		for range n {
			j.text = s.packed.Blank(j.text, nil)
			ends = append(ends, len(j.text))
		}
	} else if err := s.entity.texts(n, func(entity []byte) {
		j.text = s.packed.Blank(j.text, entity)
		ends = append(ends, len(j.text))
	}); err != nil {
		return fmt.Errorf("column %s: %w", s.entity.name, err)
	}
	from := 0
	for _, to := range ends {
		j.rows = append(j.rows, j.text[from:to:to])
		from = to
	}
	return nil
}

var errShort = errors.New("ends before its row group does")

// orShort makes of the end of a column's pages what it means while rows are missing.
func orShort(err error) error {
	if errors.Is(err, io.EOF) {
		return errShort
	}
	return err
}
