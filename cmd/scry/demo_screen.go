package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"scry/predictor"
)

// A screen is what the demo prints: on a terminal a status that is written over each
// second, elsewhere a line a second. It is also where the log goes, to its errors, so
// that a warning does not end up inside the status.
type screen struct {
	terminal
	errors io.Writer

	mu    sync.Mutex
	shown []string // the status on the terminal
}

// Write is for the log.
func (s *screen) Write(line []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	shown := s.shown
	s.draw(nil)
	n, err := s.errors.Write(line)
	s.draw(shown)
	return n, err
}

// draw replaces the status. Long lines are clipped by the terminal: one that wrapped
// would make it taller than it knows.
func (s *screen) draw(lines []string) {
	var b strings.Builder
	if n := len(s.shown); n > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\r\x1b[J", n)
	}
	if len(lines) > 0 {
		b.WriteString("\x1b[?7l" + strings.Join(lines, "\n") + "\n\x1b[?7h")
	}
	s.shown = lines
	fmt.Fprint(s.terminal, b.String())
}

// welcome prints where everything is and how to look in.
func (s *screen) welcome(c Config, d *predictor.Deployment, service *service, user string, f demoFlags) {
	brokers := strings.Join(c.Kafka.Brokers, ",")
	page := "http://" + service.server.AdminAddr()
	address, redisCLI := redisPlace(c, f.redis)
	inside := func(given bool) string {
		if given {
			return ""
		}
		return "  " + s.paint(dim, "(in this process)")
	}
	row := func(what, where, note string) {
		fmt.Fprintf(s.terminal, "  %s %s%s\n", s.paint(dim, fmt.Sprintf("%-9s", what)), s.paint(bold, where), note)
	}
	fmt.Fprintf(s.terminal, "%s: a simulated web shop, scored live by the model %s\n\n",
		s.paint(bold, "scry demo"), s.paint(bold, d.Name+"/"+d.Version))
	row("Kafka", brokers, inside(len(f.brokers) > 0))
	row("", "", s.paint(dim, demoEvents+" -> "+demoOutput+", dead letters -> "+c.Output.DeadLetterTopic))
	row("Redis", address, inside(f.redis != ""))
	row("page", page, "")
	row("metrics", "http://"+service.server.HealthAddr()+"/metrics", "")
	fmt.Fprintf(s.terminal, "\nLook in from another terminal:\n\n")
	for _, command := range []string{
		"kcat -C -q -b " + brokers + " -t " + demoOutput + " -o end",
		"kcat -C -q -b " + brokers + " -t " + c.Output.DeadLetterTopic + ` -o beginning -f '%h\n%s\n'`,
		redisCLI + " get pred:" + d.Name + ":" + user,
		"curl '" + page + "/api/lookup?entity=" + user + "'",
	} {
		fmt.Fprintf(s.terminal, "  %s\n", command)
	}
	fmt.Fprintf(s.terminal, "\n%s\n\n", s.paint(dim, "Ctrl-C closes the shop, lets the consumer finish, and adds up."))
}

// redisPlace is the address of Redis, without a password, and how redis-cli is told it.
func redisPlace(c Config, given string) (address, cli string) {
	if given != "" {
		masked := c.Cache.URL.MaskedURL()
		return masked, "redis-cli -u '" + masked + "'"
	}
	address = strings.TrimSuffix(strings.TrimPrefix(c.Cache.URL.Reveal(), "redis://"), "/0")
	_, port, _ := net.SplitHostPort(address)
	return address, "redis-cli -p " + port
}

const latencyNote = "from an event's append to topic and cache"

// first shows the first prediction.
func (s *screen) first(sample []byte, after time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	line := fmt.Sprintf("  the first prediction, %s after the shop opened: %s", short(after), sampleText(sample))
	if s.redraw {
		s.draw([]string{line})
		return
	}
	fmt.Fprintln(s.terminal, line)
}

// status shows a second.
func (s *screen) status(now status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.redraw {
		s.draw(s.block(now))
		return
	}
	fmt.Fprintln(s.terminal, now.line())
}

func (now status) line() string {
	if now.notReady != nil {
		return fmt.Sprintf("%4.0fs  not ready: %v", now.since.Seconds(), now.notReady)
	}
	return fmt.Sprintf("%4.0fs %7s events/s   p50 %6s  p99 %6s   lag %-6s cached %-7s dead letters %-3s  %s",
		now.since.Seconds(), count(int64(now.rate+.5)), short(now.p50), short(now.p99), count(now.lag), keys(now.keys), count(now.dead), sampleText(now.sample))
}

