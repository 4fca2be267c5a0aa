package integration

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// zeoPatience ends a run of ZEO's own tests, which take minutes.
const zeoPatience = 12 * time.Minute

// zeoTests runs tests of the newest ZEO package, unmodified, against the server that the command starts.
func zeoTests(t *testing.T, server []string, which ...string) {
	t.Helper()
	zeoTestsOf(t, python(t), server, which...)
}

// zeoTestsOf runs tests of the ZEO package that an interpreter has.
func zeoTestsOf(t *testing.T, interpreter string, server []string, which ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), zeoPatience, fmt.Errorf("patience of %v is over", zeoPatience))
	defer cancel()
	run := func(which []string) (string, error) {
		args := append(append([]string{"zeotests/run.py"}, server...), "--")
		out, err := exec.CommandContext(ctx, interpreter, append(args, which...)...).CombinedOutput()
		if err == nil && !strings.Contains(string(out), " 0 failures, 0 errors") {
			err = errors.New("it is not said that nothing failed")
		}
		return string(out), err
	}
	out, err := run(which)
	if late := outOfTimeOnly(out); err != nil && len(late) > 0 {
		reportAgain(t, late)
		out, err = run(only(late, which))
		if !ranTests.MatchString(out) {
			err = errors.Join(err, errors.New("no test was run again"))
		}
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// ranTests matches the closing line of a run that had tests.
var ranTests = regexp.MustCompile(`(?m)Ran [1-9][0-9]* tests`)

// TestZEOsOwnTestsAcceptAServerInAProcess proves the harness before it judges zrsd: with the real server as the command
// ZEO's tests pass, so what fails with another command is that command's fault.
func TestZEOsOwnTestsAcceptAServerInAProcess(t *testing.T) {
	t.Parallel()
	zeoTests(t, []string{python(t), "-m", "ZEO.runzeo"},
		"-m", "ZEO.tests.testZEO", "-t", "convenience|dont_log_poskeyerrors|tpc_finish_error")
}

func TestZEOsOwnTestsOfStoragesPassWithZrsd(t *testing.T) {
	t.Parallel()
	zeoTests(t, []string{zrsd, "serve"}, "-m", "ZEO.tests.testZEO")
}

func TestZEOsOwnTestsOfConnectionsPassWithZrsd(t *testing.T) {
	t.Parallel()
	zeoTests(t, []string{zrsd, "serve"}, "-m", "ZEO.tests.testConnection", "-m", "ZEO.tests.testConfig",
		"-m", "ZEO.tests.test_client_side_conflict_resolution", "-m", "ZEO.tests.test_client_credentials",
		"-m", "ZEO.tests.test_sync")
}

// ZEO 5's nagios.rst is left out for want of the pkg_resources that it was written for, on the client's side.
func TestTheOwnTestsOfZEO5PassWithZrsd(t *testing.T) {
	t.Parallel()
	zeoTestsOf(t, interpreter(t, "zeo5"), []string{zrsd, "serve"}, "-m", "ZEO.tests.testZEO$", "-t", "!nagios")
}

// TestZODBsStorageTestsPassThroughClientsOfZrsd runs what ZEO's own tests leave out of ZODB's, and fails when a test of
// ZODB's runs neither there nor here.
func TestZODBsStorageTestsPassThroughClientsOfZrsd(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(within(t), python(t), "zeotests/zodb_storages.py", zrsd, "serve")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
