package shop

import "math"

// A visitor is who comes: all that is known before the first page.
type visitor struct {
	user                        uint32
	fresh                       bool // first visit: no history
	crawler                     bool
	referrer                    referrer
	kind                        kind
	os                          uint8
	country                     uint8 // an index of countries, or unknownCountry
	width, height               int
	visits7, visits30, purchase int
}

type (
	action   uint8
	referrer uint8
	kind     uint8
)

const (
	pageView action = iota
	productView
	searchPage
	addToCart
	removeFromCart
	checkout
)

const (
	direct referrer = iota
	search
	ads
	email
	social
	comparison
)

const (
	mobile kind = iota
	desktop
	tablet
)

var (
	actions   = [...]string{"page_view", "product_view", "search", "add_to_cart", "remove_from_cart", "checkout"}
	referrers = [...]string{"direct", "search", "ads", "email", "social", "comparison"}
	kinds     = [...]string{"mobile", "desktop", "tablet"}
	systems   = [...]string{"android", "ios", "windows", "macos", "linux"}
	countries = [...]string{"DE", "FR", "GB", "NL", "PL", "ES", "IT", "AT"}
	sections  = [...]struct {
		name  string
		cents int // a middling price
	}{{"shoes", 7900}, {"shirts", 2900}, {"coats", 14900}, {"bags", 5900}, {"sports", 4900}, {"kids", 2500}, {"sale", 1900}}
)

const unknownCountry = len(countries)

var (
	referrersNew   = []float64{0.14, 0.34, 0.22, 0.02, 0.18, 0.10}
	referrersKnown = []float64{0.38, 0.22, 0.10, 0.17, 0.07, 0.06}
	kindShare      = []float64{0.58, 0.36, 0.06}
	countryShare   = []float64{0.34, 0.15, 0.13, 0.10, 0.09, 0.08, 0.08, 0.03}
)

// be makes v a human. What belongs to the user is the same on every visit.
func (v *session) be(user uint32, fresh bool) {
	u := rng(uint64(user) * 0x9e3779b97f4a7c15)
	v.user, v.fresh = user, fresh
	v.kind = kind(u.weighted(kindShare))
	switch v.kind {
	case mobile:
		v.os = uint8(u.below(2))
		v.width, v.height = 360+6*u.below(12), 740+8*u.below(25)
	case tablet:
		v.os = uint8(u.below(2))
		v.width, v.height = 768+32*u.below(9), 1024
	default:
		v.os = uint8(2 + u.weighted([]float64{0.68, 0.27, 0.05}))
		v.width, v.height = 1280+160*u.below(9), 720+90*u.below(9)
	}
	v.country = uint8(u.weighted(countryShare))
	if u.chance(0.03) {
		v.country = uint8(unknownCountry)
	}
	if fresh {
		v.referrer = referrer(v.rng.weighted(referrersNew))
		return
	}
	v.referrer = referrer(v.rng.weighted(referrersKnown))
	loyalty := u.float() * u.float()
	v.visits30 = 1 + int(loyalty*18) + v.rng.below(3)
	v.visits7 = v.rng.below(1 + v.visits30/2)
	v.purchase = int(loyalty * 14 * u.float())
}

// beCrawler makes v a machine that reads the shop.
func (v *session) beCrawler(user uint32) {
	v.user, v.fresh, v.crawler = user, true, true
	v.kind, v.os, v.width, v.height = desktop, 4, 800, 600
	v.country = uint8(v.rng.weighted(countryShare))
}

var (
	byReferrer = [...]float64{direct: 0.35, search: 0.15, ads: -0.35, email: 0.75, social: -0.95, comparison: 0.55}
	byKind     = [...]float64{mobile: -0.35, desktop: 0.45, tablet: 0.15}
	byCountry  = [...]float64{0.15, -0.05, 0.1, 0.2, -0.25, -0.15, -0.2, 0.25, 0}
)

// inclination is the part of the intent that who, whence and when explain.
func (v *session) inclination() float64 {
	z := -1.6 + byReferrer[v.referrer] + byKind[v.kind] + byCountry[v.country]
	z += 0.75*math.Log1p(float64(v.purchase)) + 0.2*math.Log1p(float64(v.visits30))
	if v.visits30 > 8 && v.purchase == 0 {
		z -= 0.9 // comes often and never buys
	}
	weekend := v.weekday == 0 || v.weekday == 6
	switch {
	case v.hour >= 19 && v.hour <= 22:
		z += 0.45
		if weekend && v.kind == mobile {
			z -= 0.5 // on the sofa, looking
		}
	case v.hour < 6:
		z -= 0.6
	case !weekend && v.hour >= 9 && v.hour <= 16 && v.kind == desktop:
		z -= 0.3 // at work
	}
	return z
}

// slowness is how much worse than usual the visitor's pages load, as a logarithm.
func (v *session) slowness() float64 {
	if v.kind == mobile {
		return 0.45
	}
	return 0
}
