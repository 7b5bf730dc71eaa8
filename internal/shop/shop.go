// Package shop simulates a web shop: visitors arrive, browse, compare, fill a cart,
// leave or buy, and each page they open is an event in JSON.
//
// Who a visitor is (history, referrer, device, country, hour, weekday) and luck give
// a hidden intent; intent steers what the visitor does; a purchase comes of what was
// done. So a model can learn, from what was seen up to an event, how likely the
// session ends in a purchase, and it cannot know. Crawlers go deep and fast and
// never buy.
//
// A shop has no clock: the caller gives the time. The same seed and the same times
// give the same bytes, on one architecture: another may round a product and a sum
// at once.
package shop

import "time"

const (
	ticksPerSecond = 4
	wheelSize      = 1 << 10 // ticks; longer than any stay on a page

	regulars    = 20_000  // users who come back
	newcomers   = 1 << 15 // ids of first visits come round again: a demo of days keeps a bounded set of users
	crawlerRate = 0.02    // of the arrivals of a mean hour
)

// A Shop is the visitors alive and what each does next. It is not safe for
// concurrent use.
type Shop struct {
	rng      rng
	visits   uint64 // sessions so far
	visitors []session
	last     int // the visitor of the last event; -1 before the first

	// wheel holds the visitors by the tick of their next page: a list a tick,
	// linked by session.after. A visitor's index plus one, so that 0 ends a list.
	wheel [wheelSize]int32
	tick  int
}

// New returns a shop with that many visitors at any time (1 to 20,000, the number of
// regular users): a user's events lie about so many events apart.
func New(seed uint64, visitors int) *Shop {
	return &Shop{rng: rng(seed), visitors: make([]session, min(max(visitors, 1), regulars)), last: -1}
}

// Next appends the next event to buf and returns it, with the user id that keys it.
// Both alias buf's memory. An event is about 450 bytes: with that much room in buf,
// Next allocates nothing. now must not go backwards.
func (s *Shop) Next(buf []byte, now time.Time) (key, event []byte) {
	now = now.UTC()
	if s.last < 0 {
		for i := range s.visitors {
			s.arrive(i, now)
		}
	} else if v := &s.visitors[s.last]; v.advance() {
		s.schedule(s.last, v.dwell)
	} else {
		s.arrive(s.last, now)
	}
	for s.wheel[s.tick] == 0 {
		s.tick = (s.tick + 1) % wheelSize
	}
	s.last = int(s.wheel[s.tick]) - 1
	v := &s.visitors[s.last]
	s.wheel[s.tick] = v.after
	return v.append(buf, now)
}

// Bought reports whether the session of the last event ends in a purchase. The
// event does not say: it is the label to train with.
func (s *Shop) Bought() bool {
	if s.last < 0 {
		return false
	}
	v := s.visitors[s.last] // a copy walks ahead, with the same luck
	for v.advance() {
	}
	return v.bought
}

// arrive replaces visitor i by a new one, who opens a first page within a minute.
func (s *Shop) arrive(i int, now time.Time) {
	v := &s.visitors[i]
	*v = session{
		rng: rng(s.rng.next()), number: s.visits,
		hour: uint8(now.Hour()), weekday: uint8(now.Weekday()),
	}
	s.visits++
	// Crawlers do not sleep, so at night they are a larger share.
	switch {
	case v.rng.chance(crawlerRate / (crawlerRate + Load(now))):
		v.crawl(crawlerID(i))
	case v.rng.chance(0.45):
		v.visit(newcomerID(s.visits), true)
	default:
		// A user belongs to one place in the shop, so nobody is there twice.
		n := len(s.visitors)
		v.visit(regularID(i+n*v.rng.below(regulars/n)), false)
	}
	s.schedule(i, 60*v.rng.float())
}

func (s *Shop) schedule(i int, seconds float64) {
	at := (s.tick + min(int(seconds*ticksPerSecond), wheelSize-1)) % wheelSize
	s.visitors[i].after = s.wheel[at]
	s.wheel[at] = int32(i + 1)
}

// The ids of the three kinds of user do not meet.
func regularID(n int) uint32         { return 100_000 + uint32(n) }
func newcomerID(visit uint64) uint32 { return 200_000 + uint32(visit%newcomers) }
func crawlerID(n int) uint32         { return 900_000 + uint32(n) }
