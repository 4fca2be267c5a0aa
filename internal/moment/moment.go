// Package moment reads how people name a moment of a history: a transaction, a time, or a time that moves on with the
// clock.
//
//	03f8658030000000                      the transaction with this tid
//	2026-01-31, "2026-01-31 14:05",       a time; without a zone it is this machine's
//	2026-01-31T14:05:09Z
//	yesterday, today                      the beginning of today: yesterday's last state, for all of today
//	each day at 06:30                     the last 06:30 that has been
//	each hour                             the last full hour
//	4h ago                                as far back from now
package moment

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/zrsd/zrsd/zodb"
)

// Forms is for messages: how a moment is written.
const Forms = "a TID of 16 hexadecimal digits, 2026-01-31, \"2026-01-31 14:05\", 2026-01-31T14:05:09Z, yesterday, " +
	"\"each day at 06:30\", \"each hour\" or \"4h ago\""

// timeForms are the ways to write a time, those without a zone last.
var timeForms = []string{time.RFC3339Nano, "2006-01-02 15:04:05Z07:00", "2006-01-02T15:04Z07:00",
	"2006-01-02 15:04:05.999999999", "2006-01-02T15:04:05.999999999", "2006-01-02 15:04", "2006-01-02T15:04"}

// ParseFixed reads a tid, or a time as the tid of a transaction of then. The zone is that of times without one. end: a
// day alone is its end.
func ParseFixed(text string, zone *time.Location, end bool) (zodb.Tid, error) {
	if !strings.Contains(text, "-") {
		tid, err := zodb.ParseTid(text)
		if err != nil {
			return 0, fmt.Errorf("%.100q is no tid of up to 16 hexadecimal digits, and no time, such as 2026-01-31, "+
				"\"2026-01-31 14:05\" or 2026-01-31T14:05:09Z", text)
		}
		return tid, nil
	}
	if day, err := time.ParseInLocation(time.DateOnly, text, zone); err == nil {
		if !end {
			return zodb.TidFromTime(day)
		}
		next, err := zodb.TidFromTime(day.AddDate(0, 0, 1))
		return next - 1, err
	}
	for _, form := range timeForms {
		if at, err := time.ParseInLocation(form, text, zone); err == nil {
			return zodb.TidFromTime(at)
		}
	}
	return 0, fmt.Errorf("time %q: write it as 2026-01-31, \"2026-01-31 14:05\" or 2026-01-31T14:05:09Z", text)
}

// A Spec is a moment as somebody has written it.
type Spec struct {
	text  string
	fixed zodb.Tid
	at    func(now time.Time) (moment, next time.Time) // nil: it is fixed
}

// Parse reads a moment. The zone is that of times without one.
func Parse(text string, zone *time.Location) (Spec, error) {
	text = strings.TrimSpace(text)
	s := Spec{text: text}
	clock, daily := strings.CutPrefix(text, "each day at ")
	ago, relative := strings.CutSuffix(text, " ago")
	switch {
	case text == "yesterday" || text == "today":
		s.at = daysAt(0, 0, zone)
		return s, nil
	case daily:
		at, err := time.Parse("15:04", strings.TrimSpace(clock))
		if err != nil {
			return s, fmt.Errorf("moment %q: write the time of day as 06:30", text)
		}
		s.at = daysAt(at.Hour(), at.Minute(), zone)
		return s, nil
	case text == "each hour":
		s.at = hours
		return s, nil
	case relative:
		d, err := parseAgo(ago)
		if err != nil {
			return s, fmt.Errorf("moment %q: %w", text, err)
		}
		s.at = func(now time.Time) (time.Time, time.Time) { return now.Add(-d), now.Add(agoStep) }
		return s, nil
	}
	var err error
	if s.fixed, err = ParseFixed(text, zone, false); err != nil {
		return s, fmt.Errorf("moment %q: write %s", text, Forms)
	}
	return s, nil
}

// agoStep is how often a moment that is so far back from now moves on.
const agoStep = time.Minute

// parseAgo reads a duration, also in days.
func parseAgo(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.Atoi(days)
		if err != nil || n < 1 || n > 36500 {
			return 0, fmt.Errorf("%q is no number of days: write 2d", text)
		}
		return time.Duration(n) * 24 * time.Hour, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%q is no duration: write 90m, 4h or 2d", text)
	}
	return d, nil
}

// daysAt is the last time of day that has been, and the next one. Days may have 23 or 25 hours.
func daysAt(hour, minute int, zone *time.Location) func(now time.Time) (moment, next time.Time) {
	return func(now time.Time) (moment, next time.Time) {
		now = now.In(zone)
		on := func(day int) time.Time {
			return time.Date(now.Year(), now.Month(), now.Day()+day, hour, minute, 0, 0, zone)
		}
		if today := on(0); !today.After(now) {
			return today, on(1)
		}
		return on(-1), on(0)
	}
}

func hours(now time.Time) (moment, next time.Time) {
	moment = now.Truncate(time.Hour)
	return moment, moment.Add(time.Hour)
}

// Fixed reports whether the moment is always the same.
func (s Spec) Fixed() bool { return s.at == nil }

// String is the text that was parsed.
func (s Spec) String() string { return s.text }

// At returns the moment as a tid: the state is that after the last transaction whose tid is not above. Next is when the
// moment is another one; zero: never.
func (s Spec) At(now time.Time) (tid zodb.Tid, next time.Time, err error) {
	if s.at == nil {
		return s.fixed, time.Time{}, nil
	}
	at, next := s.at(now)
	if tid, err = zodb.TidFromTime(at); err != nil {
		return 0, next, fmt.Errorf("moment %q: %w", s.text, err)
	}
	return tid - 1, next, nil // the transaction of 00:00:00.000 is one of the new day
}
