package stream

import (
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"scry/predictor"
)

// An encoder writes the predictions of one deployment. It is immutable. The shapes
// are the contracts in docs/schemas: prediction.json and cache.json.
type encoder struct {
	outputs   int
	threshold float64
	labels    [][]byte // `,"label":"buy"`, by class; nil without labels
	classes   [][]byte // `"buy":`, by class: keys of "scores"; nil with two classes or fewer
	model     []byte   // `,"model_name":…,"model_version":…,"arm":"champion","event_time":"`
	cached    []byte   // `,"model":"name/version","event_time":"`
}

func newEncoder(d *predictor.Deployment) *encoder {
	e := &encoder{outputs: len(d.Model.Outputs()), threshold: d.Threshold}
	for _, l := range d.Labels {
		e.labels = append(e.labels, appendString([]byte(`,"label":`), []byte(l)))
	}
	if e.outputs > 1 {
		names := d.Labels
		if len(names) != e.outputs {
			names = d.Model.Outputs()
		}
		for _, n := range names {
			e.classes = append(e.classes, append(appendString(nil, []byte(n)), ':'))
		}
	}
	e.model = appendString([]byte(`,"model_name":`), []byte(d.Name))
	e.model = appendString(append(e.model, `,"model_version":`...), []byte(d.Version))
	e.model = append(e.model, `,"arm":"champion","event_time":"`...)
	e.cached = appendString([]byte(`,"model":`), []byte(d.Name+"/"+d.Version))
	e.cached = append(e.cached, `,"event_time":"`...)
	return e
}

// prediction appends the output topic's value for one row. id is the prediction's
// prefix up to the offset (see source.id); outcome and times are as the methods of the
// same names append them: topic and cache share them.
func (e *encoder) prediction(b, id []byte, offset int64, entity, outcome, times []byte) []byte {
	b = append(append(b, '{'), id...)
	b = append(strconv.AppendInt(b, offset, 10), '"')
	if entity != nil {
		b = appendString(append(b, `,"entity":`...), entity)
	}
	if len(outcome) == 0 {
		b = append(b, `,"deleted":true`...) // the header of a tombstone
	}
	b = append(b, outcome...)
	b = append(b, e.model...)
	b = append(b, times...)
	return append(b, '}')
}

// cacheValue appends the Redis value for one row. Its first member is the version,
// which the guard reads by position. An empty outcome is a tombstone's.
func (e *encoder) cacheValue(b []byte, v *Version, id []byte, offset int64, outcome, times []byte) []byte {
	b = append(append(append(b, `{"v":"`...), v[:]...), '"')
	if len(outcome) == 0 {
		b = append(b, `,"deleted":true`...)
	}
	b = append(b, outcome...)
	b = append(b, e.cached...)
	b = append(b, times...)
	b = append(append(b, ','), id...)
	b = strconv.AppendInt(b, offset, 10)
	return append(b, '"', '}')
}

// times appends what follows `"event_time":"`, to the quote that closes scored_at.
func (e *encoder) times(b []byte, eventTime int64, scoredAt []byte) []byte {
	b = append(appendTime(b, eventTime), `","scored_at":"`...)
	return append(append(b, scoredAt...), '"')
}

// decide returns a prediction's score and the class of its label. The score of several
// classes is the greatest one's.
func decide(scores []float64, threshold float64) (score float64, class int) {
	score = scores[0]
	if len(scores) > 1 {
		for i, s := range scores {
			if s > score {
				score, class = s, i
			}
		}
	} else if score >= threshold {
		class = 1
	}
	return score, class
}

// outcome appends score, label and, with more than two classes, scores.
func (e *encoder) outcome(b []byte, scores []float64) []byte {
	score, class := decide(scores, e.threshold)
	b = appendScore(append(b, `,"score":`...), score)
	if class < len(e.labels) {
		b = append(b, e.labels[class]...)
	}
	if e.classes != nil {
		b = append(b, `,"scores":{`...)
		for i, s := range scores {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendScore(append(b, e.classes[i]...), s)
		}
		b = append(b, '}')
	}
	return b
}

// appendScore writes the shortest decimal that reads back as exactly f. JSON has no
// NaN and no infinity: null stands for them.
func appendScore(b []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(b, "null"...)
	}
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		return strconv.AppendFloat(b, f, 'e', -1, 64)
	}
	return strconv.AppendFloat(b, f, 'f', -1, 64)
}

// appendTime writes Unix milliseconds as RFC 3339 in UTC, 2026-11-24T10:00:00.123Z.
// ms is at least 0 and below the year 10000 (see clampEventTime).
func appendTime(b []byte, ms int64) []byte {
	days, rest := ms/86400000, ms%86400000
	// Civil date from days since 1970, counting years from March; after Howard
	// Hinnant, "chrono-compatible low-level date algorithms".
	z := days + 719468
	era := z / 146097
	doe := z - era*146097
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	day := doy - (153*mp+2)/5 + 1
	month := mp + 3
	year := yoe + era*400
	if month > 12 {
		month -= 12
		year++
	}
	b = append(b, byte('0'+year/1000%10), byte('0'+year/100%10), byte('0'+year/10%10), byte('0'+year%10), '-')
	b = append(two(b, month), '-')
	b = append(two(b, day), 'T')
	b = append(two(b, rest/3600000), ':')
	b = append(two(b, rest/60000%60), ':')
	b = append(two(b, rest/1000%60), '.')
	return append(b, byte('0'+rest/100%10), byte('0'+rest/10%10), byte('0'+rest%10), 'Z')
}

func two(b []byte, v int64) []byte { return append(b, byte('0'+v/10), byte('0'+v%10)) }

func formatTime(t time.Time) []byte { return appendTime(nil, max(t.UnixMilli(), 0)) }

// appendString writes s as a JSON string. What is not UTF-8 becomes U+FFFD.
func appendString(b, s []byte) []byte {
	b = append(b, '"')
	plain := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			if r, n := utf8.DecodeRune(s[i:]); r != utf8.RuneError || n > 1 {
				i += n
				continue
			}
		}
		b = append(b, s[plain:i]...)
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c >= utf8.RuneSelf:
			b = append(b, "\uFFFD"...)
		default:
			const hex = "0123456789abcdef"
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		i++
		plain = i
	}
	return append(append(b, s[plain:]...), '"')
}
