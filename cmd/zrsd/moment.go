package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/zrsd/zrsd/zodb"
)

// momentHelp says how a transaction, or a time, is given.
const momentHelp = `A TID is 16 hexadecimal digits, as it is printed. A TIME is 2026-01-31, "2026-01-31 14:05" or
2026-01-31T14:05:09Z; without a zone it is this machine's. A day alone is its beginning after --from, and its end
after --to.`

// momentForms are the ways to write a time, those without a zone last.
var momentForms = []string{time.RFC3339Nano, "2006-01-02 15:04:05Z07:00", "2006-01-02T15:04Z07:00",
	"2006-01-02 15:04:05.999999999", "2006-01-02T15:04:05.999999999", "2006-01-02 15:04", "2006-01-02T15:04"}

// parseMoment reads a tid, or a time as the tid of a transaction of then. The zone is that of times without one. end: a
// day alone is its end.
func parseMoment(text string, zone *time.Location, end bool) (zodb.Tid, error) {
	if !strings.Contains(text, "-") {
		return zodb.ParseTid(text)
	}
	if day, err := time.ParseInLocation(time.DateOnly, text, zone); err == nil {
		if !end {
			return zodb.TidFromTime(day)
		}
		next, err := zodb.TidFromTime(day.AddDate(0, 0, 1))
		return next - 1, err
	}
	for _, form := range momentForms {
		if at, err := time.ParseInLocation(form, text, zone); err == nil {
			return zodb.TidFromTime(at)
		}
	}
	return 0, fmt.Errorf("time %q: write it as 2026-01-31, \"2026-01-31 14:05\" or 2026-01-31T14:05:09Z", text)
}

// optionalMoment reads the tid or the time of a flag, 0 where it was not given.
func optionalMoment(flag, text string, end bool) (zodb.Tid, error) {
	if text == "" {
		return 0, nil
	}
	tid, err := parseMoment(text, time.Local, end)
	return tid, flagError(flag, err)
}
