package stream

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A wire lies between consumers and brokers. Requests pass; answers it may alter, keep
// for a while, or lose with their connection: what they answer has been done all the
// same. And it notes what became of every record that was produced.
type wire struct {
	mu      sync.Mutex
	tampers []*tampering
	acked   map[string]time.Time // by event: when a consumer was first told that its record is durable
}

// A tampering is done to the next answers of one kind.
type tampering struct {
	key  kmsg.Key
	left int
	with func(kmsg.Response) error // an error: the connection is cut
	done chan struct{}             // closed after the last
}

func newWire() *wire {
	return &wire{acked: make(map[string]time.Time)}
}

// tamper does something to the next n answers to requests of a kind. The channel is closed
// when they were answered.
func (w *wire) tamper(key kmsg.Key, n int, with func(kmsg.Response) error) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := &tampering{key, n, with, make(chan struct{})}
	w.tampers = append(w.tampers, t)
	return t.done
}

// take returns what is to be done to an answer, nil when nothing is.
func (w *wire) take(key kmsg.Key) *tampering {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range w.tampers {
		if t.key == key && t.left > 0 {
			if t.left--; t.left == 0 {
				defer close(t.done)
			}
			return t
		}
	}
	return nil
}

// produced notes what the brokers say of a request's records.
func (w *wire) produced(req *kmsg.ProduceRequest, resp *kmsg.ProduceResponse) {
	type partition struct {
		topic string // of old requests
		id    [16]byte
		n     int32
	}
	batches := make(map[partition][]byte)
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			batches[partition{t.Topic, t.TopicID, p.Partition}] = p.Records
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			for _, id := range ids(batches[partition{t.Topic, t.TopicID, p.Partition}]) {
				if _, again := w.acked[id]; !again && p.ErrorCode == 0 {
					w.acked[id] = now
				}
			}
		}
	}
}

// ids are the events of the predictions and dead letters in an uncompressed batch.
func ids(batch []byte) (all []string) {
	const id, position = `{"id":"`, "scry-position"
	for b := batch; ; {
		i := bytes.Index(b, []byte(id))
		if i < 0 {
			break
		}
		b = b[i+len(id):]
		all = append(all, string(b[:bytes.IndexByte(b, '"')]))
	}
	for b := batch; ; {
		i := bytes.Index(b, []byte(position))
		if i < 0 {
			return all
		}
		b = b[i+len(position):]
		all = append(all, string(b[1:1+b[0]/2])) // a varint, zigzag
	}
}

func (w *wire) conn(c net.Conn) net.Conn {
	return &wiredConn{Conn: c, wire: w, sent: make(map[int32]sent)}
}

// A wiredConn takes the stream of bytes apart into requests and answers.
type wiredConn struct {
	net.Conn
	wire *wire
	out  []byte // of a request that is not whole yet
	in   []byte // of an answer that is not read yet

	mu   sync.Mutex
	sent map[int32]sent // by correlation id
}

// A sent is a request without an answer yet.
type sent struct {
	key     kmsg.Key
	version int16
	produce *kmsg.ProduceRequest // of that key
}

func (c *wiredConn) Write(b []byte) (int, error) {
	c.out = append(c.out, b...)
	for len(c.out) >= 4 {
		n := 4 + int(binary.BigEndian.Uint32(c.out))
		if len(c.out) < n {
			break
		}
		c.note(c.out[4:n])
		c.out = append(c.out[:0], c.out[n:]...)
	}
	return c.Conn.Write(b)
}

func (c *wiredConn) note(request []byte) {
	r := kbin.Reader{Src: request}
	s := sent{key: kmsg.Key(r.Int16()), version: r.Int16()}
	correlation := r.Int32()
	if s.key == kmsg.Produce {
		r.NullableString() // the client's id
		s.produce = kmsg.NewPtrProduceRequest()
		s.produce.SetVersion(s.version)
		if s.produce.IsFlexible() {
			kmsg.SkipTags(&r)
		}
		if err := s.produce.ReadFrom(bytes.Clone(r.Src)); err != nil {
			panic(err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent[correlation] = s
}

func (c *wiredConn) Read(b []byte) (int, error) {
	if len(c.in) == 0 {
		answer := make([]byte, 4)
		if _, err := io.ReadFull(c.Conn, answer); err != nil {
			return 0, err
		}
		answer = append(answer, make([]byte, binary.BigEndian.Uint32(answer))...)
		if _, err := io.ReadFull(c.Conn, answer[4:]); err != nil {
			return 0, err
		}
		var err error
		if c.in, err = c.answer(answer); err != nil {
			c.Conn.Close()
			return 0, err
		}
	}
	n := copy(b, c.in)
	c.in = c.in[n:]
	return n, nil
}

// answer is what becomes of an answer on its way.
func (c *wiredConn) answer(whole []byte) ([]byte, error) {
	r := kbin.Reader{Src: whole[4:]}
	correlation := r.Int32()
	c.mu.Lock()
	s := c.sent[correlation]
	delete(c.sent, correlation)
	c.mu.Unlock()
	t := c.wire.take(s.key)
	if t == nil && s.produce == nil {
		return whole, nil
	}
	resp := kmsg.ResponseForKey(int16(s.key))
	resp.SetVersion(s.version)
	if resp.IsFlexible() {
		kmsg.SkipTags(&r)
	}
	if err := resp.ReadFrom(r.Src); err != nil {
		panic(err)
	}
	if t != nil {
		if err := t.with(resp); err != nil {
			return nil, err
		}
		whole = whole[:8]
		if resp.IsFlexible() {
			whole = append(whole, 0)
		}
		whole = resp.AppendTo(whole)
		binary.BigEndian.PutUint32(whole, uint32(len(whole)-4))
	}
	if s.produce != nil {
		c.wire.produced(s.produce, resp.(*kmsg.ProduceResponse))
	}
	return whole, nil
}

// cut loses an answer with its connection.
func cut(kmsg.Response) error { return io.ErrUnexpectedEOF }
