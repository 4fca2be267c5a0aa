package moment_test

import (
	"strings"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/moment"
	"github.com/zrsd/zrsd/zodb"
)

func TestAMomentThatMovesIsTheLastOneThatHasBeen(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	at := func(text string) time.Time {
		moment, err := time.ParseInLocation("2006-01-02 15:04:05", text, zone)
		if err != nil {
			t.Fatal(err)
		}
		return moment
	}
	for _, one := range []struct{ spec, now, want, next string }{
		{"yesterday", "2026-03-10 14:00:00", "2026-03-10 00:00:00", "2026-03-11 00:00:00"},
		{"yesterday", "2026-03-10 00:00:00", "2026-03-10 00:00:00", "2026-03-11 00:00:00"},
		{"each day at 06:30", "2026-03-10 06:29:59", "2026-03-09 06:30:00", "2026-03-10 06:30:00"},
		{"each day at 06:30", "2026-03-10 06:30:00", "2026-03-10 06:30:00", "2026-03-11 06:30:00"},
		// The clocks go forward in the night to the 29th, and back in the night to 2026-10-25.
		{"each day at 00:00", "2026-03-29 12:00:00", "2026-03-29 00:00:00", "2026-03-30 00:00:00"},
		{"each day at 00:00", "2026-10-25 12:00:00", "2026-10-25 00:00:00", "2026-10-26 00:00:00"},
		{"each hour", "2026-03-10 14:59:59", "2026-03-10 14:00:00", "2026-03-10 15:00:00"},
		{"4h ago", "2026-03-10 14:00:00", "2026-03-10 10:00:00", "2026-03-10 14:01:00"},
		{"2d ago", "2026-03-10 14:00:00", "2026-03-08 14:00:00", "2026-03-10 14:01:00"},
	} {
		spec, err := moment.Parse(one.spec, zone)
		if err != nil {
			t.Errorf("%s: %v", one.spec, err)
			continue
		}
		tid, next, err := spec.At(at(one.now))
		want, _ := zodb.TidFromTime(at(one.want))
		if err != nil || tid != want-1 || !next.Equal(at(one.next)) {
			t.Errorf("%s at %s: up to %v (%v), then at %v; want before %s, then at %s (%v)", one.spec, one.now, tid,
				tid.Time().In(zone), next, one.want, one.next, err)
		}
	}
}

func TestAFixedMomentStays(t *testing.T) {
	tid, err := zodb.TidFromTime(time.Date(2026, 1, 31, 14, 5, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{tid.String(), "2026-01-31 14:05", "2026-01-31T14:05:00Z"} {
		spec, err := moment.Parse(text, time.UTC)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got, next, err := spec.At(time.Now()); got != tid || !next.IsZero() || err != nil {
			t.Errorf("%s is %v, then at %v (%v)", text, got, next, err)
		}
	}
}

func TestWhatIsNoMomentIsToldHowItIsWritten(t *testing.T) {
	for _, text := range []string{"", "tomorrow", "each day at 25:00", "each day at noon", "-4h ago", "x ago", "0d ago",
		"2026-13-01"} {
		if _, err := moment.Parse(text, time.UTC); err == nil || !strings.Contains(err.Error(), "write") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

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
		tid, err := moment.ParseFixed(c.text, zone, c.end)
		if (err != nil) != (c.want == "") {
			t.Errorf("%q: %v", c.text, err)
		}
		if got := tid.Time().Round(time.Millisecond).Format("2006-01-02 15:04:05.000"); err == nil && got != c.want {
			t.Errorf("%q is %s, want %s", c.text, got, c.want)
		}
	}
	if day, err := moment.ParseFixed("2026-01-31", zone, true); err != nil || day.Time().After(
		time.Date(2026, 1, 31, 23, 0, 0, 0, time.UTC)) {
		t.Errorf("the end of a day is %v, of the next one: %v", day, err)
	}
}
