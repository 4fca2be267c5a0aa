package integration

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// A test of ZEO's own that waits a few seconds for something runs out of time on a machine that does other work. Such
// tests are run again once, alone, and that is reported: a server that is wrong fails twice.

// maxAgain is how many tests of one run may be run again: more are no accident.
const maxAgain = 3

// againReport names a file to which it is reported which tests were run again. go test shows no output of what passes.
const againReport = "ZRSD_RUN_AGAIN"

var (
	failedTest = regexp.MustCompile(`(?m)^(?:Failure|Error) in test (.+)$`)
	outOfTime  = regexp.MustCompile(`(?i)timed out|TimeOutWaitingFor|TimeoutError`)
)

// outOfTimeOnly returns the tests of a run of zope.testrunner that failed, if all of them ran out of time.
func outOfTimeOnly(out string) []string {
	var names []string
	at := failedTest.FindAllStringSubmatchIndex(out, -1)
	for i, m := range at {
		end := len(out)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		if !outOfTime.MatchString(out[m[1]:end]) {
			return nil
		}
		names = append(names, strings.TrimSpace(out[m[2]:m[3]]))
	}
	if len(names) > maxAgain {
		return nil
	}
	return names
}

// only returns the options that select these tests in the modules of which a run had tests.
func only(names, which []string) []string {
	var options []string
	for i := 0; i+1 < len(which); i += 2 {
		if which[i] == "-m" {
			options = append(options, which[i:i+2]...)
		}
	}
	for _, name := range names {
		options = append(options, "-t", "^"+regexp.QuoteMeta(name))
	}
	return options
}

// reportAgain says that tests were run again.
func reportAgain(t *testing.T, names []string) {
	t.Helper()
	line := fmt.Sprintf("%s: ran out of time and was run again: %s\n", t.Name(), strings.Join(names, "; "))
	t.Log(line)
	path := os.Getenv(againReport)
	if path == "" {
		return
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(line); err != nil {
		t.Error(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

func TestOnlyWhatRanOutOfTimeIsRunAgain(t *testing.T) {
	const late = "\nFailure in test runzeo_logrotate_on_sigusr2 (ZEO.tests.testZEO)\nFailed doctest test for ...\n" +
		"    AssertionError: ('Timed out waiting for: ', 'See logging')\n"
	const wrong = "\nError in test check_x (ZEO.tests.testZEO.FileStorageTests.check_x)\nTraceback:\nPOSKeyError: " +
		"0x01\n"
	for _, c := range []struct {
		out  string
		want int
	}{{"", 0}, {late, 1}, {late + late, 2}, {wrong, 0}, {late + wrong, 0}, {wrong + late, 0},
		{strings.Repeat(late, maxAgain+1), 0}} {
		if got := outOfTimeOnly(c.out); len(got) != c.want {
			t.Errorf("%q is run again after %q", got, c.out)
		}
	}
	got := strings.Join(only(outOfTimeOnly(late), []string{"-m", "ZEO.tests.testZEO$", "-t", "!nagios"}), " ")
	if want := `-m ZEO.tests.testZEO$ -t ^runzeo_logrotate_on_sigusr2 \(ZEO\.tests\.testZEO\)`; got != want {
		t.Errorf("the options are %s", got)
	}
}
