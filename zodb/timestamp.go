package zodb

import (
	"fmt"
	"math"
	"time"
)

// tick is the resolution of a tid within its minute, in seconds, as the float64 that ZODB divides by.
const tick = 60.0 / 65536 / 65536

// A TimeStamp is the calendar form of a tid, always UTC. Day 31 of a short month can occur in a decoded one.
type TimeStamp struct {
	Year, Month, Day, Hour, Minute int
	Second                         float64 // [0, 60)
}

// TimeStamp decodes the time in t. It never fails: every 64-bit number is a time.
func (t Tid) TimeStamp() TimeStamp {
	m := int(uint64(t) >> 32)
	return TimeStamp{
		Year:   m/535680 + 1900,
		Month:  m/44640%12 + 1,
		Day:    m/1440%31 + 1,
		Hour:   m / 60 % 24,
		Minute: m % 60,
		Second: float64(uint32(t)) * tick,
	}
}

// Tid encodes ts. Seconds are truncated to the resolution of a tid; years before 1900 or after 9999, and dates that no
// calendar has, are errors, as they are in ZODB. From the year 9917 on the minutes wrap around, as they do there too.
func (ts TimeStamp) Tid() (Tid, error) {
	if err := ts.check(); err != nil {
		return 0, err
	}
	return ts.encode(), nil
}

func (ts TimeStamp) encode() Tid {
	m := ((((ts.Year-1900)*12+ts.Month-1)*31+ts.Day-1)*24+ts.Hour)*60 + ts.Minute
	return Tid(uint64(uint32(m))<<32 | uint64(uint32(ts.Second/tick)))
}

func (ts TimeStamp) check() error {
	switch {
	case ts.Year < 1900 || ts.Year > 9999,
		ts.Month < 1 || ts.Month > 12,
		ts.Day < 1 || ts.Day > daysIn(ts.Year, ts.Month),
		ts.Hour < 0 || ts.Hour > 23,
		ts.Minute < 0 || ts.Minute > 59,
		!(ts.Second >= 0 && ts.Second < 60):
		return fmt.Errorf("no such time: %04d-%02d-%02d %02d:%02d:%v",
			ts.Year, ts.Month, ts.Day, ts.Hour, ts.Minute, ts.Second)
	}
	return nil
}

func daysIn(year, month int) int {
	return time.Date(year, time.Month(month)+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

// epoch is 1970-01-01 in seconds of the time scale on which ZODB adds up a date: it begins with the year 1901.
const epoch = 25202 * 86400

// Unix returns ts as Unix seconds. A 31st that the month does not have runs into the next month. The sum is rounded on
// the scale on which ZODB computes it, so that the last bit agrees.
func (ts TimeStamp) Unix() float64 {
	minute := time.Date(ts.Year, time.Month(ts.Month), ts.Day, ts.Hour, ts.Minute, 0, 0, time.UTC)
	return float64(minute.Unix()+epoch) + ts.Second - epoch
}

// Time returns the time in t with nanosecond resolution.
func (t Tid) Time() time.Time {
	ts := t.TimeStamp()
	minute := time.Date(ts.Year, time.Month(ts.Month), ts.Day, ts.Hour, ts.Minute, 0, 0, time.UTC)
	return minute.Add(time.Duration(ts.Second * float64(time.Second)))
}

// TidFromUnix encodes a clock reading in Unix seconds exactly as ZODB encodes time.time().
func TidFromUnix(t float64) (Tid, error) {
	c := time.Unix(int64(math.Floor(t)), 0).UTC()
	return TimeStamp{c.Year(), int(c.Month()), c.Day(), c.Hour(), c.Minute(), math.Mod(t, 60)}.Tid()
}

// TidFromTime encodes t, which must lie between 1900 and 9999.
func TidFromTime(t time.Time) (Tid, error) {
	c := t.UTC()
	second := float64(c.Second()) + float64(c.Nanosecond())/1e9
	return TimeStamp{c.Year(), int(c.Month()), c.Day(), c.Hour(), c.Minute(), second}.Tid()
}

// LaterThan returns now if it is above last, and otherwise the next tid above last. It is the rule by which a storage
// gives a new transaction its tid: the clock where it has moved on, the smallest step where it has not.
func LaterThan(now, last Tid) Tid {
	if now > last {
		return now
	}
	if uint32(last) != math.MaxUint32 {
		return last + 1
	}
	ts := last.TimeStamp()
	next := time.Date(ts.Year, time.Month(ts.Month), ts.Day, ts.Hour, ts.Minute+1, 0, 0, time.UTC)
	return TimeStamp{next.Year(), int(next.Month()), next.Day(), next.Hour(), next.Minute(), 0}.encode()
}
