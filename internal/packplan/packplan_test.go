package packplan

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/vfs/simdisk"
)

// sunday is a scheduled time of "0 3 * * sun".
var sunday = time.Date(2026, 3, 1, 3, 0, 0, 0, time.UTC)

func weekly(t *testing.T) *Schedule {
	t.Helper()
	s, err := Parse("CRON_TZ=UTC 0 3 * * sun")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// has is a node that has packed for one time.
func has(name string, done time.Time) Member {
	return Member{ID: name, Name: name, State: &State{Since: sunday.AddDate(0, -1, 0), Done: &done}}
}

var week = -7 * 24 * time.Hour

func TestAScheduleIsThatOfACrontab(t *testing.T) {
	for text, next := range map[string]time.Time{
		"CRON_TZ=UTC 0 3 * * sun":           sunday.Add(-week),
		"CRON_TZ=UTC @daily":                sunday.Add(21 * time.Hour),
		"CRON_TZ=Europe/Berlin 30 4 1 * *":  sunday.Add(30 * time.Minute), // in winter
		"  CRON_TZ=UTC   15 22 * * mon-fri": time.Date(2026, 3, 2, 22, 15, 0, 0, time.UTC),
	} {
		if s, err := Parse(text); err != nil || !s.Next(sunday).Equal(next) {
			t.Errorf("%s: after %v comes %v, %v", text, sunday, s.Next(sunday), err)
		}
	}
}

func TestWhatIsNoScheduleIsRefusedWithAnExample(t *testing.T) {
	for _, text := range []string{"", "weekly Sun 03:00", "TZ=UTC", "CRON_TZ=", "TZ=Nowhere/Here 0 3 * * *", "0 3 * *",
		"@every 1h", "0 0 30 2 *", "61 * * * *", "0 3 * * * *", "\x00"} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), "0 3 * * sun") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// In a round the primary packs first, then the others by their names, one at a time; then nobody until the next time.
func TestEachNodePacksOnceThePrimaryFirst(t *testing.T) {
	last := sunday.Add(week)
	nodes := []Member{has("db2", last), has("db3", last), has("db1", last)}
	var order []string
	for now := sunday; ; now = now.Add(30 * time.Minute) {
		d := Decide(weekly(t), now, nodes)
		if d.Turn == nil {
			break
		}
		order = append(order, d.Turn.Name)
		d.Turn.Packing = true
		if again := Decide(weekly(t), now.Add(time.Minute), nodes); again.Turn != d.Turn {
			t.Errorf("while %s packs it is the turn of %v", d.Turn.Name, again.Turn)
		}
		d.Turn.Packing, d.Turn.State.Done = false, &d.Time
	}
	if got := strings.Join(order, " "); got != "db2 db1 db3" {
		t.Errorf("the order was %s", got)
	}
	if d := Decide(weekly(t), sunday.Add(-week-time.Second), nodes); d != (Decision{}) {
		t.Errorf("before the next time: %+v", d)
	}
}

// After a switchover the new primary ends what the old one has begun, without having written anything down before.
func TestANewPrimaryEndsARoundOfTheOldOne(t *testing.T) {
	last := sunday.Add(week)
	now := sunday.Add(3 * time.Hour) // too late for a new round
	nodes := []Member{has("db2", last), has("db1", sunday), has("db3", last)}
	if d := Decide(weekly(t), now, nodes); d.Turn != &nodes[0] || !d.Time.Equal(sunday) {
		t.Errorf("the new primary has not packed yet: %+v", d)
	}
	nodes[1].Packing = true // the old one is not done yet
	if d := Decide(weekly(t), now, nodes); d.Turn != nil || !strings.Contains(d.Waits, "db1 is being packed") {
		t.Errorf("while the old primary still packs: %+v", d)
	}
	nodes = []Member{has("db2", sunday), has("db1", sunday), has("db3", last)}
	if d := Decide(weekly(t), now, nodes); d.Turn != &nodes[2] {
		t.Errorf("db3 is left: %+v", d)
	}
}

func TestNobodyPacksWhileANodeIsOutOrBehindOrPacksByHand(t *testing.T) {
	last := sunday.Add(week)
	for why, change := range map[string]func(m *Member){
		"does not answer":  func(m *Member) { m.Out = "db3 does not answer" },
		"is being packed":  func(m *Member) { m.Packing, m.State = true, nil },
		"db3 is 40 s late": func(m *Member) { m.Out, m.State = "db3 is 40 s late", nil },
	} {
		nodes := []Member{has("db1", last), has("db2", last), has("db3", last)}
		change(&nodes[2])
		d := Decide(weekly(t), sunday.Add(Late-1), nodes)
		if d.Turn != nil || d.LeftOut != "" || !strings.Contains(d.Waits, why) {
			t.Errorf("%s: %+v", why, d)
		}
		d = Decide(weekly(t), sunday.Add(Late), nodes)
		if d.Turn != nil || d.Waits != "" || !strings.Contains(d.LeftOut, why) {
			t.Errorf("%s, too late: %+v", why, d)
		}
	}
}

