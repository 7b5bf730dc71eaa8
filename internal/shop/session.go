package shop

import "math"

// A session is one visit. It depends on nothing but itself: given its state, what
// follows is fixed.
type session struct {
	rng    rng
	number uint64
	after  int32 // the next visitor of the same tick: see Shop.wheel

	visitor
	intent        float64 // 0 to 1, hidden
	hour, weekday uint8   // when it began

	action  action
	section uint8
	product uint32
	loadMS  int

	// Up to and with the page just opened; dwell and scroll are those of the page
	// before, which a shop learns when it is left.
	depth, clicks, products, compares, searches int
	seconds, dwell, scroll                      float64

	items    int
	cents    int // value of the cart
	discount int // percent; 0: no voucher
	bought   bool
}

// visit begins a human's session.
func (v *session) visit(user uint32, fresh bool) {
	v.be(user, fresh)
	v.intent = 1 / (1 + math.Exp(-v.inclination()-v.rng.normal()*0.8))
	if v.referrer == email || v.rng.chance(0.05) {
		v.discount = 5 * (1 + v.rng.below(4))
	}
	v.section = uint8(v.rng.below(len(sections)))
	first := pageView
	if v.referrer == search || v.referrer == comparison {
		first = productView
	}
	v.open(first)
}

// crawl begins a crawler's session.
func (v *session) crawl(user uint32) {
	v.beCrawler(user)
	v.section = uint8(v.rng.below(len(sections)))
	v.open(pageView)
}

// advance leaves the page and opens the next one; false: the session is over, with a
// purchase or without.
func (v *session) advance() bool {
	if v.crawler {
		return v.advanceCrawler()
	}
	v.look()
	if v.action == checkout && v.rng.chance(0.38+0.47*v.intent-v.annoyance()) {
		v.bought = true
		return false
	}
	leave := 0.17 - 0.10*v.intent + v.annoyance()
	if v.depth == 1 {
		leave += 0.22 * (1 - v.intent)
	}
	if v.items > 0 {
		leave *= 0.8
	}
	if v.rng.chance(leave) {
		return false
	}
	v.open(v.choose())
	return true
}

// annoyance is what a slow page adds to the chance of leaving.
func (v *session) annoyance() float64 {
	return min(max(float64(v.loadMS-1500)/10_000, 0), 0.25)
}

// look is the time spent on the page that is being left. Those who mean to buy read
// product pages; a hurried look at many is a window shopper's.
func (v *session) look() {
	median := 9 + 6*v.intent
	if v.action == productView {
		median = 10 + 24*v.intent
	}
	v.dwell = min(median*math.Exp(0.8*v.rng.normal()), 240)
	v.scroll = min(max(0.25+0.35*v.intent+0.22*v.rng.normal(), 0), 1)
	v.seconds += v.dwell
	v.clicks += 1 + v.rng.below(2+int(v.dwell/20))
}

// choose is what a visitor does next who stays.
func (v *session) choose() action {
	q := v.intent
	x := v.rng.float()
	if v.action == productView {
		if x -= 0.03 + 0.26*q*q; x < 0 {
			return addToCart
		}
	}
	if v.items > 0 {
		if x -= 0.05 + 0.30*q; x < 0 {
			return checkout
		}
		if x -= 0.10 * (1 - q); x < 0 {
			return removeFromCart
		}
	}
	if x -= 0.07 + 0.06*q; x < 0 {
		return searchPage
	}
	if x -= 0.22; x < 0 {
		return pageView
	}
	return productView
}

// open shows a page, and with it what the session has seen so far.
func (v *session) open(a action) {
	v.action = a
	v.depth++
	v.loadMS = int(180 + 260*math.Exp(0.9*v.rng.normal()+v.slowness()))
	switch a {
	case pageView, searchPage:
		v.section = uint8(v.rng.below(len(sections)))
		if a == searchPage {
			v.searches++
		}
	case productView:
		v.product = uint32(v.section)*1000 + uint32(v.rng.below(600))
		v.products++
		// The undecided compare most: neither idlers nor those who know.
		if !v.crawler && v.products > 1 && v.rng.chance(0.08+v.intent*(1-v.intent)) {
			v.compares++
		}
	case addToCart:
		v.items++
		v.cents += v.price()
	case removeFromCart:
		v.cents -= v.cents / v.items
		v.items--
	}
}

// price follows from the product, in cents.
func (v *session) price() int {
	p := rng(v.product)
	return sections[v.section].cents * (50 + p.below(120)) / 100 / 10 * 10
}

func (v *session) advanceCrawler() bool {
	v.dwell = 0.25 + v.rng.float()*1.5
	v.scroll = 0
	v.seconds += v.dwell
	if v.rng.chance(0.02) {
		return false
	}
	if v.rng.chance(0.2) {
		v.open(pageView)
	} else {
		v.open(productView)
	}
	return true
}
