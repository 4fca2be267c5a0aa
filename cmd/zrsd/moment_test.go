package main

import (
	"testing"
	"time"
)

func TestATransactionIsGivenByItsTidOrByATime(t *testing.T) {
	zone := time.FixedZone("", 3600)
	for _, c := range []struct {
		text string
		end  bool
		want string // UTC; "" for an error
	}{
		{"03f8658025555555", false, "2024-05-06 08:00:08.750"},
		{"2026-01-31", false, "2026-01-30 23:00:00.000"},
		{"2026-01-31", true, "2026-01-31 23:00:00.000"},
		{"2026-01-31 14:05", false, "2026-01-31 13:05:00.000"},
		{"2026-01-31T14:05:09", true, "2026-01-31 13:05:09.000"},
		{"2026-01-31T14:05:09.25Z", false, "2026-01-31 14:05:09.250"},
		{"2026-01-31 14:05:09+02:00", false, "2026-01-31 12:05:09.000"},
		{"2026-31-01", false, ""},
		{"yesterday", false, ""},
		{"-1", false, ""},
	} {
		tid, err := parseMoment(c.text, zone, c.end)
		if (err != nil) != (c.want == "") {
			t.Errorf("%q: %v", c.text, err)
		}
		if got := tid.Time().Round(time.Millisecond).Format("2006-01-02 15:04:05.000"); err == nil && got != c.want {
			t.Errorf("%q is %s, want %s", c.text, got, c.want)
		}
	}
	if day, err := parseMoment("2026-01-31", zone, true); err != nil || day.Time().After(
		time.Date(2026, 1, 31, 23, 0, 0, 0, time.UTC)) {
		t.Errorf("the end of a day is %v, of the next one: %v", day, err)
	}
}
