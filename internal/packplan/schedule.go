package packplan

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// A Schedule says at which times packs are made.
type Schedule struct {
	text string
	spec cron.Schedule
}

var crontab = cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)

const howTo = "give the five fields of a crontab, such as \"0 3 * * sun\" (minute, hour, day, month, day of the " +
	"week), or @daily, @weekly or @monthly"

// Parse reads the five fields of a crontab. The times are those of the machine's time zone, or of one that is named
// before: CRON_TZ=Europe/Berlin 0 3 * * sun.
func Parse(text string) (*Schedule, error) {
	text = strings.TrimSpace(text)
	zone, rest, _ := strings.Cut(text, " ")
	fields := text
	if strings.HasPrefix(zone, "TZ=") || strings.HasPrefix(zone, "CRON_TZ=") {
		fields = strings.TrimSpace(rest) // the library expects something to be there
	}
	switch {
	case fields == "":
		return nil, errors.New("the schedule is empty: " + howTo)
	case strings.HasPrefix(fields, "@every"):
		return nil, fmt.Errorf("%q has no times that are the same on all nodes: %s", text, howTo)
	}
	spec, err := crontab.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%q is no schedule (%w): %s", text, err, howTo)
	}
	s := &Schedule{text, spec}
	if s.Next(time.Now()).IsZero() {
		return nil, fmt.Errorf("%q never comes: %s", text, howTo)
	}
	return s, nil
}

// String returns the schedule as it was given.
func (s *Schedule) String() string { return s.text }

// Next returns the first time after t.
func (s *Schedule) Next(t time.Time) time.Time { return s.spec.Next(t) }

// last returns the latest time that is after one time and not after another one; zero: there is none.
func (s *Schedule) last(after, until time.Time) (t time.Time) {
	for next := s.Next(after); !next.IsZero() && !next.After(until); next = s.Next(next) {
		t = next
	}
	return t
}
