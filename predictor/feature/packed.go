package feature

import (
	"encoding/binary"
	"math"
	"strconv"
	"time"
)

// Packed extracts rows from the typed cells of a [Table], which it takes as packed rows:
// eight bytes a feature (a float64, little-endian, whose NaNs say why there is no
// value), eight of the event's time in Unix milliseconds, then the entity. It is an
// [Extractor]; an event is one packed row.
type Packed struct{ table *Table }

var _ Extractor = (*Packed)(nil)

// NewPacked prepares the extraction from a table's packed rows.
func NewPacked(t *Table) *Packed { return &Packed{t} }

// In the place of a time.
const (
	noTime    = math.MinInt64
	faultTime = math.MinInt64 + 1
)

// Blank appends a packed row without any value to b; entity may be empty.
func (p *Packed) Blank(b, entity []byte) []byte {
	for range p.table.plan.features {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(absent.nan()))
	}
	b = binary.LittleEndian.AppendUint64(b, 1<<63) // noTime
	return append(b, entity...)
}

// Entity returns the column that holds the entity; -1 when none does.
func (p *Packed) Entity() int {
	for column, targets := range p.table.targets {
		for _, t := range targets {
			if t.kind == entityField {
				return column
			}
		}
	}
	return -1
}

// Numbers puts one number into each of the packed rows. NaN is absent; an infinity
// makes an event malformed, as a number too large does in JSON.
func (p *Packed) Numbers(column int, rows [][]byte, values []float64) {
	for _, t := range p.table.targets[column] {
		if t.kind != numberText {
			p.textual(t, rows, values)
			continue
		}
		for i, v := range values {
			bits := math.Float64bits(v)
			if bits&(0x7ff<<52) == 0x7ff<<52 {
				bits = special64(v)
			}
			binary.LittleEndian.PutUint64(rows[i][8*t.column:], bits)
		}
	}
}

func special64(v float64) uint64 {
	if v != v {
		return math.Float64bits(absent.nan())
	}
	return math.Float64bits(outOfRange.nan())
}

// textual is for targets that take a number by its text.
func (p *Packed) textual(t target, rows [][]byte, values []float64) {
	var text []byte
	for i, v := range values {
		if v == v {
			text = AppendNumber(text[:0], v)
			p.put(t, rows[i], text, false)
		}
	}
}

// AppendNumber appends a number as a category, an entity or a time takes it from a
// table: 1, 0.5.
func AppendNumber(b []byte, v float64) []byte { return strconv.AppendFloat(b, v, 'f', -1, 64) }

// Bool puts a boolean into a packed row.
func (p *Packed) Bool(column int, row []byte, v bool) {
	text := falseText
	if v {
		text = trueText
	}
	p.text(column, row, text, false)
}

var trueText, falseText = []byte("true"), []byte("false")

// Text puts a string into a packed row; it is worth what a field of [CSV] is.
func (p *Packed) Text(column int, row, text []byte) { p.text(column, row, text, true) }

func (p *Packed) text(column int, row, text []byte, quoted bool) {
	if len(text) == 0 {
		return
	}
	for _, t := range p.table.targets[column] {
		p.put(t, row, text, quoted)
	}
}

// Time puts a time into a packed row. Where a feature is wanted it is the seconds since
// 1970.
func (p *Packed) Time(column int, row []byte, v time.Time) {
	for _, t := range p.table.targets[column] {
		switch ms := v.UnixMilli(); {
		case t.kind == timeField && (ms < firstMilli || ms >= endMilli):
			p.setTime(row, faultTime)
		case t.kind == timeField:
			p.setTime(row, ms)
		default:
			p.put(t, row, AppendNumber(nil, float64(v.UnixMicro())/1e6), false)
		}
	}
}

// put is the cell of a text for one target. The entity is in the row from the beginning.
func (p *Packed) put(t target, row, text []byte, quoted bool) {
	plan := p.table.plan
	switch t.kind {
	case entityField:
	case timeField:
		r := reader{plan: plan}
		r.takeTime(text, quoted)
		if r.timeFault != "" {
			r.millis = faultTime
		}
		p.setTime(row, r.millis)
	case category:
		v := unknown.nan()
		if code, ok := plan.categories[t.column][string(text)]; ok {
			v = float64(code)
		}
		binary.LittleEndian.PutUint64(row[8*t.column:], math.Float64bits(v))
	default:
		binary.LittleEndian.PutUint64(row[8*t.column:], math.Float64bits(cellNumber(text)))
	}
}

func (p *Packed) setTime(row []byte, ms int64) {
	binary.LittleEndian.PutUint64(row[8*len(p.table.plan.features):], uint64(ms))
}

// Extract implements [Extractor].
func (p *Packed) Extract(value []byte, row []float64, s *Scratch) (Fields, error) {
	plan := p.table.plan
	r := reader{row: row[:len(plan.features)], plan: plan, scratch: s}
	for i := range r.row {
		r.row[i] = math.Float64frombits(binary.LittleEndian.Uint64(value[8*i:]))
	}
	value = value[8*len(r.row):]
	switch ms := int64(binary.LittleEndian.Uint64(value)); ms {
	case noTime:
	case faultTime:
		r.timeFault = "not a time in the years 0 to 9999; is event_time.unit right?"
	default:
		r.millis, r.hasTime = ms, true
	}
	if len(value) > 8 {
		r.entity = value[8:]
	}
	return r.settle()
}
