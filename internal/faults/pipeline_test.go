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
	"syscall"
	"testing"
	"time"
)

// session is after how long a silent member is taken for dead.
const session = 3 * time.Second

// A combination is what a case runs with.
type combination struct{ guarantee, protocol string }

func (c combination) String() string { return c.guarantee + "," + c.protocol }

// A pipeline is a group of scry processes with topics, a Redis, a load and observers of
// its own.
type pipeline struct {
	t            testing.TB
	cluster      *cluster
	with         combination
	binary       string
	in, out, dlq string
	group        string
	config       string
	cache        *cache
	load         *workload
	seen         *observers
	members      []*process
	fault        fault
	expired      bool
	lossy        bool // Redis lost something: rebuild it before the rest
	faults       []Fault
}

var topicNumber = struct {
	sync.Mutex
	n int
}{}

func newPipeline(t testing.TB, c *cluster, with combination, binary string) *pipeline {
	t.Helper()
	topicNumber.Lock()
	topicNumber.n++
	name := fmt.Sprint("faults", topicNumber.n)
	topicNumber.Unlock()
	p := &pipeline{t: t, cluster: c, with: with, binary: binary, in: name + ".in", out: name + ".out", dlq: name + ".dlq", group: name}
	p.load = newWorkload(t, p.in)
	p.cache = startCache(t, c)
	c.createTopics(t, "CreateTime", p.in)
	c.createTopics(t, "LogAppendTime", p.out, p.dlq)
	p.load.open(c)
	p.seen = observe(p)
	p.config = filepath.Join(t.TempDir(), "scry.yaml")
	text := fmt.Sprintf(`
name: %q
kafka: {brokers: %q, session_timeout: %v, protocol: %s}
input:
  topics: [%q]
  entity: user_id
  event_time: {path: ts}
  on_data_loss: earliest
model: {uri: %q}
output: {topic: %q, dead_letter_topic: %q}
cache: {url: %q, ttl: 0}
delivery: {guarantee: %s, commit_interval: 200ms}
http: {health: "127.0.0.1:0", admin: "127.0.0.1:0", pprof: true}
`, name, c.proxied(), session, with.protocol, p.in, model(t), p.out, p.dlq, p.cache.url(), with.guarantee)
	text = strings.ReplaceAll(text, `" "`, `", "`) // how %q prints a list
	if err := os.WriteFile(p.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// A process is one scry.
type process struct {
	t      testing.TB
	cmd    *exec.Cmd
	log    string
	ended  chan struct{}
	mayEnd bool
}

// join starts a member; sets are --set arguments, and NAME=value environment for those
// in capitals.
func (p *pipeline) join(sets ...string) *process {
	p.t.Helper()
	args := []string{"run", "-c", p.config}
	var env []string
	for _, s := range sets {
		if strings.HasPrefix(s, "SCRY_") {
			env = append(env, s)
			continue
		}
		args = append(args, "--set", s)
	}
	m := &process{t: p.t, cmd: exec.Command(p.binary, args...), ended: make(chan struct{}),
		log: filepath.Join(p.t.TempDir(), fmt.Sprintf("scry-%d.log", len(p.members)))}
	m.cmd.Env = append(os.Environ(), env...)
	log, err := os.Create(m.log)
	if err != nil {
		p.t.Fatal(err)
	}
	defer log.Close()
	m.cmd.Stdout, m.cmd.Stderr = log, log
	if err := m.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	go func() {
		_ = m.cmd.Wait()
		close(m.ended)
	}()
	p.t.Cleanup(func() {
		_ = m.cmd.Process.Kill()
		<-m.ended
		if p.t.Failed() {
			p.t.Logf("%s %v, %v:\n%s", p.with, sets, m.cmd.ProcessState, m.tail())
		}
	})
	p.members = append(p.members, m)
	return m
}

func (m *process) tail() string {
	text, _ := os.ReadFile(m.log)
	const most = 6000
	return string(text[max(0, len(text)-most):])
}

// trace ends a member that stands still and tells where its goroutines stand.
func (m *process) trace() {
	m.t.Helper()
	m.mayEnd = true
	m.signal(syscall.SIGQUIT)
	m.wait(10 * time.Second)
	text, _ := os.ReadFile(m.log)
	_, goroutines, _ := strings.Cut(string(text), "SIGQUIT")
	m.t.Logf("%s:\n%s", m.log, goroutines)
}

// says reports whether the log holds a text.
func (m *process) says(text string) bool {
	log, err := os.ReadFile(m.log)
	return err == nil && strings.Contains(string(log), text)
}

func (m *process) signal(s syscall.Signal) {
	m.t.Helper()
	if err := m.cmd.Process.Signal(s); err != nil {
		m.t.Fatalf("signal %v: %v", s, err)
	}
}

func (m *process) kill() {
	m.mayEnd = true
	_ = m.cmd.Process.Kill()
	<-m.ended
}

// leave ends a member as it should end.
func (m *process) leave() {
	m.t.Helper()
	m.mayEnd = true
	m.signal(syscall.SIGTERM)
	m.wait(30 * time.Second)
	if code := m.cmd.ProcessState.ExitCode(); code != 0 {
		m.t.Errorf("after SIGTERM: %v", m.cmd.ProcessState)
	}
}

// wait is for a member that ends by itself.
func (m *process) wait(within time.Duration) {
	m.t.Helper()
	m.mayEnd = true
	select {
	case <-m.ended:
	case <-time.After(within):
		m.t.Fatalf("a member that should end goes on after %v:\n%s", within, m.tail())
	}
}

// running are the members that run, the oldest first.
func (p *pipeline) running() (ms []*process) {
	for _, m := range p.members {
		if m.running() {
			ms = append(ms, m)
		}
	}
	return ms
}

func (m *process) running() bool {
	select {
	case <-m.ended:
		return false
	default:
		return true
	}
}

// during runs f and notes it as a fault.
func (p *pipeline) during(name string, f func()) {
	begin := time.Now()
	f()
	p.faults = append(p.faults, Fault{name, begin, time.Now()})
}

// rest ends the load, waits until all is delivered, ends the members and returns what
// there is to judge.
func (p *pipeline) rest() *History {
	p.t.Helper()
	p.load.pause()
	if !patience(45*time.Second, p.seen.committed) {
		p.t.Errorf("%v: not all of the input is committed after 45 s; open transactions: %v", p.with, p.cluster.transactions())
		for _, m := range p.running() {
			m.trace()
		}
	}
	if p.projects() {
		patience(15*time.Second, p.copied) // in vain, perhaps: Q says what is amiss
	}
	for _, m := range p.members {
		if m.running() {
			m.leave()
		} else if !m.mayEnd {
			p.t.Errorf("a member ended by itself: %v", m.cmd.ProcessState)
		}
	}
	if p.lossy && !p.projects() { // else what came after it has filled Redis again
		p.rebuild()
	}
	if !patience(15*time.Second, func() bool { return p.seen.through(p.cluster.adm) }) {
		p.t.Errorf("%v: readers do not get to the end of the output within 15 s", p.with)
	}
	p.seen.stop()
	slices.SortStableFunc(p.seen.output, func(a, b Prediction) int { return int(a.OutPartition - b.OutPartition) })
	return &History{
		ExactlyOnce: p.with.guarantee == "exactly_once", Expired: p.expired, Projected: p.projects(),
		Input: p.load.events, Output: p.seen.output, Dead: p.seen.dead, Cache: p.seen.cached, AtRest: p.atRest(),
		Commits: p.seen.commits, Faults: p.faults,
	}
}

// projects reports whether the cache is filled from the output.
func (p *pipeline) projects() bool { return slices.Contains(p.fault.sets, fromOutput) }

// copied reports whether the cache holds the newest prediction of each entity.
func (p *pipeline) copied() bool {
	if !p.seen.through(p.cluster.adm) {
		return false
	}
	newest := p.seen.newest()
	for entity, c := range p.atRest() {
		if newest[entity] == c.Version {
			delete(newest, entity)
		}
	}
	return len(newest) == 0
}

// rebuild is what the operator does after Redis lost something.
func (p *pipeline) rebuild() {
	p.t.Helper()
	out, err := exec.Command(p.binary, "cache", "rebuild", "-c", p.config).CombinedOutput()
	if err != nil {
		p.t.Errorf("scry cache rebuild: %v\n%s", err, out)
	}
}

// patience waits for a state and reports whether it came.
func patience(most time.Duration, ok func() bool) bool {
	for deadline := time.Now().Add(most); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if ok() {
			return true
		}
	}
	return false
}
