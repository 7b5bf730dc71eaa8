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
	b = append(appendOffset(b, offset), '"')
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
	b = appendOffset(b, offset)
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
	if f >= 1e-6 && f < 1 {
		return appendFraction(b, f)
	}
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
	days := uint32(ms / 86400000)
	milli := uint32(ms - int64(days)*86400000)
	// Years begin in March here, so that leap days are their last; after Cassio Neri and
	// Lorenz Schneider, "Euclidean affine functions and their application to calendar algorithms".
	quarters := 4*(days+719468) + 3 // of days, since March of the year 0
	century := quarters / 146097
	scaled := 2939745 * uint64(quarters%146097|3)
	year := uint32(scaled >> 32)
	day := uint32(scaled) / 2939745 / 4
	march := 2141*day + 197913
	month := march >> 16
	if month > 12 {
		month -= 12
		year++
	}
	if year == 100 {
		century, year = century+1, 0
	}
	b = append(b, "0000-00-00T00:00:00.000Z"...)
	t := (*[24]byte)(b[len(b)-24:])
	second := milli / 1000
	minute := second / 60
	hour := minute / 60
	two(t[0:], century)
	two(t[2:], year)
	two(t[5:], month)
	two(t[8:], march&0xffff/2141+1)
	two(t[11:], hour)
	two(t[14:], minute-hour*60)
	two(t[17:], second-minute*60)
	milli -= second * 1000
	two(t[20:], milli/10)
	t[22] += byte(milli % 10)
	return b
}

// two writes the two digits of v over zeros.
func two(b []byte, v uint32) {
	tens := v / 10
	b[1] += byte(v - tens*10)
	b[0] += byte(tens)
}

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
