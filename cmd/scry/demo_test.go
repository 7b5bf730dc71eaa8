package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"scry/internal/embedded"
	"scry/stream"
)

// A demoPrint is what a demo printed, by its parts.
type demoPrint struct {
	code           int
	stdout, stderr string
}

// runDemo runs `scry demo`; look is given its output so far at each status line.
func runDemo(t *testing.T, look func(soFar string), args ...string) demoPrint {
	t.Helper()
	out, in := io.Pipe()
	var stderr bytes.Buffer
	code := make(chan int, 1)
	go func() {
		c := run(append([]string{"demo"}, args...), in, &stderr)
		in.Close()
		code <- c
	}()
	var all strings.Builder
	buf := make([]byte, 4096)
	for {
		n, err := out.Read(buf)
		all.Write(buf[:n])
		if err != nil {
			break
		}
		if look != nil && strings.Contains(string(buf[:n]), "events/s") && strings.Contains(string(buf[:n]), "p99") {
			look(all.String())
		}
	}
	return demoPrint{<-code, all.String(), stderr.String()}
}

// row reads a count of the summary, -1 when it is not there.
func (p demoPrint) row(what string) int {
	found := regexp.MustCompile(`(?m)^  ` + what + ` +([0-9,]+)`).FindStringSubmatch(p.stdout)
	if found == nil {
		return -1
	}
	n, _ := strconv.Atoi(strings.ReplaceAll(found[1], ",", ""))
	return n
}

func TestDemoAddsUp(t *testing.T) {
	looked := false
	p := runDemo(t, func(soFar string) {
		if looked {
			return
		}
		looked = true
		// What it prints to paste works while it runs.
		url := regexp.MustCompile(`curl '(http://[^']+)'`).FindStringSubmatch(soFar)[1]
		answer, err := http.Get(url)
		if err != nil {
			t.Error(err)
			return
		}
		defer answer.Body.Close()
		var cached stream.Cached
		if err := json.NewDecoder(answer.Body).Decode(&cached); err != nil || cached.State != stream.Fresh {
			t.Errorf("%s: %+v, %v", url, cached, err)
		}
		cli := regexp.MustCompile(`redis-cli -p (\d+) get (\S+)`).FindStringSubmatch(soFar)
		r := redis.NewClient(&redis.Options{Addr: "127.0.0.1:" + cli[1]})
		defer r.Close()
		if v, err := r.Get(context.Background(), cli[2]).Result(); err != nil || v != string(cached.Value) {
			t.Errorf("GET %s: %q, %v; the lookup says %q", cli[2], v, err, cached.Value)
		}
	}, "--rate", "500", "--duration", "2s")
	t.Log(p.stdout)
	if p.code != 0 || p.stderr != "" {
		t.Fatalf("exit code %d, stderr %q", p.code, p.stderr)
	}
	produced, predicted, dead := p.row("produced"), p.row("predicted"), p.row("dead letters")
	if produced < 500 || produced > 1000 || dead != 1 || predicted != produced-dead {
		t.Errorf("%d produced, %d predicted, %d dead letters; want about 1000, and 1 dead letter", produced, predicted, dead)
	}
	if cached := p.row("cached"); cached < 300 || cached > predicted {
		t.Errorf("%d cached keys of %d predictions", cached, predicted)
	}
	if !looked || !strings.Contains(p.stdout, "nothing lost, nothing twice") || strings.Contains(p.stdout, "\x1b") {
		t.Error("a status line and the verdict are wanted, without escapes")
	}
}

