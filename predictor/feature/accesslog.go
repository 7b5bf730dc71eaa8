package feature

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// An AccessLogConfig says what the pipeline takes from a line besides its features.
type AccessLogConfig struct {
	Entity    string // the field that a prediction is about, such as remote_host; empty: events name none
	EventTime string // time or empty: either way the event's time is the line's
}

// AccessLog extracts rows from the lines of an access log: Apache's and nginx's Common
// and Combined Log Format, with a virtual host before it or not, told apart line by
// line. It is an [Extractor]. A feature's path is one of [AccessLogFields].
//
// # What a line is
//
//	host ident user [time] "request" status bytes
//	host ident user [time] "request" status bytes "referrer" "user agent"
//	vhost host ident user [time] "request" status bytes "referrer" "user agent"
//
// One space between fields, a line break at the end or none, at most 64 KiB, and no
// other control character. More fields may follow the user agent, quoted or not, as in
// nginx's main format; they are not looked at. Apache's documentation of mod_log_config
// and nginx's of ngx_http_log_module are the source of the formats and of the escapes.
//
// A user may hold spaces, which neither server escapes: so a line whose second word is
// a dash has no virtual host, and all from its third word to the time is the user. In
// other lines four words before the time begin with a virtual host.
//
// In every text \" and \\ stand for what follows the backslash, \b \f \n \r \t \v for
// the control characters of C, \xhh for a byte; any other backslash is one. A field
// that is a dash is absent. Request, time, status and size have the form below, or the
// line is malformed.
//
// # Fields
//
//	vhost              text    with its port, as written
//	remote_host        text    an address (IPv4, IPv6) or a name
//	ident, remote_user text
//	time               number  seconds since 1970, of 10/Oct/2000:13:55:36 -0700
//	hour, weekday      number  by the clock of the line's own zone; Sunday is 0
//	method             text
//	path               text    the request's target up to its ?, not decoded
//	query              text    what follows the ?; absent without one
//	protocol           text    HTTP/1.1; absent in HTTP/0.9
//	status             number  three digits
//	bytes              number  up to 18 digits; a dash when none were sent
//	referrer           text
//	user_agent         text
//	path_length        number  bytes of path
//	path_depth         number  of the parts between the slashes those not empty: 2 in /a/b.png
//	extension          text    of the last part, in lower case: png; absent in /a, /.a and /a.
//	query_length       number  bytes of query; 0 without one
//	referrer_host      text    host of an absolute URL, in lower case, without user and port
//	is_https_referrer  number  1 when the referrer begins with https:, else 0
//	user_agent_length  number  bytes of user_agent
//
// What is derived from an absent field is absent. A request that is no method and
// target, such as the bytes of a TLS handshake, leaves all that comes of it absent.
//
// A text needs Categories, or Parse when it holds a number. A number with Categories
// goes by its text: status and bytes as written, others in decimal.
type AccessLog struct {
	plan   *JSON // its members are the fields
	wanted []wantedField
}

// A wantedField is one that a feature or the entity is taken from.
type wantedField struct {
	field logField
	node  *node
}

var _ Extractor = (*AccessLog)(nil)

// maxLine bounds a line, its break included.
const maxLine = 64 << 10

// AccessLogFields returns the names of the fields, which are the paths of features.
func AccessLogFields() []string { return slices.Clone(logFieldNames[:]) }

// NewAccessLog prepares the extraction of features, one a column in their order. Its
// error joins every fault: those of NewJSON, a path that is no field, a text without
// categories.
func NewAccessLog(features []Feature, c AccessLogConfig) (*AccessLog, error) {
	var faults []error
	check := func(what, path string) logField {
		i := slices.Index(logFieldNames[:], path)
		if i < 0 {
			faults = append(faults, fmt.Errorf("%s: an access log has no field %q; it has %s", what, path, strings.Join(logFieldNames[:], ", ")))
		}
		return logField(i)
	}
	for _, f := range features {
		if field := check(fmt.Sprintf("feature %q", f.Name), f.Path); field >= 0 && field < firstNumber && len(f.Categories) == 0 && !f.Parse {
			faults = append(faults, fmt.Errorf("feature %q: %s is a text; list its categories, or set parse: true where it holds a number", f.Name, f.Path))
		}
	}
	if c.Entity != "" {
		check("entity", c.Entity)
	}
	if c.EventTime != "" && c.EventTime != logFieldNames[timeOfLine] {
		faults = append(faults, fmt.Errorf("event time: path %q; a line of an access log tells its own: write time, or leave it out", c.EventTime))
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	plan, err := NewJSON(features, JSONConfig{Entity: c.Entity})
	if err != nil {
		return nil, err
	}
	a := &AccessLog{plan: plan}
	for _, m := range plan.root.members {
		a.wanted = append(a.wanted, wantedField{logField(slices.Index(logFieldNames[:], m.key)), m})
	}
	return a, nil
}

// Extract implements [Extractor]. len(row) is the number of features.
func (a *AccessLog) Extract(value []byte, row []float64, s *Scratch) (Fields, error) {
	row = row[:len(a.plan.features)]
	for i := range row {
		row[i] = absent.nan()
	}
	l := logLine{reader: reader{data: value, row: row, plan: a.plan, scratch: s}}
	l.read()
	if l.fault != "" {
		return Fields{}, l.malformed()
	}
	for _, w := range a.wanted {
		l.take(w)
	}
	return l.settle()
}
