package shop

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math"
	"runtime"
	"testing"
	"time"
)

var monday = time.Date(2026, time.November, 2, 0, 0, 0, 0, time.UTC)

// seen is an event as a reader sees it.
type seen struct {
	EventID string `json:"event_id"`
	UserID  string `json:"user_id"`
	TS      string `json:"ts"`
	Type    string `json:"type"`
	Page    struct {
		URL     string   `json:"url"`
		Section string   `json:"section"`
		LoadMS  int      `json:"load_ms"`
		DwellS  *float64 `json:"dwell_s"`
		Scroll  *float64 `json:"scroll"`
	} `json:"page"`
	Session struct {
		ID         string `json:"id"`
		Depth      int    `json:"depth"`
		Seconds    int    `json:"seconds"`
		Clicks     int    `json:"clicks"`
		NewVisitor bool   `json:"new_visitor"`
		Referrer   string `json:"referrer"`
		Products   int    `json:"products"`
		Compares   int    `json:"compares"`
		Searches   int    `json:"searches"`
		Hour       int    `json:"hour"`
		Weekday    int    `json:"weekday"`
	} `json:"session"`
	Device struct {
		OS   string `json:"os"`
		Kind string `json:"kind"`
		W    int    `json:"w"`
		H    int    `json:"h"`
	} `json:"device"`
	Geo *struct {
		Country string `json:"country"`
	} `json:"geo"`
	Cart struct {
		Items    int      `json:"items"`
		Value    float64  `json:"value"`
		Discount *float64 `json:"discount"`
	} `json:"cart"`
	History *struct {
		Visits7   int `json:"visits_7d"`
		Visits30  int `json:"visits_30d"`
		Purchases int `json:"purchases"`
	} `json:"history"`

	bought bool
}

// crawler is how a test tells them; a model has to find out by itself.
func (e *seen) crawler() bool { return e.UserID[:2] == "u9" }

// watch runs a shop for n events, step apart at a load of 1.
func watch(t *testing.T, s *Shop, n int, step time.Duration, each func(i int, e *seen, now time.Time)) {
	t.Helper()
	now := monday
	var buf []byte
	for i := range n {
		now = now.Add(time.Duration(float64(step) / Load(now)))
		key, event := s.Next(buf[:0], now)
		var e seen
		d := json.NewDecoder(bytes.NewReader(event))
		d.DisallowUnknownFields()
		if err := d.Decode(&e); err != nil {
			t.Fatalf("event %d: %v\n%s", i, err, event)
		}
		if d.More() || string(key) != e.UserID {
			t.Fatalf("event %d, key %q: %s", i, key, event)
		}
		if want := now.Format("2006-01-02T15:04:05.000Z"); e.TS != want {
			t.Fatalf("event %d: ts %q, want %q", i, e.TS, want)
		}
		e.bought = s.Bought()
		each(i, &e, now)
		buf = event
	}
}

// A session goes forward page by page, one at a time for a user, with one outcome.
func TestSessionsAreInOrder(t *testing.T) {
	current := map[string]*seen{} // by user
	over := map[string]bool{}     // sessions
	ids := map[string]bool{}
	watch(t, New(1, 300), 40_000, time.Second, func(i int, e *seen, _ time.Time) {
		if ids[e.EventID] {
			t.Fatalf("event id %s twice", e.EventID)
		}
		ids[e.EventID] = true
		if (e.History == nil) != e.Session.NewVisitor {
			t.Fatalf("event %d: new visitor %v, history %v", i, e.Session.NewVisitor, e.History)
		}
		before := current[e.UserID]
		current[e.UserID] = e
		if before == nil || before.Session.ID != e.Session.ID {
			if before != nil {
				over[before.Session.ID] = true
			}
			if e.Session.Depth != 1 || e.Page.DwellS != nil || e.Session.Seconds != 0 || over[e.Session.ID] {
				t.Fatalf("event %d is no beginning: %+v", i, e)
			}
			return
		}
		if e.Session.Depth != before.Session.Depth+1 || e.Page.DwellS == nil || e.Page.Scroll == nil {
			t.Fatalf("event %d does not follow: %+v after %+v", i, e, before)
		}
		if e.Session.Seconds < before.Session.Seconds || e.Session.Products < before.Session.Products || e.TS < before.TS {
			t.Fatalf("event %d goes back: %+v after %+v", i, e, before)
		}
		if e.bought != before.bought {
			t.Fatalf("event %d: session %s was to end %v, now %v", i, e.Session.ID, before.bought, e.bought)
		}
		if e.Device != before.Device || e.Session.Referrer != before.Session.Referrer || e.Session.Hour != before.Session.Hour {
			t.Fatalf("event %d: another visitor in session %s", i, e.Session.ID)
		}
		change := map[string]int{"add_to_cart": 1, "remove_from_cart": -1}[e.Type]
		if e.Cart.Items != before.Cart.Items+change || e.Cart.Items < 0 || (e.Cart.Items == 0) != (e.Cart.Value == 0) {
			t.Fatalf("event %d: cart %+v after %+v on %s", i, e.Cart, before.Cart, e.Type)
		}
		if e.Type == "checkout" && e.Cart.Items == 0 {
			t.Fatalf("event %d: checkout of an empty cart", i)
		}
	})
	if len(over) < 200 {
		t.Errorf("only %d users came again", len(over))
	}
}

