package stream

import "errors"

// A Check is one of the conditions of being ready.
type Check struct {
	Name string // running, delivery, kafka, redis or partitions
	Err  error  // why it is not met, or nil
}

// Checks returns what Health.Ready joins into one answer, each condition by itself and
// the gravest first. redis is among them when there is a cache. Safe for concurrent use.
func (c *Consumer) Checks() []Check {
	h := c.health
	h.mu.Lock()
	defer h.mu.Unlock()
	checks := []Check{{Name: "running"}, {Name: "delivery", Err: h.held}, {Name: "kafka", Err: h.down["kafka"]}}
	if h.stopped {
		checks[0].Err = errors.New("stopping")
	}
	if c.cache != nil {
		checks = append(checks, Check{Name: "redis", Err: h.down["redis"]})
	}
	partitions := Check{Name: "partitions"}
	if !h.started {
		partitions.Err = errors.New("no partitions assigned yet")
	}
	return append(checks, partitions)
}
