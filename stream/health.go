package stream

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// stuckAfter is how long a batch may be in flight with every dependency up before the
// process is taken for dead.
const stuckAfter = time.Minute

// Health is how a consumer is: alive unless something is stuck that nothing outside
// explains, ready when it is consuming. Safe for concurrent use.
type Health struct {
	log    *slog.Logger
	window *window
	needed []string // the dependencies that consuming cannot go on without
	beside *Health  // the projector's; nil: there is none

	mu      sync.Mutex
	started bool
	stopped bool
	held    error
	out     error            // why the group does not let the member in; nil: it does, or may
	down    map[string]error // dependencies that are unreachable
}

func newHealth(log *slog.Logger, w *window, cache CacheConfig) *Health {
	h := &Health{log: log, window: w, needed: []string{"kafka"}, down: map[string]error{}}
	if cache.URL != "" && cache.OnFailure != "skip" && !cache.projected() {
		h.needed = append(h.needed, "redis")
	}
	return h
}

// Live returns why the process should be restarted, or nil.
func (h *Health) Live() error {
	if h.beside != nil {
		if err := h.beside.Live(); err != nil {
			return fmt.Errorf("cache projector: %w", err)
		}
	}
	_, _, age := h.window.load()
	h.mu.Lock()
	defer h.mu.Unlock()
	if age < stuckAfter || h.held != nil || h.stopped || len(h.down) > 0 {
		return nil
	}
	return fmt.Errorf("a batch has been in flight for %v and no dependency is down", age.Round(time.Second))
}

// A Check is one of the conditions of being ready.
type Check struct {
	Name string // running, delivery, kafka, redis or partitions
	Err  error  // why it is not met, or nil
}

// Checks returns every condition of being ready, the gravest first.
func (h *Health) Checks() []Check {
	h.mu.Lock()
	defer h.mu.Unlock()
	checks := []Check{{Name: "running"}, {Name: "delivery"}}
	if h.stopped {
		checks[0].Err = errors.New("stopping")
	}
	if h.held != nil {
		checks[1].Err = fmt.Errorf("held: %w", h.held)
	}
	for _, name := range h.needed {
		checks = append(checks, Check{Name: name, Err: h.down[name]})
	}
	partitions := Check{Name: "partitions"}
	switch {
	case h.out != nil:
		partitions.Err = h.out
	case !h.started:
		partitions.Err = errors.New("the group has assigned none yet")
	}
	return append(checks, partitions)
}

// Ready returns the gravest reason why the consumer is not consuming, or nil.
func (h *Health) Ready() error {
	for _, c := range h.Checks() {
		if c.Err != nil {
			return fmt.Errorf("%s: %w", c.Name, c.Err)
		}
	}
	return nil
}

// report notes that a dependency is down, or with a nil error that it is up again.
func (h *Health) report(dependency string, err error) {
	h.mu.Lock()
	was, isDown := h.down[dependency]
	if err == nil {
		delete(h.down, dependency)
	} else {
		h.down[dependency] = err
	}
	h.mu.Unlock()
	switch {
	case err == nil && isDown:
		h.log.Info("dependency is back", "dependency", dependency)
	case err != nil && (!isDown || was.Error() != err.Error()):
		h.log.Warn("dependency is unreachable, retrying; nothing is lost", "dependency", dependency, "error", err)
	}
}

func (h *Health) isDown(dependency string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.down[dependency] != nil
}

// hold notes why the consumer keeps its batch back, or with nil that it goes on.
func (h *Health) hold(why error) {
	h.mu.Lock()
	h.held = why
	h.mu.Unlock()
	if why != nil {
		h.log.Error("held: nothing is delivered or committed until this is mended and scry is started again", "error", why)
	}
}

func (h *Health) holding() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.held != nil
}

func (h *Health) start() {
	h.mu.Lock()
	h.started, h.out = true, nil
	h.mu.Unlock()
}

// shutOut notes why the group does not let the member in, until it does.
func (h *Health) shutOut(why error) {
	h.mu.Lock()
	again := h.out != nil
	h.out = why
	h.mu.Unlock()
	if !again {
		h.log.Warn("not let into the group, asking again until it is", "error", why)
	}
}

// rejoin notes that the partitions are given up, to be assigned anew.
func (h *Health) rejoin() {
	h.mu.Lock()
	h.started = false
	h.mu.Unlock()
}

func (h *Health) stopping() {
	h.mu.Lock()
	h.stopped = true
	h.mu.Unlock()
}
