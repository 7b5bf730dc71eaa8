package shop

import "time"

// byHour is the number of visitors in each hour of a UTC day, relative to the mean.
var byHour = [24]float64{
	0.55, 0.35, 0.22, 0.17, 0.17, 0.25, 0.45, 0.70,
	0.90, 1.05, 1.15, 1.20, 1.30, 1.20, 1.10, 1.10,
	1.15, 1.25, 1.45, 1.75, 2.00, 1.90, 1.55, 1.09,
}

// byWeekday starts on a Sunday, as time.Weekday does.
var byWeekday = [7]float64{1.30, 0.95, 0.90, 0.90, 0.95, 0.90, 1.10}

// Load returns how busy the shop is at a time, relative to the mean of a week: 0.15
// in the small hours, 2.6 on a Sunday evening. Multiply a rate by it for traffic
// that breathes.
func Load(at time.Time) float64 {
	at = at.UTC()
	return byHour[at.Hour()] * byWeekday[at.Weekday()]
}