// A time at which no process ran is met when one runs soon after, and is left out with a word otherwise.
func TestATimeThatWasMissedIsMetWithinTwoHours(t *testing.T) {
	alone := []Member{has("db1", sunday.Add(week))}
	if d := Decide(weekly(t), sunday.Add(Late-1), alone); d.Turn != &alone[0] || !d.Time.Equal(sunday) {
		t.Errorf("in time: %+v", d)
	}
	for _, late := range []time.Duration{Late, 5 * 24 * time.Hour, -week} {
		d := Decide(weekly(t), sunday.Add(late), alone)
		if late == -week { // the next time has come
			if d.Turn != &alone[0] || !d.Time.Equal(sunday.Add(late)) {
				t.Errorf("at the next time: %+v", d)
			}
			continue
		}
		if d.Turn != nil || !strings.Contains(d.LeftOut, "not running") {
			t.Errorf("%v late: %+v", late, d)
		}
	}
	if d := Decide(weekly(t), sunday.Add(time.Minute), []Member{{State: &State{Since: sunday}}}); d != (Decision{}) {
		t.Errorf("a new node has missed nothing: %+v", d)
	}
}

// A round that did not end is given up when the next time comes, but not while a node packs.
func TestARoundEndsWithTheNextTime(t *testing.T) {
	daily, err := Parse("CRON_TZ=UTC 0 3 * * *")
	if err != nil {
		t.Fatal(err)
	}
	nodes := []Member{has("db1", sunday), has("db2", sunday.AddDate(0, 0, -1))}
	next := sunday.AddDate(0, 0, 1)
	nodes[1].Packing = true
	if d := Decide(daily, next.Add(time.Hour), nodes); d.Turn != &nodes[1] || d.LeftOut != "" {
		t.Errorf("while db2 packs: %+v", d)
	}
	nodes[1].Packing, nodes[1].Out = false, "db2 is behind"
	d := Decide(daily, next, nodes)
	if !d.Time.Equal(sunday) || !strings.Contains(d.LeftOut, "db2 is behind") {
		t.Errorf("at the next time: %+v", d)
	}
	nodes[0].State.Since, nodes[1].Out = sunday, "" // that is noted
	if d := Decide(daily, next, nodes); d.Turn != &nodes[0] || !d.Time.Equal(next) {
		t.Errorf("the next round: %+v", d)
	}
}

func TestADoneOfTheFutureKeepsNobodyFromPacking(t *testing.T) {
	nodes := []Member{has("db1", sunday.Add(week)), has("db2", sunday.AddDate(100, 0, 0))}
	if d := Decide(weekly(t), sunday, nodes); d.Turn != &nodes[0] {
		t.Errorf("%+v", d)
	}
}

func TestASecondarySaysThatItHadNoTurn(t *testing.T) {
	own := has("db2", sunday.Add(week)).State
	if at := Missed(weekly(t), sunday.Add(longest-1), own); !at.IsZero() {
		t.Errorf("too early: %v", at)
	}
	if at := Missed(weekly(t), sunday.Add(longest), own); !at.Equal(sunday) {
		t.Errorf("after a day: %v", at)
	}
}

// What a node has done is known after a crash at any moment: it was done, or it is to be done.
func TestTheRecordOfPacksIsWholeAfterACrash(t *testing.T) {
	open := func(disk *simdisk.Disk) *Plan {
		t.Helper()
		p, err := Open(disk, "Data.fs", weekly(t), 1, sunday)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for stop := 1; ; stop++ {
		done := false
		for seed := range uint64(20) {
			disk := simdisk.New()
			p := open(disk)
			disk.PowerOffAt(len(disk.Ops()) + stop)
			done = p.Finish(sunday, sunday.Add(time.Hour), nil) == nil
			st := open(disk.Crash(seed)).State(sunday)
			if st.Done == nil && done || st.Done != nil && !st.Done.Equal(sunday) || !st.Since.Equal(sunday) {
				t.Errorf("stopped at operation %d, seed %d, done %v: %+v", stop, seed, done, st)
			}
		}
		if done {
			return
		}
	}
}

func TestARecordThatCannotBeReadIsBegunAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "Data.fs")
	if err := os.WriteFile(path+Suffix, []byte("{"), 0o666); err != nil {
		t.Fatal(err)
	}
	p, err := Open(nil, path, weekly(t), 1, sunday)
	if err == nil || p == nil || !p.State(sunday).Since.Equal(sunday) {
		t.Errorf("%v, %+v", err, p)
	}
	p, err = Open(nil, path, weekly(t), 1, sunday.Add(time.Hour))
	if err != nil || !p.State(sunday).Since.Equal(sunday) {
		t.Errorf("the next start: %v", err)
	}
}

func TestWhatWasLeftOutIsSaidUntilTheNodePacksAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "Data.fs")
	p, err := Open(nil, path, weekly(t), 1, sunday.Add(week))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.GiveUp(sunday, "db3 was out"); err != nil {
		t.Fatal(err)
	}
	if p, err = Open(nil, path, weekly(t), 1, sunday); err != nil {
		t.Fatal(err)
	}
	if st := p.State(sunday); st.LeftOut == nil || st.LeftOut.Why != "db3 was out" || !st.Since.Equal(sunday) {
		t.Errorf("after a restart: %+v", st)
	}
	failure := errors.New("no room")
	if err := p.Finish(sunday.Add(-week), sunday.Add(-week), failure); err != nil {
		t.Fatal(err)
	}
	if st := p.State(sunday); st.LeftOut != nil || st.Failed == nil || *st.Failed != "no room" {
		t.Errorf("after the next pack: %+v", st)
	}
}
