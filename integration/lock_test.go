package integration

import (
	"strings"
	"testing"
)

// cannotOpen is the exit code of zrsd for a file that it cannot have.
const cannotOpen = 3

func TestZrsdDoesNotTouchADataFileThatPythonHasOpen(t *testing.T) {
	for role, flag := range map[string]string{"primary": "--replicate-to", "secondary": "--replicate-from"} {
		t.Run(role, func(t *testing.T) {
			s := newSite(t, false)
			owner := startOwner(t, s)
			owner.do(t, "commit 3")
			p := launch(t, role, s, flag, freeAddress(t))
			code, err := p.ExitCode(within(t))
			if err != nil {
				t.Fatal(err)
			}
			if code != cannotOpen {
				t.Errorf("zrsd %s ended with %d, want %d, as documented", role, code, cannotOpen)
			}
			if log := p.Log().String(); !strings.Contains(log, "lock") {
				t.Errorf("the operator is not told about the lock:\n%s", log)
			}
			owner.do(t, "commit 3")
			owner.close(t)
		})
	}
}

func TestPythonDoesNotOpenADataFileThatZrsdHasOpen(t *testing.T) {
	for role, flag := range map[string]string{"primary": "--replicate-to", "secondary": "--replicate-from"} {
		t.Run(role, func(t *testing.T) {
			s := newSite(t, false)
			startOwner(t, s).close(t)
			p := start(t, role, s, flag, freeAddress(t))
			owner := launchPython(t, "zodb", "owner.py", s.args()...)
			if err := owner.cmd.Wait(); owner.cmd.ProcessState.ExitCode() != lockedExit {
				t.Errorf("Python opened the file, or failed otherwise: %v\n%s", err, owner.stderr)
			}
			stop(t, p)
			startOwner(t, s).close(t)
		})
	}
}
