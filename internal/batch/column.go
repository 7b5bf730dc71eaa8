package batch

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"scry/predictor/feature"
)

// A column reads one column of a Parquet file, page by page.
type column struct {
	name  string
	index int // in the table and in the file
	kind  parquet.Kind
	tick  time.Duration // of a time; 0: not a time
	whole bool          // an unsigned integer
	full  byte          // the definition level of a value that is there

	pages  parquet.Pages
	page   parquet.Page
	left   int // rows of the page
	values parquet.ValueReader
	fast   numbers

	floats []float64
	buffer []parquet.Value
}

func newColumn(name string, index int, leaf parquet.LeafColumn) (*column, error) {
	t := leaf.Node.Type()
	c := &column{name: name, index: index, kind: t.Kind(), full: byte(leaf.MaxDefinitionLevel),
		floats: make([]float64, blockEvents), buffer: make([]parquet.Value, blockEvents)}
	refuse := func(what string) (*column, error) {
		return nil, fmt.Errorf("column %s holds %s; write it as a number, a boolean, a string or a timestamp", name, what)
	}
	if leaf.MaxRepetitionLevel > 0 {
		return refuse("lists")
	}
	if logical := t.LogicalType(); logical != nil {
		switch l := logical.Value.(type) {
		case *format.TimestampType:
			c.tick = l.Unit.Value.Duration()
		case *format.DateType:
			c.tick = 24 * time.Hour
		case *format.IntType:
			c.whole = !l.IsSigned
		case nil, *format.StringType, *format.EnumType, *format.JsonType:
		default:
			return refuse(l.String())
		}
	}
	if c.kind == parquet.FixedLenByteArray {
		return refuse("bytes of a fixed length")
	}
	return c, nil
}

func (c *column) begin(group parquet.RowGroup) {
	c.close()
	c.pages = group.ColumnChunks()[c.index].Pages()
}

func (c *column) close() {
	c.release()
	if c.pages != nil {
		c.pages.Close()
		c.pages = nil
	}
}

func (c *column) release() {
	if c.page != nil {
		parquet.Release(c.page)
		c.page, c.values, c.left, c.fast = nil, nil, 0, numbers{}
	}
}

// next makes sure that a page has rows left.
func (c *column) next() error {
	for c.left == 0 {
		c.release()
		page, err := c.pages.ReadPage()
		if err != nil {
			return orShort(err)
		}
		c.page, c.left, c.values = page, int(page.NumRows()), nil
		if c.tick != 0 || !c.fast.begin(page, c.whole, c.full) {
			c.values = page.Values()
		}
	}
	return nil
}

// fill puts the next values into rows.
func (c *column) fill(p *feature.Packed, rows [][]byte) error {
	for len(rows) > 0 {
		if err := c.next(); err != nil {
			return err
		}
		n := min(c.left, len(rows), blockEvents)
		if c.values == nil {
			c.fast.read(c.floats[:n])
			p.Numbers(c.index, rows, c.floats[:n])
		} else if err := c.read(n, func(i int, v *parquet.Value) { c.put(p, rows[i], v) }); err != nil {
			return err
		}
		c.left -= n
		rows = rows[n:]
	}
	return nil
}

// read hands over the next n values of the page, nulls among them.
func (c *column) read(n int, take func(int, *parquet.Value)) error {
	for at := 0; at < n; {
		got, err := c.values.ReadValues(c.buffer[:n-at])
		for i := range got {
			take(at+i, &c.buffer[i])
		}
		if at += got; at < n && got == 0 {
			return orShort(err)
		}
	}
	return nil
}

func (c *column) put(p *feature.Packed, row []byte, v *parquet.Value) {
	switch {
	case v.IsNull():
	case c.kind == parquet.Int96:
		p.Time(c.index, row, int96Time(v))
	case c.tick != 0:
		p.Time(c.index, row, c.time(v))
	case c.kind == parquet.Boolean:
		p.Bool(c.index, row, v.Boolean())
	case c.kind == parquet.ByteArray:
		p.Text(c.index, row, v.ByteArray())
	}
}

func (c *column) time(v *parquet.Value) time.Time {
	n := int64(0)
	if c.kind == parquet.Int32 {
		n = int64(v.Int32())
	} else {
		n = v.Int64()
	}
	perSecond := int64(time.Second / c.tick)
	if perSecond == 0 { // days
		return time.Unix(n*int64(c.tick/time.Second), 0)
	}
	return time.Unix(n/perSecond, n%perSecond*int64(c.tick))
}

