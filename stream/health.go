package stream

import (
	"fmt"
	"log/slog"
	"sort"
	"strings"
	"sync"
	"time"
)

// dependencies are what report is called with.
var dependencies = []string{"kafka", "redis"}

// stuckAfter is how long a batch may be in flight with every dependency up before the
// process is taken for dead.
const stuckAfter = time.Minute

// Health is how a consumer is: alive unless something is stuck that nothing outside
// explains, ready when it is consuming. Safe for concurrent use.
type Health struct {
	log    *slog.Logger
	window *window

	mu      sync.Mutex
	started bool
	stopped bool
	held    error
	down    map[string]error // dependencies that are unreachable
}

func newHealth(log *slog.Logger, w *window) *Health {
	return &Health{log: log, window: w, down: map[string]error{}}
}

// Live returns why the process should be restarted, or nil.
func (h *Health) Live() error {
	_, _, age := h.window.load()
	h.mu.Lock()
	defer h.mu.Unlock()
	if age < stuckAfter || h.held != nil || h.stopped || len(h.down) > 0 {
		return nil
	}
	return fmt.Errorf("a batch has been in flight for %v and no dependency is down", age.Round(time.Second))
}

// Ready returns why the consumer is not consuming, or nil.
func (h *Health) Ready() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.stopped:
		return fmt.Errorf("stopping")
	case h.held != nil:
		return fmt.Errorf("held: %w", h.held)
	case len(h.down) > 0:
		var s []string
		for name, err := range h.down {
			s = append(s, fmt.Sprintf("%s: %v", name, err))
		}
		sort.Strings(s)
		return fmt.Errorf("unreachable: %s", strings.Join(s, "; "))
	case !h.started:
		return fmt.Errorf("starting: no partitions assigned yet")
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
	h.started = true
	h.mu.Unlock()
}

func (h *Health) stopping() {
	h.mu.Lock()
	h.stopped = true
	h.mu.Unlock()
}
