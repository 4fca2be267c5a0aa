package admin

import (
	"strings"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/histogram"
)

// at is the status of a storage some seconds after it began, with so many commits of 2 ms each.
func at(seconds int, commits int64) *Status {
	var times histogram.Histogram
	for range commits {
		times.Observe(2 * time.Millisecond)
	}
	return &Status{Name: "a", Now: time.Unix(int64(seconds), 0), ZEO: &ZEO{Commits: commits, Loads: 10 * commits,
		Commit: DurationsOf(times.Snapshot())}}
}

func TestRatesAreThoseOfTheLastMinute(t *testing.T) {
	h := newHistory(nil)
	for s := 0; s <= 300; s += 5 {
		commits := int64(2 * s)
		if s > 200 {
			commits = 400 // it is idle
		}
		h.add(at(s, commits))
		r := h.recent()
		switch {
		case s == 0 && r.Commits != nil:
			t.Error("there is a rate of one sample")
		case s == 100 && (*r.Commits != 2 || *r.Loads != 20 || *r.CommitP99 > 0.003):
			t.Errorf("after 100 s the rates are %v, %v and %v", *r.Commits, *r.Loads, *r.CommitP99)
		case s == 300 && (*r.Commits != 0 || r.CommitP99 != nil):
			t.Errorf("while it is idle the rate is %v", *r.Commits)
		}
	}
}

// Counts begin anew when a storage is opened again. That is no rate below zero.
func TestCountsThatBeginAnewAreNoRate(t *testing.T) {
	h := newHistory(nil)
	h.add(at(0, 100))
	h.add(at(5, 3))
	if r := h.recent(); r.Commits != nil {
		t.Errorf("the rate is %v", *r.Commits)
	}
}

func TestAnHourIsKeptAndNoMore(t *testing.T) {
	h := newHistory(nil)
	for s := range 2 * maxSamples {
		h.add(at(5*s, 0))
	}
	all := h.all()
	if len(all) != maxSamples || all[0].zeo != nil || all[len(all)-1].zeo == nil {
		t.Errorf("there are %d samples", len(all))
	}
}

func TestTheDayWhenADiskIsFullIsToldOnceItIsKnown(t *testing.T) {
	h := newHistory(nil)
	const gib = 1 << 30
	hours := int(minDiskTime.Hours())
	disk := Disk{Folder: "/srv", Size: 100 * gib}
	for hour := range 24 {
		now := time.Unix(0, 0).Add(time.Duration(hour) * time.Hour)
		disk.Free = int64(48-hour) * gib
		h.add(&Status{Now: now, Storage: Storage{Disks: []Disk{disk}}})
		got := h.fullDay(&disk, nil, now)
		switch {
		case hour < hours-1 && got.known:
			t.Errorf("after %d hours the day is known", hour)
		case hour >= hours-1 && got.at.Sub(time.Unix(0, 0)).Round(time.Minute) != 48*time.Hour:
			t.Errorf("after %d hours it is full at %v", hour, got.at)
		}
	}
	full := Disk{Folder: "/srv", Free: 40 * gib}
	for hour := range 24 {
		h.disks["/srv"][hour].free = 40 * gib
	}
	if got := h.fullDay(&full, nil, time.Unix(24*3600, 0)); !got.known || !got.at.IsZero() {
		t.Errorf("a disk that does not fill up is full at %v", got.at)
	}
}

// Where nothing was known a line has a gap, and it ends within the drawing.
func TestALineHasGapsWhereNothingIsKnown(t *testing.T) {
	now := time.Unix(3600, 0)
	var samples []sample
	for s := 0; s <= 3600; s += 5 {
		v := sample{at: time.Unix(int64(s), 0), rate: rates{Commits: Known(float64(s))}}
		if s > 1000 && s < 2000 {
			v.rate.Commits = nil
		}
		samples = append(samples, v)
	}
	c := chartOf("x", "X", samples, now, inNumbers, []series{{"commits", func(s *sample) *float64 {
		return s.rate.Commits
	}}})
	if got := c.Lines[0]; len(got.Paths) != 2 || got.Now != "3,600" || strings.Contains(got.Paths[1], "-") {
		t.Errorf("the line is %+v", got)
	}
	if c.Rows[2].Label != "5,000" || !strings.Contains(c.About, "highest 3,600") {
		t.Errorf("the axis ends at %s; %s", c.Rows[2].Label, c.About)
	}
}

func TestSizesAndTimesAreWrittenInTheUnitThatFits(t *testing.T) {
	for want, n := range map[string]int64{
		"0 B": 0, "1023 B": 1023, "1.0 KiB": 1024, "7.2 MiB": 7405 << 10, "1.0 MiB": 1<<20 - 1, "252.0 GiB": 252 << 30,
		"1.5 TiB": 3 << 39, "8.0 PiB": 1 << 53,
	} {
		if got := bytesText(&n); got != want {
			t.Errorf("%d bytes are %q, want %q", n, got, want)
		}
	}
	for want, s := range map[string]float64{
		"0 s": 0, "85 µs": 85e-6, "1.0 ms": 0.001, "12 ms": 0.012, "2.5 s": 2.5, "59 s": 59, "1 min": 59.99,
		"1 h 1 min": 3660, "3 d 2 h": 74 * 3600,
	} {
		if got := spanText(&s); got != want {
			t.Errorf("%v s are %q, want %q", s, got, want)
		}
	}
}

// A process that has just begun knows from the data file how fast the disk fills up.
func TestTheDayOfTheFullDiskIsKnownAtOnce(t *testing.T) {
	h, now := newHistory(nil), time.Unix(1_000_000_000, 0)
	var growth []Size
	for day := range 11 { // 10 bytes a day
		growth = append(growth, Size{At: now.AddDate(0, 0, day-10), Bytes: int64(1000 + 10*day)})
	}
	full := now.Add(50 * 24 * time.Hour).Round(time.Minute)
	disk := Disk{Folder: "/srv", Free: 500}
	if got := h.fullDay(&disk, growth, now); !got.known || !got.at.Round(time.Minute).Equal(full) {
		t.Errorf("with 500 bytes left, and 10 more a day, it is full on %v", got)
	}
	if got := h.fullDay(&disk, growth[9:], now); !got.known {
		t.Error("a day is enough")
	}
	if got := h.fullDay(&disk, growth[10:], now); got.known {
		t.Errorf("a file that has just begun says nothing: %v", got)
	}
	h.addDisks(&Status{Now: now, Storage: Storage{Disks: []Disk{{Folder: "/srv", Free: 500}}}})
	disk.Free = 490 // a day later
	if got := h.fullDay(&disk, growth, now.AddDate(0, 0, 1)); !got.known || !got.at.Round(time.Minute).Equal(full) {
		t.Errorf("what was measured and what was before do not fit together: %v", got)
	}
}
