package feature

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// shopShape is a page view of some 421 bytes in which a model reads 20 numbers:
// # stands for an integer, digits for as many decimals, $ for a word.
const shopShape = `page:url=$,section=$,load=1,ttfb=#,scroll=3,dwell=2 sess:depth=#,dur=2,new=#,clicks=#,idle=1 ` +
	`dev:os=$,w=#,h=#,dpr=2 geo:cc=$,lat=4,lon=4 cart:n=#,value=2,disc=2 hist:v7=#,v30=#,buys=#`

var words = []string{"DE", "ios", "books", "android", "electronics", "/p/48210"}

func shopEvent(r *rand.Rand) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"event_id":"e%010d","user_id":"u_%d","ts":"2026-11-24T%02d:%02d:%02d.%03dZ","type":"page_view"`,
		r.IntN(1e9), 1000000+r.IntN(200000), r.IntN(24), r.IntN(60), r.IntN(60), r.IntN(1000))
	for _, object := range strings.Fields(shopShape) {
		name, members, _ := strings.Cut(object, ":")
		fmt.Fprintf(&b, `,"%s":{`, name)
		for i, m := range strings.Split(members, ",") {
			key, kind, _ := strings.Cut(m, "=")
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `"%s":`, key)
			x := r.Float64()
			switch kind {
			case "$":
				fmt.Fprintf(&b, "%q", words[r.IntN(len(words))])
			case "#":
				fmt.Fprint(&b, int(x*x*x*300))
			default:
				if kind == "4" { // degrees
					x = x*240 - 120
				} else {
					x *= x * x * 900
				}
				fmt.Fprintf(&b, "%.*f", kind[0]-'0', x)
			}
		}
		b.WriteByte('}')
	}
	b.WriteByte('}')
	return b.Bytes()
}

func shopFeatures() (fs []Feature) {
	for _, object := range strings.Fields(shopShape) {
		name, members, _ := strings.Cut(object, ":")
		for _, m := range strings.Split(members, ",") {
			if key, kind, _ := strings.Cut(m, "="); kind != "$" {
				fs = append(fs, Feature{Name: name + "_" + key, Path: name + "." + key, Required: true})
			}
		}
	}
	return fs
}

func benchmark(b *testing.B, events [][]byte, fs []Feature, c JSONConfig) {
	j, err := NewJSON(fs, c)
	if err != nil {
		b.Fatal(err)
	}
	s := NewScratch(len(fs))
	row := make([]float64, len(fs))
	var size int
	for _, e := range events {
		size += len(e)
		if _, err := j.Extract(e, row, s); err != nil {
			b.Fatalf("%v\n%s", err, e)
		}
	}
	b.SetBytes(int64(size / len(events)))
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if _, err := j.Extract(events[i], row, s); err != nil {
			b.Fatal(err)
		}
		if i++; i == len(events) {
			i = 0
			s.Reset()
		}
	}
}

// BenchmarkEvent is the design's event: 20 features, an entity and a time.
func BenchmarkEvent(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	events := make([][]byte, 1000)
	for i := range events {
		events[i] = shopEvent(r)
	}
	benchmark(b, events, shopFeatures(), JSONConfig{Entity: "user_id", EventTime: "ts"})
}

// A corpus of events that are hard in one way each.
var corpora = []struct {
	name  string
	event func(*rand.Rand) []byte
}{
	{"shop", shopEvent},
	{"escapes", func(r *rand.Rand) []byte {
		return wrapped(r, `"path":"C:\\logs\\shop\\2026\\%d.log","message":"said \"%d times\"\tthen left\n","html":"<a href=\"\/p\/%d\">","emoji":"\ud83d\ude00 \u00e9t\u00e9"`)
	}},
	{"digits17", func(r *rand.Rand) []byte {
		var b bytes.Buffer
		b.WriteString(`{"user_id":"u_1","ts":"2026-11-24T10:00:00.123Z"`)
		for i := range 20 {
			fmt.Fprintf(&b, `,"f%d":%v`, i, r.Float64())
		}
		b.WriteByte('}')
		return b.Bytes()
	}},
	{"utf8", func(r *rand.Rand) []byte {
		return wrapped(r, `"title":"Беспроводные наушники с шумоподавлением %d","brand":"株式会社ソニー・%d","review":"Très bien, livré en %d jours. すべてが期待どおりでした。"`)
	}},
	{"5KB", func(r *rand.Rand) []byte {
		var b bytes.Buffer
		for i := range 24 {
			fmt.Fprintf(&b, `"item_%d":{"sku":"SKU-%08d","name":"A product whose name goes on for quite a while","tags":["new","sale","summer"],"price":%.2f,"stock":[%d,%d,%d],"active":true,"note":null},`,
				i, r.IntN(1e8), r.Float64()*900, r.IntN(100), r.IntN(100), r.IntN(100))
		}
		return wrapped(r, b.String()+`"n":%d,"m":%d,"o":%d`)
	}},
	{"spaced", func(r *rand.Rand) []byte { // as Python's json.dumps writes
		e := bytes.ReplaceAll(shopEvent(r), []byte(`,"`), []byte(`, "`))
		return bytes.ReplaceAll(e, []byte(`":`), []byte(`": `))
	}},
}

// wrapped puts what nobody wants before the twenty wanted fields. Its three %d
// become numbers.
func wrapped(r *rand.Rand, unwanted string) []byte {
	return slices.Concat([]byte("{"), fmt.Appendf(nil, unwanted, r.IntN(1e6), r.IntN(1e6), r.IntN(1e6)), []byte(","), shopEvent(r)[1:])
}

func corpusFeatures(name string) []Feature {
	if name != "digits17" {
		return shopFeatures()
	}
	var fs []Feature
	for i := range 20 {
		fs = append(fs, Feature{Name: fmt.Sprint("f", i), Path: fmt.Sprint("f", i), Required: true})
	}
	return fs
}

func BenchmarkCorpus(b *testing.B) {
	for _, c := range corpora {
		b.Run(c.name, func(b *testing.B) {
			r := rand.New(rand.NewPCG(1, 2))
			events := make([][]byte, 1000)
			for i := range events {
				events[i] = c.event(r)
			}
			benchmark(b, events, corpusFeatures(c.name), JSONConfig{Entity: "user_id", EventTime: "ts"})
		})
	}
}