// int96Time reads the time that Spark and Impala write: nanoseconds of a day, then the
// day by its Julian number.
func int96Time(v *parquet.Value) time.Time {
	t := v.Int96()
	nanos := int64(t[1])<<32 | int64(t[0])
	const unixEpoch = 2440588 // its Julian day
	return time.Unix((int64(t[2])-unixEpoch)*86400, nanos)
}

// texts hands over the next n values as the text of an entity; nothing for null.
func (c *column) texts(n int, take func([]byte)) error {
	var text []byte
	for n > 0 {
		if err := c.next(); err != nil {
			return err
		}
		// Not by way of a float64: an entity may be any 64 bits.
		if c.values == nil {
			c.values = c.page.Values()
		}
		m := min(c.left, n, blockEvents)
		if err := c.read(m, func(_ int, v *parquet.Value) {
			text = c.text(text[:0], v)
			take(text)
		}); err != nil {
			return err
		}
		c.left -= m
		n -= m
	}
	return nil
}

func (c *column) text(b []byte, v *parquet.Value) []byte {
	switch {
	case v.IsNull():
	case c.kind == parquet.ByteArray:
		return append(b, v.ByteArray()...)
	case c.tick != 0:
		return c.time(v).UTC().AppendFormat(b, time.RFC3339Nano)
	case c.kind == parquet.Boolean:
		return strconv.AppendBool(b, v.Boolean())
	case c.kind == parquet.Int32 && c.whole:
		return strconv.AppendUint(b, uint64(v.Uint32()), 10)
	case c.kind == parquet.Int32:
		return strconv.AppendInt(b, int64(v.Int32()), 10)
	case c.kind == parquet.Int64 && c.whole:
		return strconv.AppendUint(b, v.Uint64(), 10)
	case c.kind == parquet.Int64:
		return strconv.AppendInt(b, v.Int64(), 10)
	case c.kind == parquet.Float:
		return feature.AppendNumber(b, float64(v.Float()))
	case c.kind == parquet.Double:
		return feature.AppendNumber(b, v.Double())
	}
	return b
}

// numbers reads the numbers of a page without a parquet.Value each.
type numbers struct {
	doubles []float64
	floats  []float32
	ints    []int32
	longs   []int64
	whole   bool
	codes   []int32 // positions in one of the above
	coded   bool
	levels  []byte // by row; nil: every row has a value
	full    byte
	row     int
	value   int
}

// begin says whether the page holds numbers.
func (n *numbers) begin(page parquet.Page, whole bool, full byte) bool {
	*n = numbers{whole: whole, full: full, levels: page.DefinitionLevels()}
	data := page
	if dictionary := page.Dictionary(); dictionary != nil {
		codes := page.Data()
		n.codes, n.coded = codes.Int32(), true
		data = dictionary.Page()
	}
	if len(n.levels) == 0 {
		n.levels = nil
	}
	values := data.Data()
	switch page.Type().Kind() {
	case parquet.Double:
		n.doubles = values.Double()
	case parquet.Float:
		n.floats = values.Float()
	case parquet.Int32:
		n.ints = values.Int32()
	case parquet.Int64:
		n.longs = values.Int64()
	default:
		return false
	}
	return true
}

// read takes the next rows' numbers; NaN where there is none.
func (n *numbers) read(dst []float64) {
	switch {
	case n.levels == nil && n.doubles != nil && !n.coded:
		n.value += copy(dst, n.doubles[n.value:n.value+len(dst)])
	default:
		for i := range dst {
			if n.levels != nil && n.levels[n.row+i] != n.full {
				dst[i] = math.NaN()
				continue
			}
			at := n.value
			if n.coded {
				at = int(n.codes[at])
			}
			dst[i] = n.at(at)
			n.value++
		}
	}
	n.row += len(dst)
}

func (n *numbers) at(i int) float64 {
	switch {
	case n.doubles != nil:
		return n.doubles[i]
	case n.floats != nil:
		return float64(n.floats[i])
	case n.ints != nil && n.whole:
		return float64(uint32(n.ints[i]))
	case n.ints != nil:
		return float64(n.ints[i])
	case n.whole:
		return float64(uint64(n.longs[i]))
	}
	return float64(n.longs[i])
}
