package warning_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/internal/warning"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// What passes by itself is no warning, and a warning is as old as its condition.
func TestAConditionIsAWarningOnceItHasLasted(t *testing.T) {
	var l warning.List
	found := []warning.Condition{{Code: warning.UpstreamLag, Text: "behind"}}
	lasts := warning.Of(warning.UpstreamLag).After
	if got := l.Update(found, noon); len(got) > 0 {
		t.Errorf("at once: %v", got)
	}
	if got := l.Update(found, noon.Add(lasts-1)); len(got) > 0 {
		t.Errorf("too early: %v", got)
	}
	got := l.Update(found, noon.Add(lasts))
	if len(got) != 1 || !got[0].Since.Equal(noon) || got[0].Cure == "" || got[0].Severity != warning.Minor {
		t.Errorf("got %v", got)
	}
	l.Update(nil, noon.Add(lasts))
	if got := l.Update(found, noon.Add(2*lasts-1)); len(got) > 0 {
		t.Errorf("it began anew, and is a warning at once: %v", got)
	}
}

// Two conditions of one kind about the same thing are two warnings.
func TestNoConditionHidesAnother(t *testing.T) {
	var l warning.List
	got := l.Update([]warning.Condition{
		{Code: warning.FilesWrong, Text: "one"}, {Code: warning.FilesWrong, Text: "two"},
		{Code: warning.DiskLow, About: "/srv", Text: "low", Since: noon.Add(-time.Hour)},
	}, noon)
	if len(got) != 3 || got[0].Severity != warning.Critical || got[2].Code != warning.DiskLow {
		t.Errorf("got %v", got)
	}
}

func lines(b *bytes.Buffer) (list []string) {
	defer b.Reset()
	for line := range strings.Lines(b.String()) {
		list = append(list, line)
	}
	return list
}

// A warning has one line when it begins, with its code and its cure, and one when it is over.
func TestTheLogHasTheBeginningAndTheEnd(t *testing.T) {
	var out bytes.Buffer
	l := warning.NewLog(hclog.New(&hclog.LoggerOptions{Output: &out}))
	low := []warning.Warning{{Code: warning.DiskLow, Severity: warning.Minor, Text: "little room",
		Cure: "enlarge the disk", Since: noon}}
	l.Look(low, noon)
	l.Look(low, noon.Add(time.Second))
	if got := lines(&out); len(got) != 1 || !strings.Contains(got[0], "[WARN]") ||
		!strings.Contains(got[0], "little room: enlarge the disk") || !strings.Contains(got[0], "warning=disk_low") {
		t.Errorf("begin: %q", got)
	}
	l.Look(nil, noon.Add(time.Minute))
	if got := lines(&out); len(got) != 1 || !strings.Contains(got[0], "[INFO]  no longer: little room") {
		t.Errorf("end: %q", got)
	}
	for i := range 20 { // it comes and goes
		l.Look(low, noon.Add(time.Minute+time.Duration(i)*time.Second))
		l.Look(nil, noon.Add(time.Minute+time.Duration(i)*time.Second))
	}
	if got := lines(&out); len(got) > 0 {
		t.Errorf("it came back: %q", got)
	}
}

// What is logged where it is found has no second line.
func TestWhatOthersLogHasNoSecondLine(t *testing.T) {
	var out bytes.Buffer
	l := warning.NewLog(hclog.New(&hclog.LoggerOptions{Output: &out}))
	l.Look([]warning.Warning{{Code: warning.Conflict, Severity: warning.Critical, Text: "x", Since: noon}}, noon)
	l.Look(nil, noon)
	if got := lines(&out); len(got) > 0 {
		t.Errorf("got %q", got)
	}
}
