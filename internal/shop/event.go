package shop

import (
	"strconv"
	"time"
)

// append writes the page just opened as an event. Members that are not known are
// absent: no time on a page before the first, no history of a newcomer, no voucher,
// sometimes no country.
func (v *session) append(b []byte, now time.Time) (key, event []byte) {
	start := len(b)
	b = append(b, `{"event_id":"`...)
	b = strconv.AppendUint(b, v.number, 36)
	b = number(b, "-", v.depth)
	b = append(b, `","user_id":"`...)
	keyStart := len(b)
	b = append(b, 'u')
	b = strconv.AppendUint(b, uint64(v.user), 10)
	keyEnd := len(b)
	b = append(b, `","ts":"`...)
	b = now.AppendFormat(b, "2006-01-02T15:04:05.000Z07:00")
	b = text(b, `","type":"`, actions[v.action])
	b = append(b, `","page":`...)
	b = v.appendPage(b)
	b = append(b, `,"session":`...)
	b = v.appendSession(b)
	b = text(b, `,"device":{"os":"`, systems[v.os])
	b = text(b, `","kind":"`, kinds[v.kind])
	b = number(b, `","w":`, v.width)
	b = number(b, `,"h":`, v.height)
	b = append(b, '}')
	if int(v.country) != unknownCountry {
		b = text(b, `,"geo":{"country":"`, countries[v.country])
		b = append(b, `"}`...)
	}
	b = number(b, `,"cart":{"items":`, v.items)
	b = decimal(b, `,"value":`, v.cents, 2)
	if v.discount > 0 {
		b = decimal(b, `,"discount":`, v.discount, 2)
	}
	b = append(b, '}')
	if !v.fresh {
		b = number(b, `,"history":{"visits_7d":`, v.visits7)
		b = number(b, `,"visits_30d":`, v.visits30)
		b = number(b, `,"purchases":`, v.purchase)
		b = append(b, '}')
	}
	b = append(b, '}')
	return b[keyStart:keyEnd:keyEnd], b[start:]
}

func (v *session) appendPage(b []byte) []byte {
	b = append(b, `{"url":"/`...)
	switch v.action {
	case pageView:
		b = text(b, "c/", sections[v.section].name)
	case searchPage:
		b = text(b, "s?in=", sections[v.section].name)
	case productView:
		b = number(b, "p/", int(v.product))
	case checkout:
		b = append(b, "checkout"...)
	default:
		b = append(b, "cart"...)
	}
	b = text(b, `","section":"`, sections[v.section].name)
	b = number(b, `","load_ms":`, v.loadMS)
	if v.depth > 1 {
		b = decimal(b, `,"dwell_s":`, int(v.dwell*10), 1)
		b = decimal(b, `,"scroll":`, int(v.scroll*100), 2)
	}
	return append(b, '}')
}

func (v *session) appendSession(b []byte) []byte {
	b = append(b, `{"id":"`...)
	b = strconv.AppendUint(b, v.number, 36)
	b = number(b, `","depth":`, v.depth)
	b = number(b, `,"seconds":`, int(v.seconds))
	b = number(b, `,"clicks":`, v.clicks)
	b = append(b, `,"new_visitor":`...)
	b = strconv.AppendBool(b, v.fresh)
	b = text(b, `,"referrer":"`, referrers[v.referrer])
	b = number(b, `","products":`, v.products)
	b = number(b, `,"compares":`, v.compares)
	b = number(b, `,"searches":`, v.searches)
	b = number(b, `,"hour":`, int(v.hour))
	b = number(b, `,"weekday":`, int(v.weekday))
	return append(b, '}')
}

func text(b []byte, before, s string) []byte { return append(append(b, before...), s...) }

func number(b []byte, before string, n int) []byte {
	return strconv.AppendInt(append(b, before...), int64(n), 10)
}

// decimal writes n divided by 10 to the power of places.
func decimal(b []byte, before string, n, places int) []byte {
	scale := 10
	if places == 2 {
		scale = 100
	}
	b = number(b, before, n/scale)
	b = append(b, '.')
	if frac := n % scale; places == 2 {
		return append(b, byte('0'+frac/10), byte('0'+frac%10))
	} else {
		return append(b, byte('0'+frac))
	}
}
