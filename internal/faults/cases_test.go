//go:build faults

package faults

import (
	"context"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// A fault is a named case: docs/delivery.md lists the same names.
type fault struct {
	name string
	sets []string // configuration of every member
	// static gives each member a kafka.instance of its own.
	static bool
	// once: it leaves what is known of the input less than whole, so it is not mixed in.
	once bool
	// alone starts one member, not two.
	alone bool
	// upstream produces in transactions, every other of which is aborted.
	upstream bool

	// Either: what breaks the brokers or the network, and with them every pipeline.
	shake func(c *cluster) error
	// Or: what befalls one pipeline.
	strike func(p *pipeline)
	// expired: members are taken for dead by it and may not know at once.
	expired bool
}

// killAt kills a member at a stage boundary: the one that joins, once it has passed there
// often enough to be in the middle of things.
func killAt(place string, passage int) fault {
	return fault{name: "kill -9 at " + place, strike: func(p *pipeline) {
		m := p.join(p.sets("x", fmt.Sprintf("SCRY_FAILPOINT=%s:%d", place, passage))...)
		m.wait(outlasting)
		if s, ok := m.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || s.Signal() != syscall.SIGKILL {
			p.t.Errorf("it ended by %v, not by the failpoint:\n%s", m.cmd.ProcessState, m.tail())
		}
		p.join(p.sets("x")...)
	}}
}

// fromOutput has the cache filled from the output.
const fromOutput = "cache.from=output"

// projected is a fault of a pipeline whose cache is filled from the output.
func projected(f fault) fault {
	f.name += ", cache.from: output"
	f.sets = append(f.sets, fromOutput)
	return f
}

// killProjecting kills a member that has read predictions which Redis has not taken. Nothing
// comes after them, so at rest they are what Redis must hold.
var killProjecting = projected(fault{name: "kill -9 while Redis takes nothing", strike: func(p *pipeline) {
	p.cache.on.Load().do("CONFIG", "SET", "maxmemory", "1")
	time.Sleep(time.Second)
	p.load.pause()
	time.Sleep(500 * time.Millisecond) // for what was read to be committed, if it is
	p.running()[0].kill()
	p.cache.on.Load().do("CONFIG", "SET", "maxmemory", "0")
	p.join(p.sets("a")...)
}})

// redisRestarts loses all that Redis held.
var redisRestarts = fault{name: "Redis killed and restarted", strike: func(p *pipeline) {
	s := p.cache.on.Load()
	s.kill()
	time.Sleep(2 * time.Second)
	s.start()
	p.lossy = true
}}

// sets are the arguments of a further member.
func (p *pipeline) sets(instance string, more ...string) []string {
	if p.fault.static {
		more = append(more, "kafka.instance="+instance)
	}
	return append(slices.Clone(p.fault.sets), more...)
}

// faults are all cases: first what befalls one pipeline, then what shakes them all.
var faults = []fault{
	killAt("poll", 20),
	killAt("produce", 20),
	killAt("flush", 20),
	killAt("cache", 20),
	killAt("commit", 5),
	killAt("end", 5),
	projected(killAt("flush", 20)),
	killProjecting,
	{name: "SIGSTOP past the session timeout, SIGCONT", expired: true, strike: func(p *pipeline) {
		m := p.running()[0]
		m.signal(syscall.SIGSTOP)
		time.Sleep(session + 3*time.Second)
		m.signal(syscall.SIGCONT)
	}},
	{name: "SIGTERM under load", strike: func(p *pipeline) {
		p.running()[0].leave()
		p.join(p.sets("a")...)
	}},
	{name: "members joining and leaving", strike: func(p *pipeline) {
		for range 3 {
			m := p.join(p.sets("x")...)
			time.Sleep(2 * time.Second)
			m.leave()
		}
	}},
	{name: "two processes with the same kafka.instance", static: true, strike: func(p *pipeline) {
		second, first := p.join(p.sets("a")...), p.members[0]
		first.mayEnd, second.mayEnd = true, true
		eventually(p.t, "one of the two ends, or waits for its turn", func() bool {
			return !first.running() || !second.running() || second.says("UNRELEASED_INSTANCE_ID")
		})
		if !first.running() && !second.running() {
			p.t.Errorf("both ended:\n%s\n%s", first.tail(), second.tail())
		}
	}},
	{name: "a transactional producer upstream aborts", upstream: true, strike: func(*pipeline) { time.Sleep(3 * time.Second) }},
	{name: "a model that panics", strike: func(p *pipeline) {
		p.running()[0].leave()
		m := p.join(p.sets("a", "SCRY_FAILPOINT=model:20:panic")...)
		eventually(p.t, "the member holds", func() bool { return m.says("held:") })
		m.leave()
		p.join(p.sets("a")...)
	}},
	{name: "a model that takes 2 s", strike: func(p *pipeline) {
		p.running()[0].leave()
		p.join(p.sets("a", "SCRY_FAILPOINT=model:20:sleep")...)
		time.Sleep(4 * time.Second)
	}},

	redisRestarts,
	projected(redisRestarts),
	{name: "a Redis replica promoted without the last writes", strike: func(p *pipeline) {
		master, replica := p.cache.on.Load(), startRedis(p.t)
		replica.do("REPLICAOF", "127.0.0.1", fmt.Sprint(master.port))
		eventually(p.t, "the replica follows", func() bool { return replica.says("master_link_status:up") })
		replica.do("REPLICAOF", "NO", "ONE")
		time.Sleep(time.Second) // of writes that only the master has
		p.cache.move(replica)
		master.kill()
		p.lossy = true
	}},
	{name: "SCRIPT FLUSH", strike: func(p *pipeline) {
		for range 10 {
			p.cache.on.Load().do("SCRIPT", "FLUSH")
			time.Sleep(200 * time.Millisecond)
		}
	}},
	{name: "Redis out of memory", strike: func(p *pipeline) {
		p.cache.on.Load().do("CONFIG", "SET", "maxmemory", "1")
		time.Sleep(3 * time.Second)
		p.cache.on.Load().do("CONFIG", "SET", "maxmemory", "0")
	}},
	{name: "Redis read-only", strike: func(p *pipeline) {
		p.cache.on.Load().do("REPLICAOF", "127.0.0.1", "1") // of a master that is not there
		time.Sleep(3 * time.Second)
		p.cache.on.Load().do("REPLICAOF", "NO", "ONE")
	}},
	{name: "Redis half-open", strike: func(p *pipeline) {
		mend, err := poison(p.cache.proxy, toxic{Type: "timeout", Stream: "downstream"})
		if err != nil {
			p.t.Fatal(err)
		}
		time.Sleep(4 * time.Second)
		mend()
	}},

	{name: "retention overtakes a stopped group", once: true, strike: func(p *pipeline) {
		for _, m := range p.running() {
			m.kill()
		}
		time.Sleep(2 * time.Second)
		p.retain()
		p.join(p.sets("a")...)
		p.join(p.sets("b")...)
	}},
	{name: "retention overtakes a running group", once: true, strike: func(p *pipeline) {
		for _, m := range p.running() {
			m.signal(syscall.SIGSTOP)
		}
		time.Sleep(session / 2)
		p.retain()
		for _, m := range p.running() {
			m.signal(syscall.SIGCONT)
		}
	}},
	{name: "the topic recreated, the group stopped", once: true, strike: func(p *pipeline) {
		for _, m := range p.running() {
			m.kill()
		}
		p.recreate()
		p.join(p.sets("a")...)
		p.join(p.sets("b")...)
	}},
	{name: "the topic recreated, the group running", once: true, strike: func(p *pipeline) {
		for _, m := range p.members {
			m.mayEnd = true
		}
		p.recreate()
		eventually(p.t, "the new topic is read", func() bool {
			for range 2 - len(p.running()) { // what a supervisor does
				p.join(p.sets("a")...).mayEnd = true
			}
			return p.seen.started(p.load.incarnation)
		})
	}},

	{name: "200 ms latency", shake: func(c *cluster) error {
		return c.during(4*time.Second, toxic{Type: "latency", Stream: "downstream", Attributes: map[string]int{"latency": 200}})
	}},
	{name: "half-open connections", expired: true, shake: func(c *cluster) error {
		return c.during(session+2*time.Second, toxic{Type: "timeout", Stream: "downstream"}, toxic{Type: "timeout", Stream: "upstream"})
	}},
	{name: "answers lost", expired: true, shake: func(c *cluster) error { // requests arrive
		return c.during(session+2*time.Second, toxic{Type: "timeout", Stream: "downstream"})
	}},
	{name: "cut in mid-response", expired: true, shake: func(c *cluster) error {
		return c.during(3*time.Second, toxic{Type: "limit_data", Stream: "downstream", Attributes: map[string]int{"bytes": 3000}})
	}},
	{name: "clean broker bounce", expired: true, shake: func(c *cluster) error { return c.bounce(1, syscall.SIGTERM) }},
	{name: "broker kill -9 with min ISR 2", expired: true, shake: func(c *cluster) error { return c.bounce(2, syscall.SIGKILL) }},
	{name: "rolling restart", expired: true, shake: func(c *cluster) error {
		for i := range brokers {
			if err := c.bounce(i+1, syscall.SIGTERM); err != nil {
				return err
			}
		}
		return nil
	}},
	{name: "all brokers down", expired: true, shake: func(c *cluster) error {
		for i := range brokers {
			if err := c.end(i+1, syscall.SIGKILL); err != nil {
				return err
			}
		}
		time.Sleep(outage())
		return c.mend()
	}},
}

// bounce ends a broker and starts it again.
func (c *cluster) bounce(broker int, with syscall.Signal) error {
	if err := c.end(broker, with); err != nil {
		return err
	}
	return c.mend()
}

// retain deletes what the group has not read and a little more, as retention would.
func (p *pipeline) retain() {
	p.t.Helper()
	ctx := context.Background()
	ends, err := p.cluster.adm.ListEndOffsets(ctx, p.in)
	if err != nil {
		p.t.Fatal(err)
	}
	to := make(kadm.Offsets)
	ends.Each(func(e kadm.ListedOffset) { to.AddOffset(e.Topic, e.Partition, e.Offset, -1) })
	rs, err := p.cluster.adm.DeleteRecords(ctx, to)
	if err == nil {
		err = rs.Error()
	}
	if err != nil {
		p.t.Fatal(err)
	}
	p.unread(func(e *Event) bool { at, _ := to.Lookup(p.in, e.Partition); return e.Offset < at.At })
}

// unread marks the events that nobody may have read before they were gone, once what
// was produced by now is known: those that are not out yet.
func (p *pipeline) unread(gone func(e *Event) bool) {
	time.Sleep(500 * time.Millisecond) // acknowledgements of the load
	p.load.change(func(e *Event) { e.Unread = e.Unread || gone(e) })
}

// recreate deletes the input topic under the load's hands and makes it anew.
func (p *pipeline) recreate() {
	p.t.Helper()
	ctx := context.Background()
	p.load.pause()
	if rs, err := p.cluster.adm.DeleteTopics(ctx, p.in); err != nil || rs.Error() != nil {
		p.t.Fatal(err, rs.Error())
	}
	p.unread(func(*Event) bool { return true })
	eventually(p.t, "the topic is gone", func() bool {
		topics, err := p.cluster.adm.ListTopics(ctx, p.in)
		return err == nil && !topics.Has(p.in)
	})
	eventually(p.t, "the topic is made anew", func() bool {
		rs, err := p.cluster.adm.CreateTopics(ctx, partitions, brokers, nil, p.in)
		return err == nil && rs.Error() == nil
	})
	p.load.open(p.cluster)
	p.load.start()
}

// abortEveryOther produces in transactions until the load is paused.
func (w *workload) abortEveryOther(c *cluster) {
	w.incarnation = "" // the same topic, by another client
	w.open(c, kgo.TransactionalID(w.topic))
	stop := make(chan struct{})
	w.stop = stop
	w.done.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Millisecond):
			}
			abort := n%2 == 1
			if err := w.client.BeginTransaction(); err != nil {
				w.t.Errorf("upstream: %v", err)
				return
			}
			for range 10 {
				r, e := w.record()
				e.Hidden = abort
				w.client.Produce(context.Background(), r, func(r *kgo.Record, err error) { w.produced(r, e, err) })
			}
			if err := w.client.Flush(context.Background()); err != nil {
				w.t.Errorf("upstream: %v", err)
			}
			if err := w.client.EndTransaction(context.Background(), kgo.TransactionEndTry(!abort)); err != nil {
				w.t.Errorf("upstream: %v", err)
			}
		}
	})
}
