package watchdog

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
)

func lines(b *bytes.Buffer) []string {
	defer b.Reset()
	text := strings.TrimSpace(b.String())
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

// A wait that is too long is a stall until it is over, and a wait for something else is another one.
func TestAWaitThatIsTooLongIsAStall(t *testing.T) {
	var b Board
	p := b.Entry("a commit")
	p.Waits("the disk")
	begun := p.since
	p.Waits("the disk") // goes on
	if list := b.Stalls(begun.Add(Limit - 1)); len(list) > 0 {
		t.Errorf("too early: %v", list)
	}
	list := b.Stalls(begun.Add(Limit))
	if len(list) != 1 || list[0].String() != "a commit waits for the disk" || !list[0].Since.Equal(begun) {
		t.Errorf("got %v", list)
	}
	p.Waits("secondaries")
	if !p.since.After(begun) {
		t.Error("another wait did not begin anew")
	}
	p.Done()
	if list := b.Stalls(begun.Add(time.Hour)); len(list) > 0 {
		t.Errorf("over: %v", list)
	}
}

func TestTheLongestStallComesFirst(t *testing.T) {
	var b Board
	now := time.Now()
	b.Found("young", func() (string, time.Time) { return "x", now.Add(-Limit) })
	b.Found("old", func() (string, time.Time) { return "x", now.Add(-2 * Limit) })
	gone := b.Found("gone", func() (string, time.Time) { return "x", now.Add(-3 * Limit) })
	b.Found("nothing", func() (string, time.Time) { return "", time.Time{} })
	gone.Remove()
	if list := b.Stalls(now); len(list) != 2 || list[0].who != "old" || list[1].who != "young" {
		t.Errorf("got %v", list)
	}
}

// A process is started again for waits that it has with this machine, not for those that others have to end.
func TestOnlyAWaitForThisMachineMeansThatTheProcessHangs(t *testing.T) {
	var b Board
	p := b.Entry("a commit")
	p.Waits("the disk")
	if s := b.Stalls(p.since.Add(hungLimit - 1)); len(s) != 1 || s[0].Hung(p.since.Add(hungLimit-1)) {
		t.Errorf("too early: %v", s)
	}
	if s := b.Stalls(p.since.Add(hungLimit)); len(s) != 1 || !s[0].Hung(p.since.Add(hungLimit)) {
		t.Errorf("it does not hang: %v", s)
	}
	p.WaitsForOthers("secondaries")
	if s := b.Stalls(p.since.Add(time.Hour)); len(s) != 1 || s[0].Hung(p.since.Add(time.Hour)) {
		t.Errorf("secondaries make it hang: %v", s)
	}
}

// Who has no board notes nothing.
func TestWithoutABoardNothingIsNoted(t *testing.T) {
	var b *Board
	p := b.Entry("a commit")
	p.Waits("x")
	p.Done()
	p.Remove()
	b.Found("y", nil).Remove()
	if b.Stalls(time.Now()) != nil {
		t.Error("there are stalls")
	}
}

// A stall has a line when it begins, one a minute while it lasts, and one when it ends, however often one looks.
func TestTheLogOfAStallIsBounded(t *testing.T) {
	var out bytes.Buffer
	var b Board
	now := time.Now()
	what := "the disk"
	b.Found("a commit", func() (string, time.Time) { return what, now })
	d := NewDog(&b, hclog.New(&hclog.LoggerOptions{Output: &out}))
	for i := range 10 {
		d.Look(now.Add(time.Duration(i) * time.Second))
	}
	if got := lines(&out); len(got) > 0 {
		t.Errorf("too early: %q", got)
	}
	for i := range 180 {
		d.Look(now.Add(Limit + time.Duration(i)*time.Second))
	}
	if got := lines(
		&out,
	); len(got) != 3 ||
		!strings.Contains(got[0], "[ERROR] no progress: a commit waits for the disk") {
		t.Errorf("in three minutes: %q", got)
	}
	what = ""
	for i := range 10 {
		d.Look(now.Add(time.Hour + time.Duration(i)*time.Second))
	}
	if got := lines(&out); len(got) != 1 || !strings.Contains(got[0], "progress again") {
		t.Errorf("at the end: %q", got)
	}
}
