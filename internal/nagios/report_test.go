package nagios

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/zodb"
)

// The tids of the test of zc.zrs's own manual: the secondary is 68.5678 seconds behind.
func at(t *testing.T, second float64) zodb.Tid {
	t.Helper()
	tid, err := zodb.TidFromUnix(1420364223.0 + second)
	if err != nil {
		t.Fatal(err)
	}
	return tid
}

func TestTheTextsAreThoseOfTheManual(t *testing.T) {
	current, old := at(t, 68.5678), at(t, 0)
	one := func(tid zodb.Tid) Storages { return Storages{"1": tid} }
	several := [2]Storages{
		{"first": current, "second": 0, "1": 0, "friday": 0},
		{"first": old, "second": 0, "1": 0, "thursday": 0},
	}
	for _, c := range []struct {
		primary, secondary Storages
		opt                Options
		text               string
		level              Level
	}{
		{one(current), one(old), Options{Metrics: true},
			"Secondary behind primary by 68.5678 seconds|'lag'=68.5678seconds\n", levelOK},
		{one(current), one(old), Options{WarningLag: 99}, "Secondary behind primary by 68.5678 seconds\n", levelOK},
		{one(current), one(old), Options{WarningLag: 30},
			"Secondary behind primary by 68.5678 seconds > 30\n", levelWarning},
		{one(current), one(old), Options{ErrorLag: 99}, "Secondary behind primary by 68.5678 seconds\n", levelOK},
		{one(current), one(old), Options{ErrorLag: 30}, "Secondary behind primary by 68.5678 seconds > 30\n",
			levelCritical},
		{one(current), one(old), Options{WarningLag: 33, ErrorLag: 99, Metrics: true},
			"Secondary behind primary by 68.5678 seconds > 33|'lag'=68.5678seconds\n", levelWarning},
		{one(current), one(old), Options{WarningLag: 33, ErrorLag: 44, Metrics: true},
			"Secondary behind primary by 68.5678 seconds > 44|'lag'=68.5678seconds\n", levelCritical},
		{one(current), one(current), Options{Metrics: true}, "Secondary up to date.|'lag'=0.0000seconds\n", levelOK},
		{Storages{}, Storages{}, Options{Metrics: true}, "No storages\n", levelWarning},
		{several[0], several[1], Options{WarningLag: 33, ErrorLag: 99, Metrics: true},
			`Secondary up to date.|'lag'=0.0000seconds
Secondary ('first') behind primary by 68.5678 seconds > 33
Storage 'friday' in primary, but not secondary
Secondary ('second') up to date.
Storage 'thursday' in secondary, but not primary| 'lagfirst'=68.5678seconds
 'lagsecond'=0.0000seconds
`, levelCritical},
		{several[0], several[1], Options{WarningLag: 33, ErrorLag: 44}, `Secondary up to date.
Secondary ('first') behind primary by 68.5678 seconds > 44
Storage 'friday' in primary, but not secondary
Secondary ('second') up to date.
Storage 'thursday' in secondary, but not primary
`, levelCritical},
	} {
		text, level := Report(c.primary, c.secondary, c.opt)
		if diff := cmp.Diff(c.text, text); diff != "" || level != c.level {
			t.Errorf("%+v: level %d, want %d; %s", c.opt, level, c.level, diff)
		}
	}
}

func TestASecondaryThatIsAheadIsCritical(t *testing.T) {
	text, level := Report(Storages{"1": at(t, 0)}, Storages{"1": at(t, 8)}, Options{WarningLag: 99})
	if want := "Primary behind secondary by -8.0 seconds\n"; text != want || level != levelCritical {
		t.Errorf("level %d, %q, want %q", level, text, want)
	}
}

func TestAFailureIsToldAsPythonTellsIt(t *testing.T) {
	refused := &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	for _, c := range []struct {
		err  error
		want string
	}{
		{&connectError{fmt.Errorf("connecting: %w", refused)},
			"Can't connect to primary at 'localhost:1': [Errno 111] Connection refused\n"},
		{&connectError{&net.DNSError{IsNotFound: true}},
			"Can't connect to primary at 'localhost:1': [Errno -2] Name or service not known\n"},
		{&connectError{errors.New("no way")}, "Can't connect to primary at 'localhost:1': no way\n"},
		{errors.New("no\nstatus"), "Can't get the status of primary at 'localhost:1': no status\n"},
	} {
		if text, level := Failure("primary", "localhost:1", c.err); text != c.want || level != levelCritical {
			t.Errorf("level %d, %q, want %q", level, text, c.want)
		}
	}
}

// The wanted forms were printed by Python 3.11.
func TestFormsOfPython(t *testing.T) {
	for s, want := range map[string]string{
		"main": `'main'`, "": `''`, "it's": `"it's"`, `"it's"`: `'"it\'s"'`, `a\b`: `'a\\b'`, "a\tb\r\n": `'a\tb\r\n'`,
		"\x1b": `'\x1b'`, "grün": `'grün'`, "\u2028": `'\u2028'`, "\U000e0001": `'\U000e0001'`, "\u00a0": `'\xa0'`,
	} {
		if got := pythonString(s); got != want {
			t.Errorf("%q is %s, want %s", s, got, want)
		}
	}
	for f, want := range map[float64]string{
		-8: "-8.0", 68.5678: "68.5678", -68.56780004501343: "-68.56780004501343", -1e-5: "-1e-05", 1e-4: "0.0001",
		1e16: "1e+16", 123456789012345.0: "123456789012345.0", 0: "0.0",
	} {
		if got := pythonFloat(f); got != want {
			t.Errorf("%v is %s, want %s", f, got, want)
		}
	}
}

func TestATransactionInTheFutureIsAWarning(t *testing.T) {
	tid := at(t, 0)
	for ahead, want := range map[time.Duration]Level{0: levelOK, time.Hour: levelWarning} {
		now := tid.Time().Add(-ahead)
		text, level := Report(Storages{"1": tid}, Storages{"1": tid}, Options{Now: now, Metrics: true})
		if level != want || strings.Contains(text, "3600 seconds in the future") != (want == levelWarning) {
			t.Errorf("%v ahead: %v %q", ahead, level, text)
		}
	}
}
