//go:build faults

package faults

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"scry/internal/testenv"
)

// root is the top of the tree.
const root = "../.."

// all reports whether every combination is run, and faults take as long as they are named
// for: FAULTS=all.
func all() bool { return os.Getenv("FAULTS") == "all" }

// outage is how long all brokers are down.
func outage() time.Duration {
	if all() {
		return time.Minute
	}
	return 5 * time.Second
}

// outlasting is how long to wait for what happens to a member: chaos may take all brokers
// down meanwhile.
const outlasting = 2 * time.Minute

// combinations are what each case runs with.
func combinations() (cs []combination) {
	for _, guarantee := range []string{"at_least_once", "exactly_once"} {
		for _, protocol := range []string{"classic", "consumer"} {
			if all() || (guarantee == "at_least_once") == (protocol == "classic") {
				cs = append(cs, combination{guarantee, protocol})
			}
		}
	}
	return cs
}

// world returns the cluster that all tests share; the last one ends with the process.
func world(t testing.TB) *cluster {
	t.Helper()
	if _, err := exec.LookPath("java"); err != nil {
		absent(t, "java")
	}
	if _, err := exec.LookPath("redis-server"); err != nil {
		absent(t, "redis-server")
	}
	testenv.Shared(t)
	shared.once.Do(func() {
		shared.dir, shared.err = os.MkdirTemp("", "faults-")
		if shared.err == nil {
			shared.cluster, shared.err = startCluster(shared.dir)
		}
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.cluster
}

var shared struct {
	once    sync.Once
	dir     string
	cluster *cluster
	err     error
}

func absent(t testing.TB, program string) {
	reason := "needs three real brokers and a real Redis: there is no " + program + " in the PATH"
	if os.Getenv("SCRY_REQUIRE_SERVICES") == "1" {
		t.Fatal(reason)
	}
	t.Skip(reason)
}

func TestMain(m *testing.M) {
	code := m.Run()
	report.print()
	if shared.cluster != nil {
		if err := shared.cluster.stop(); err != nil {
			fmt.Println(err)
		}
	}
	if code == 0 || shared.dir == "" {
		os.RemoveAll(shared.dir)
	} else {
		fmt.Println("the brokers' logs and data are left in", shared.dir)
	}
	os.Exit(code)
}

// build compiles scry with its failpoints, and with further flags.
func build(t testing.TB, flags ...string) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "scry")
	cmd := exec.Command("go", append(append([]string{"build", "-tags", "faults", "-o", binary}, flags...), "./cmd/scry")...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
	return binary
}

// TestFaults is the suite: each case with each combination, judged by every invariant.
func TestFaults(t *testing.T) {
	c := world(t)
	binary := build(t)
	t.Run("pipeline", func(t *testing.T) {
		for _, f := range faults {
			if f.strike == nil {
				continue
			}
			for _, with := range combinations() {
				t.Run(f.name+"/"+with.String(), func(t *testing.T) {
					t.Parallel()
					report.expect(t, f.name, with)
					p := newPipeline(t, c, with, binary)
					p.run(f)
					judge(t, f.name, with, p.rest())
				})
			}
		}
	})
	t.Run("cluster", func(t *testing.T) {
		for _, f := range faults {
			if f.shake != nil {
				t.Run(f.name, func(t *testing.T) { shake(t, c, f, binary) })
			}
		}
	})
}

// run brings a pipeline up, lets the fault strike, and gives it time to recover.
func (p *pipeline) run(f fault) {
	p.t.Helper()
	p.begin(f)
	p.during(f.name, func() { f.strike(p) })
	time.Sleep(after)
}

// after is for how long events come in after a fault.
const after = 2 * time.Second

// begin starts load and members and returns when they work.
func (p *pipeline) begin(f fault) {
	p.t.Helper()
	p.fault, p.expired = f, f.expired
	if f.upstream {
		p.load.abortEveryOther(p.cluster)
	} else {
		p.load.start()
	}
	p.join(p.sets("a")...)
	if !f.alone {
		p.join(p.sets("b")...)
	}
	eventually(p.t, "predictions from every partition", func() bool { return p.seen.busy() == partitions })
}

// shake breaks what all pipelines stand on, under one of each combination at once.
func shake(t *testing.T, c *cluster, f fault, binary string) {
	var ps []*pipeline
	for _, with := range combinations() {
		report.expect(t, f.name, with)
		p := newPipeline(t, c, with, binary)
		p.begin(f)
		ps = append(ps, p)
	}
	begin := time.Now()
	if err := f.shake(c); err != nil {
		t.Fatal(err)
	}
	end := time.Now()
	time.Sleep(after)
	for _, p := range ps {
		p.faults = append(p.faults, Fault{f.name, begin, end})
		judge(t, f.name, p.with, p.rest())
	}
}

// judge reports what a history violates.
func judge(t testing.TB, name string, with combination, h *History) {
	t.Helper()
	found := Check(h)
	report.add(name, with, h.Projected, found)
	const most = 5
	said := make(map[Invariant]int)
	for _, v := range found {
		if said[v.Invariant]++; said[v.Invariant] <= most {
			t.Errorf("%s: %v", with, v)
		}
	}
	repeats := len(h.Output)
	seen := make(map[Source]bool)
	for _, p := range h.Output {
		seen[p.Source] = true
	}
	t.Logf("%s: %d events, %d predictions, %d repeats, %d dead letters, %d samples of the cache, %d commits, %d violations",
		with, len(h.Input), len(seen), repeats-len(seen), len(h.Dead), len(h.Cache), len(h.Commits), len(found))
}

// The report is the table of cases and invariants that is printed at the end.
var report reporter

type reporter struct {
	mu   sync.Mutex
	rows []row
}

type row struct {
	name      string
	with      combination
	projected bool              // else U is no question
	count     map[Invariant]int // nil: the case ended before it could be judged
}

// expect notes a case whose test ends without a judgement.
func (r *reporter) expect(t *testing.T, name string, with combination) {
	t.Cleanup(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if t.Failed() && !slices.ContainsFunc(r.rows, func(row row) bool { return row.name == name && row.with == with }) {
			r.rows = append(r.rows, row{name: name, with: with})
		}
	})
}

func (r *reporter) add(name string, with combination, projected bool, found []Violation) {
	count := make(map[Invariant]int)
	for _, v := range found {
		count[v.Invariant]++
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rows = append(r.rows, row{name, with, projected, count})
}

// print writes a line a case, in the cases' order: a dot for a promise that was kept, how
// often it was broken, or that nobody knows.
func (r *reporter) print() {
	if len(r.rows) == 0 {
		return
	}
	order := func(name string) int { return slices.IndexFunc(faults, func(f fault) bool { return f.name == name }) }
	slices.SortStableFunc(r.rows, func(a, b row) int { return order(a.name) - order(b.name) })
	width := 0
	for _, row := range r.rows {
		width = max(width, len(row.name))
	}
	fmt.Printf("\n%-*s  %-13s  %-8s", width, "fault", "guarantee", "protocol")
	for _, i := range Invariants {
		fmt.Printf("  %s", i)
	}
	fmt.Println()
	for _, row := range r.rows {
		fmt.Printf("%-*s  %-13s  %-8s", width, row.name, row.with.guarantee, row.with.protocol)
		for _, i := range Invariants {
			mark := "."
			if n := row.count[i]; n > 0 {
				mark = fmt.Sprint(n)
			} else if row.count == nil {
				mark = "?"
			} else if i == U && !row.projected {
				mark = " "
			}
			fmt.Printf("  %s", mark)
		}
		fmt.Println()
	}
	fmt.Println(strings.Repeat("-", width))
}
