package feature

import (
	"bytes"
	"encoding/csv"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

var tableFeatures = []Feature{
	{Name: "price", Path: "page.price", Required: true},
	{Name: "count", Path: "n", Missing: -1},
	{Name: "month", Path: "month", Categories: []string{"Jan", "1", "true"}, Missing: math.NaN()},
	{Name: "new", Path: "is_new", Missing: math.NaN()},
	{Name: "gone", Path: "gone", Missing: 7},
}

var tableConfig = JSONConfig{Entity: "user", EventTime: "at", TimeUnit: Seconds}

func TestTableColumns(t *testing.T) {
	table, err := NewTable([]string{"count", "x", "page.price", "price", "month", "is_new", "user", "at"}, tableFeatures, tableConfig)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{true, false, true, false, true, true, true, true} { // the path goes before the name
		if table.Wanted(i) != want {
			t.Errorf("column %d: wanted %v", i, !want)
		}
	}
	if !slices.Equal(table.Absent(), []string{"gone"}) {
		t.Errorf("absent: %v", table.Absent())
	}
	_, err = NewTable([]string{"count", "count", "user"}, tableFeatures, tableConfig)
	for _, want := range []string{`feature "price": no column is named "page.price" or "price"`, `two columns are named "count"`, `event time: no column is named "at"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in %v", want, err)
		}
	}
}

// cellTests hold for CSV, and but for the quotes for packed rows of strings.
var cellTests = []struct {
	record string
	row    []float64 // nil: refused
	fields Fields
	err    string
}{
	{`1.5,2,Jan,true,u1,10`, []float64{1.5, 2, 0, 1, 7}, Fields{[]byte("u1"), 10_000, true}, ""},
	{`-1e3,,1,False,,`, []float64{-1000, -1, 1, 0, 7}, Fields{}, ""},
	{`"0.1","nan",true,TRUE,"a,""b""",1.5`, []float64{0.1, -1, 2, 1, 7}, Fields{[]byte(`a,"b"`), 1500, true}, ""},
	{`1,NaN,May,,5" disk,-1`, []float64{1, -1, math.NaN(), math.NaN(), 7}, Fields{[]byte(`5" disk`), -1000, true}, ""},
	{`,1,Jan,1,u,1`, nil, Fields{}, "required feature missing: price"},
	{`1 ,1,Jan,1,u,1`, nil, Fields{}, "price (page.price): a string that does not hold a number"},
	{`1e999,1,Jan,1,u,1`, nil, Fields{}, "too large"},
	{`1,1,Jan,1,u,soon`, nil, Fields{}, "event time"},
	{`1,1,Jan`, nil, Fields{}, "3 fields under a header of 6"},
	{`1,1,Jan,1,u,1,2`, nil, Fields{}, "7 fields under a header of 6"},
	{`1,1,"Jan`, nil, Fields{}, "closing quote"},
	{`1,1,"Jan"x,1,u,1`, nil, Fields{}, "follows its closing quote"},
}

func TestCSV(t *testing.T) {
	c, err := NewCSV([]byte(`page.price,count,"month",is_new,user,at`), tableFeatures, tableConfig)
	if err != nil {
		t.Fatal(err)
	}
	s := NewScratch(len(tableFeatures))
	for _, test := range cellTests {
		row := make([]float64, len(tableFeatures))
		f, err := c.Extract([]byte(test.record), row, s)
		if test.row == nil {
			if err == nil || !strings.Contains(err.Error(), test.err) || !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrMissing) {
				t.Errorf("%s: %v, want %s", test.record, err, test.err)
			}
			continue
		}
		if err != nil || !sameRow(row, test.row) || !sameFields(f, test.fields) {
			t.Errorf("%s: %v %+v %v, want %v %+v", test.record, row, f, err, test.row, test.fields)
		}
	}
	if s.Missing[1] != 3 || s.Unknown[2] != 1 {
		t.Errorf("missing %v, unknown %v", s.Missing, s.Unknown)
	}
	row, record := make([]float64, len(tableFeatures)), []byte(cellTests[2].record)
	if n := testing.AllocsPerRun(100, func() {
		s.Reset()
		if _, err := c.Extract(record, row, s); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func sameRow(a, b []float64) bool {
	return slices.EqualFunc(a, b, func(x, y float64) bool { return x == y || x != x && y != y })
}

func sameFields(a, b Fields) bool {
	return bytes.Equal(a.Entity, b.Entity) && a.HasTime == b.HasTime && (!a.HasTime || a.EventTime == b.EventTime)
}

// TestPacked: typed cells are worth what JSON's values are.
func TestPacked(t *testing.T) {
	table, err := NewTable([]string{"page.price", "n", "month", "is_new", "user", "at"}, tableFeatures, tableConfig)
	if err != nil {
		t.Fatal(err)
	}
	p := NewPacked(table)
	j, err := NewJSON(tableFeatures, tableConfig)
	if err != nil {
		t.Fatal(err)
	}
	nan, inf := math.NaN(), math.Inf(1)
	for _, test := range []struct {
		event string
		cells func(row []byte)
	}{
		{`{"page":{"price":0.1},"n":3,"month":1,"is_new":true,"user":"u","at":12.5}`, func(row []byte) {
			p.Numbers(0, [][]byte{row}, []float64{0.1})
			p.Numbers(1, [][]byte{row}, []float64{3})
			p.Numbers(2, [][]byte{row}, []float64{1})
			p.Bool(3, row, true)
			p.Numbers(5, [][]byte{row}, []float64{12.5})
		}},
		{`{"page":{"price":1},"month":true,"user":"u","at":1764000000}`, func(row []byte) {
			p.Numbers(0, [][]byte{row}, []float64{1})
			p.Numbers(1, [][]byte{row}, []float64{nan})
			p.Bool(2, row, true)
			p.Time(5, row, time.Unix(1764000000, 999_999))
		}},
		{`{"page":{"price":1},"month":"May","user":"u","at":1764000000}`, func(row []byte) {
			p.Text(0, row, []byte("1"))
			p.Text(2, row, []byte("May"))
			p.Text(5, row, []byte("1764000000"))
		}},
		{`{"page":{},"user":"u"}`, func([]byte) {}},
		{`{"page":{"price":1e999},"user":"u"}`, func(row []byte) { p.Numbers(0, [][]byte{row}, []float64{inf}) }},
		{`{"page":{"price":1},"user":"u","at":"x"}`, func(row []byte) {
			p.Numbers(0, [][]byte{row}, []float64{1})
			p.Text(5, row, []byte("x"))
		}},
	} {
		packed := p.Blank(nil, []byte("u"))
		test.cells(packed)
		got, want := make([]float64, len(tableFeatures)), make([]float64, len(tableFeatures))
		gotScratch, wantScratch := NewScratch(len(got)), NewScratch(len(got))
		gotFields, gotErr := p.Extract(packed, got, gotScratch)
		wantFields, wantErr := j.Extract([]byte(test.event), want, wantScratch)
		if (gotErr == nil) != (wantErr == nil) || errors.Is(gotErr, ErrMissing) != errors.Is(wantErr, ErrMissing) {
			t.Errorf("%s: %v, want %v", test.event, gotErr, wantErr)
		} else if gotErr == nil && (!sameRow(got, want) || !sameFields(gotFields, wantFields) ||
			!slices.Equal(gotScratch.Missing, wantScratch.Missing) || !slices.Equal(gotScratch.Unknown, wantScratch.Unknown)) {
			t.Errorf("%s: %v %+v, want %v %+v", test.event, got, gotFields, want, wantFields)
		}
	}
}

// FuzzCSV: whatever encoding/csv reads is cut into the same records and fields.
func FuzzCSV(f *testing.F) {
	f.Add([]byte("a,b\n1,\"2\n,\"\"3\"\"\"\r\n,\n"))
	f.Add([]byte("\"\"\n\"a\nb\"\nc"))
	f.Add([]byte("a\"b,c\n\"d"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var got [][]string
		sound := true
		for rest := data; len(rest) > 0; {
			n := CSVRecord(rest)
			if n < 0 || n > len(rest) {
				t.Fatalf("a record of %d bytes in %d", n, len(rest))
			}
			if n == 0 {
				n = len(rest)
			}
			record := bytes.TrimSuffix(bytes.TrimSuffix(rest[:n], []byte("\n")), []byte("\r"))
			rest = rest[n:]
			if len(record) == 0 {
				continue
			}
			var texts []string
			for fields, more := (fields{data: record}), true; more; {
				var text []byte
				var err error
				if text, more, err = fields.next(nil); err != nil {
					sound = false
					break
				}
				texts = append(texts, string(text))
			}
			got = append(got, texts)
		}
		r := csv.NewReader(bytes.NewReader(data))
		r.FieldsPerRecord = -1
		want, err := r.ReadAll()
		if err != nil || bytes.Contains(data, []byte("\r")) { // which it may drop within quotes
			return
		}
		if !sound || !slices.EqualFunc(got, want, slices.Equal) {
			t.Fatalf("%q, want %q", got, want)
		}
	})
}
