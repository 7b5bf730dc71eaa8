package feature

import (
	"bytes"
	"fmt"
	"math/rand/v2"
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
				fmt.Fprintf(&b, "%.*f", kind[0]-'0', (x-.2)*(x-.2)*(x-.2)*900)
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
