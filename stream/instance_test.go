package stream

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A member whose kafka.instance another one holds says so once, is not ready until it is let
// in, and goes on by itself then.
func TestTakenInstanceIsToldAndWaitedFor(t *testing.T) {
	h := newHarness(t, 1)
	h.cfg.Kafka.Protocol, h.cfg.Kafka.Instance = "consumer", "a"
	h.produce(0, event(1, "u"))
	refused := make(chan struct{}, 100)
	held := make(chan struct{})
	h.kafka.ControlKey(int16(kmsg.ConsumerGroupHeartbeat), func(req kmsg.Request) (kmsg.Response, error, bool) {
		h.kafka.KeepControl()
		select {
		case <-held:
			return nil, nil, false
		default:
		}
		select {
		case refused <- struct{}{}:
		default:
		}
		resp := req.ResponseKind().(*kmsg.ConsumerGroupHeartbeatResponse)
		resp.ErrorCode = kerr.UnreleasedInstanceID.Code
		return resp, nil, true
	})
	var log bytes.Buffer // slog's handler writes one record at a time
	c, err := New(h.cfg, doubler(), Env{Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	for range 6 { // the client tells of every one after the third
		<-refused
	}
	want := []string{"partitions: kafka.instance a is held by another member of the group", "UNRELEASED_INSTANCE_ID",
		"give this one another kafka.instance", "group.consumer.session.timeout.ms"}
	for _, part := range want {
		if err := c.Health().Ready(); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("not ready for %v, want %q", err, part)
		}
	}
	close(held)
	h.eventually("it is let in", func() bool { return h.committed(0) == 1 })
	if err := c.Health().Ready(); err != nil {
		t.Errorf("let in, and not ready: %v", err)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if n := strings.Count(log.String(), "kafka.instance a is held"); n != 1 {
		t.Errorf("said %d times:\n%s", n, &log)
	}
	if n := strings.Count(log.String(), "UNRELEASED_INSTANCE_ID"); n != 1 {
		t.Errorf("said %d times:\n%s", n, &log)
	}
}