// On servers that stay, a demo does not count what is there already, and leaves no group.
func TestDemoOnOtherServers(t *testing.T) {
	kafka, err := embedded.StartKafka("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer kafka.Close()
	server, err := embedded.StartRedis("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	client, err := kgo.NewClient(kgo.SeedBrokers(kafka.Brokers()...), kgo.DefaultProduceTopic(demoEvents))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for i := range 2 {
		p := runDemo(t, nil, "--rate", "500", "--duration", "500ms", "--brokers", kafka.Brokers()[0], "--redis", server.URL())
		if p.code != 0 || p.row("produced") < 200 || p.row("predicted") != p.row("produced") || p.row("dead letters") != 0 {
			t.Errorf("demo %d: %+v", i, p)
		}
		for range 3 {
			if err := client.ProduceSync(t.Context(), kgo.StringRecord("no event")).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if groups, err := kadm.NewClient(client).ListGroups(t.Context()); err != nil || len(groups) != 0 {
		t.Errorf("groups left: %v, %v", groups.Groups(), err)
	}
}

// A broker that is slow to answer fetches leaves events unread when the shop closes.
func TestDemoWaitsForTheConsumer(t *testing.T) {
	kafka, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	defer kafka.Close()
	kafka.ControlKey(int16(kmsg.Fetch), func(kmsg.Request) (kmsg.Response, error, bool) {
		kafka.KeepControl()
		kafka.SleepControl(func() { time.Sleep(300 * time.Millisecond) })
		return nil, nil, false
	})
	p := runDemo(t, nil, "--rate", "1000", "--duration", "100ms", "--brokers", kafka.ListenAddrs()[0])
	if p.code != 0 || p.row("produced") != 100 || p.row("predicted") != 100 {
		t.Errorf("%+v", p)
	}
}

func TestDemoNamesTheMend(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--rate", "0"}, exitUsage, "--rate"},
		{[]string{"--rate", "NaN"}, exitUsage, "--rate"},
		{[]string{"--partitions", "0"}, exitUsage, "--partitions"},
		{[]string{"--duration", "-1s"}, exitUsage, "--duration"},
		{[]string{"--brokers", "127.0.0.1:1"}, exitFailed, "leave --brokers out"},
		{[]string{"--redis", "localhost:6379"}, exitUsage, "redis://"},
		{[]string{"more"}, exitUsage, "scry demo --help"},
	} {
		if p := runDemo(t, nil, c.args...); p.code != c.code || !strings.Contains(p.stderr, c.want) {
			t.Errorf("%v: exit code %d, %q; want %d and %q", c.args, p.code, p.stderr, c.code, c.want)
		}
	}
}

func TestSummaryAddsUpOrFails(t *testing.T) {
	s := summary{produced: 1004, out: stream.Totals{Predicted: 1000, DeadLetters: 3, Tombstones: 1}}
	if err := s.check(); err != nil {
		t.Error(err)
	}
	s.out.Predicted--
	if err := s.check(); err == nil || !strings.Contains(err.Error(), "of 1,004 events 1 have no prediction") {
		t.Errorf("one is missing: %v", err)
	}
	var out bytes.Buffer
	(&screen{terminal: terminal{Writer: &out}}).summary(s)
	if !strings.Contains(out.String(), "produced is not predicted + dead letters + tombstones") {
		t.Errorf("one is missing:\n%s", out.String())
	}
	s.out.DeadLetters += 2
	if err := s.check(); err == nil || !strings.Contains(err.Error(), "somebody else produces") {
		t.Errorf("one is too much: %v", err)
	}
}

func TestPaceDoesNotDrift(t *testing.T) {
	start := time.Now()
	p := pace{rate: 333, start: start}
	at := start
	for i := range 10_000 { // ticks come late, some very
		at = at.Add(trafficTick + time.Duration(i%7)*time.Millisecond)
		if i%100 == 0 {
			at = at.Add(900 * time.Millisecond)
		}
		p.due(at)
	}
	if want := at.Sub(start).Seconds() * 333; math.Abs(float64(p.given)-want) > 1 {
		t.Errorf("%d events in %v, want %.1f", p.given, at.Sub(start), want)
	}
	if n := p.due(at.Add(time.Hour)); n > 334 || n < 332 {
		t.Errorf("%d events after an hour's sleep, want a second's", n)
	}
	if n := p.due(at.Add(time.Hour + time.Second)); n < 332 || n > 334 {
		t.Errorf("%d events in the second after, want 333", n)
	}
	if n := p.due(at); n != 0 {
		t.Errorf("%d events after a step back", n)
	}
}

func TestLatencyQuantiles(t *testing.T) {
	reg := prometheus.NewRegistry()
	if d := readLatency(reg); d.quantile(.5) != 0 {
		t.Errorf("of nothing: %v", d.quantile(.5))
	}
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "scry_append_latency_seconds", NativeHistogramBucketFactor: 1.1})
	reg.MustRegister(h)
	observe := func(from, to float64) (all []float64) {
		for i := range 1000 {
			all = append(all, from+(to-from)*float64(i)/999)
			h.Observe(all[i])
		}
		return all
	}
	check := func(what string, d distribution, of []float64) {
		t.Helper()
		slices.Sort(of)
		for _, q := range []float64{.01, .5, .99, 1} {
			want, got := of[int(math.Ceil(q*float64(len(of))))-1], d.quantile(q).Seconds()
			if got < want || got > want*1.1 {
				t.Errorf("%s: quantile %v is %v, want %v to 10 %% more", what, q, got, want)
			}
		}
	}
	slow := observe(.1, 3)
	first := readLatency(reg)
	check("all", first, slow)
	fast := observe(.0005, .02)
	check("since", readLatency(reg).since(first), fast)
	check("both", readLatency(reg), append(slow, fast...))
}

func TestScreenRedraws(t *testing.T) {
	var out, errs bytes.Buffer
	s := &screen{terminal: terminal{Writer: &out, redraw: true}, errors: &errs}
	s.draw([]string{"a", "b"})
	if _, err := s.Write([]byte("a warning\n")); err != nil {
		t.Fatal(err)
	}
	s.draw([]string{"c"})
	s.draw(nil)
	want := "\x1b[?7la\nb\n\x1b[?7h" + // two lines,
		"\x1b[2A\r\x1b[J" + "\x1b[?7la\nb\n\x1b[?7h" + // out of the warning's way and back,
		"\x1b[2A\r\x1b[J" + "\x1b[?7lc\n\x1b[?7h" + // replaced by one,
		"\x1b[1A\r\x1b[J" // gone
	if out.String() != want || errs.String() != "a warning\n" {
		t.Errorf("drawn  %q\nwanted %q\nerrors %q", out.String(), want, errs.String())
	}
}

func TestCount(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000", -100: "-100"} {
		if got := count(n); got != want {
			t.Errorf("count(%d) = %s, want %s", n, got, want)
		}
	}
}