func (s *screen) block(now status) []string {
	row := func(what, value, note string) string {
		return fmt.Sprintf("  %s %s %s", s.paint(dim, fmt.Sprintf("%-13s", what)), s.paint(bold, fmt.Sprintf("%12s", value)), s.paint(dim, note))
	}
	if now.notReady != nil {
		return []string{fmt.Sprintf("  %s %s", s.paint(yellow, "not ready"), now.notReady)}
	}
	lines := []string{
		row("events/s", count(int64(now.rate+.5)), fmt.Sprintf("for %v", now.since.Round(time.Second))),
		row("latency p50", short(now.p50), latencyNote),
		row("latency p99", short(now.p99), ""),
		row("lag", count(now.lag), "events not yet done"),
		row("cached", keys(now.keys), "keys in Redis"),
		row("dead letters", count(now.dead), "events cut off on purpose"),
		"",
		"  " + s.bar(now.sample),
	}
	for line := range slices.Chunk(now.sample, 76) {
		lines = append(lines, "  "+s.paint(dim, string(line)))
	}
	return lines
}

// A shown is what is shown of a prediction.
type shown struct {
	Entity string
	Label  string
	Score  float64
}

func sampleText(sample []byte) string {
	var p shown
	if json.Unmarshal(sample, &p) != nil {
		return ""
	}
	return fmt.Sprintf("%s %s %.2f", p.Entity, p.Label, p.Score)
}

// bar draws a prediction's score.
func (s *screen) bar(sample []byte) string {
	const width = 30
	var p shown
	if json.Unmarshal(sample, &p) != nil {
		return s.paint(dim, "no prediction yet")
	}
	full := int(min(max(p.Score, 0), 1)*width + .5)
	colour := dim
	if p.Label == "buy" {
		colour = green
	}
	return fmt.Sprintf("%-8s %s%s %.2f %s", p.Entity, s.paint(colour, strings.Repeat("█", full)),
		s.paint(dim, strings.Repeat("░", width-full)), p.Score, s.paint(colour, p.Label))
}

// summary prints what came of all events.
func (s *screen) summary(sum summary) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draw(nil)
	row := func(what string, n uint64, note string) {
		line := fmt.Sprintf("  %-15s %s   %s", what, s.paint(bold, fmt.Sprintf("%12s", count(n))), s.paint(dim, note))
		fmt.Fprintln(s.terminal, strings.TrimRight(line, " "))
	}
	fmt.Fprintln(s.terminal)
	rate := 0.0
	if sum.took > 0 {
		rate = float64(sum.produced) / sum.took.Seconds()
	}
	row("produced", sum.produced, fmt.Sprintf("%s events/s for %.1f s", count(int64(rate+.5)), sum.took.Seconds()))
	row("predicted", sum.out.Predicted, "")
	row("dead letters", sum.out.DeadLetters, "events cut off on purpose: "+count(sum.poison))
	equation := "produced = predicted + dead letters"
	if sum.out.Tombstones > 0 {
		row("tombstones", sum.out.Tombstones, "")
		equation += " + tombstones"
	}
	verdict := s.paint(green, equation+": nothing lost, nothing twice")
	if sum.check() != nil {
		verdict = s.paint(red, strings.Replace(equation, "=", "is not", 1))
	}
	fmt.Fprintf(s.terminal, "\n  %s\n\n", verdict)
	fmt.Fprintf(s.terminal, "  %-15s %12s   %s\n", "latency p50", short(sum.p50), s.paint(dim, latencyNote))
	fmt.Fprintf(s.terminal, "  %-15s %12s\n", "latency p99", short(sum.p99))
	fmt.Fprintf(s.terminal, "  %-15s %12s   %s\n\n", "cached", keys(sum.keys), s.paint(dim, "keys in Redis"))
}

// short writes a duration with two or three digits.
func short(d time.Duration) string {
	switch {
	case d == 0:
		return "-"
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", d.Seconds()*1e3)
	case d < time.Second:
		return fmt.Sprintf("%.0f ms", d.Seconds()*1e3)
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

func keys(n int64) string {
	if n < 0 {
		return "?"
	}
	return count(n)
}