// A returning user keeps device and country.
func TestUsersComeBack(t *testing.T) {
	type self struct{ os, kind string }
	users, sessions, again := map[string]self{}, map[string]bool{}, 0
	watch(t, New(3, 100), 40_000, time.Second, func(_ int, e *seen, _ time.Time) {
		if e.Session.NewVisitor || sessions[e.Session.ID] {
			return
		}
		sessions[e.Session.ID] = true
		me := self{e.Device.OS, e.Device.Kind}
		if was, ok := users[e.UserID]; ok {
			again++
			if was != me {
				t.Fatalf("user %s was %v and is %v", e.UserID, was, me)
			}
		}
		users[e.UserID] = me
	})
	if again < 50 {
		t.Errorf("%d visits by a user seen before", again)
	}
}

// The shares the documentation names, over a week.
func TestShares(t *testing.T) {
	type outcome struct{ bought, crawler bool }
	sessions := map[string]outcome{}
	var events, crawled int
	night, evening := map[bool]int{}, map[bool]int{}
	types := map[string]int{}
	users := map[string]bool{}
	const n = 60_000
	watch(t, New(2, 50), n, 7*24*time.Hour/n, func(_ int, e *seen, now time.Time) {
		events++
		types[e.Type]++
		users[e.UserID] = true
		if e.crawler() {
			crawled++
		}
		switch h := now.Hour(); {
		case h >= 2 && h < 5:
			night[e.crawler()]++
		case h >= 19 && h < 22:
			evening[e.crawler()]++
		}
		sessions[e.Session.ID] = outcome{e.bought, e.crawler()}
	})
	bought, crawlers := 0, 0
	for id, s := range sessions {
		if s.crawler {
			crawlers++
		}
		if s.bought {
			bought++
			if s.crawler {
				t.Errorf("crawler session %s buys", id)
			}
		}
	}
	within(t, "sessions that buy", float64(bought)/float64(len(sessions)), 0.05, 0.11)
	within(t, "crawlers' share of sessions", float64(crawlers)/float64(len(sessions)), 0.01, 0.04)
	within(t, "crawlers' share of events", float64(crawled)/float64(events), 0.08, 0.25)
	within(t, "pages a session", float64(events)/float64(len(sessions)), 5, 9)
	share := func(m map[bool]int) float64 { return float64(m[true]) / float64(m[true]+m[false]) }
	within(t, "crawlers at night over evening", share(night)/share(evening), 2, 20)
	for _, kind := range actions {
		within(t, kind, float64(types[kind])/float64(events), 0.002, 0.7)
	}
	within(t, "users", float64(len(users)), 5_000, float64(regulars+newcomers+50))
}

func TestEventSize(t *testing.T) {
	s := New(1, 1000)
	total, n := 0, 20_000
	for i := range n {
		_, event := s.Next(nil, monday.Add(time.Duration(i)*time.Millisecond))
		total += len(event)
		if len(event) > 640 {
			t.Fatalf("%d bytes: %s", len(event), event)
		}
	}
	within(t, "mean bytes", float64(total)/float64(n), 420, 490)
}

func TestLoad(t *testing.T) {
	sum := 0.0
	for h := range 7 * 24 {
		sum += Load(monday.Add(time.Duration(h) * time.Hour))
	}
	within(t, "mean load", sum/(7*24), 0.99, 1.01)
	within(t, "Sunday evening", Load(monday.Add(-4*time.Hour)), 2.59, 2.61)
	within(t, "Tuesday night", Load(monday.Add(27*time.Hour)), 0.15, 0.16)
}

func TestSameSeedSameEvents(t *testing.T) {
	a, b, other := New(7, 500), New(7, 500), New(8, 500)
	differ := false
	for i := range 50_000 {
		now := monday.Add(time.Duration(i) * time.Second)
		_, x := a.Next(nil, now)
		if i%3 == 0 {
			a.Bought() // looking ahead changes nothing
		}
		_, y := b.Next(nil, now)
		_, z := other.Next(nil, now)
		if !bytes.Equal(x, y) {
			t.Fatalf("event %d:\n%s\n%s", i, x, y)
		}
		differ = differ || !bytes.Equal(x, z)
	}
	if !differ {
		t.Error("the seed changes nothing")
	}
}

// The bundled model was trained on these events: who changes them trains it again
// (see examples/buyer-intent) and puts the new digest here.
func TestTrainingEvents(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("another architecture may round differently")
	}
	const want = "46db481990fceabc"
	h := sha256.New()
	s := New(1, 32)
	for i := range 20_000 {
		_, event := s.Next(nil, monday.Add(time.Duration(i)*time.Second))
		h.Write(event)
	}
	if got := hex.EncodeToString(h.Sum(nil)[:8]); got != want {
		t.Errorf("the events changed: digest %s, trained on %s", got, want)
	}
}

func TestNextAllocatesNothing(t *testing.T) {
	s, buf := New(1, 3000), make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(10_000, func() { s.Next(buf[:0], monday) }); n != 0 {
		t.Errorf("%v allocations an event", n)
	}
}

func TestNextAppends(t *testing.T) {
	s := New(1, 10)
	key, event := s.Next([]byte("before"), monday)
	if event[0] != '{' || !bytes.Contains(event, key) || cap(key) != len(key) {
		t.Errorf("key %q event %s", key, event)
	}
}

func within(t *testing.T, what string, got, low, high float64) {
	t.Helper()
	if math.IsNaN(got) || got < low || got > high {
		t.Errorf("%s: %.4f is not within %v and %v", what, got, low, high)
	} else {
		t.Logf("%s: %.4f", what, got)
	}
}

func BenchmarkNext(b *testing.B) {
	s, buf := New(1, 3000), make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		s.Next(buf[:0], monday)
	}
}
