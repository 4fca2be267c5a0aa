package integration

import (
	"os/exec"
	"strings"
	"testing"
)

// TestZEOsOwnTestsAcceptAServerInAProcess proves the harness before it judges zrsd: with the real server as the command
// ZEO's tests pass, so what fails with another command is that command's fault.
func TestZEOsOwnTestsAcceptAServerInAProcess(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(within(t), python(t), "zeotests/run.py", python(t), "-m", "ZEO.runzeo", "--",
		"-m", "ZEO.tests.testZEO", "-t", "convenience|dont_log_poskeyerrors|tpc_finish_error")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), " 0 failures, 0 errors") {
		t.Fatalf("%v\n%s", err, out)
	}
}
