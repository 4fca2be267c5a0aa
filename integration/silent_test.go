package integration

import (
	"errors"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestANodeThatHangsIsFoundOut stops a primary, which goes on to take connections: what asks it ends by itself and says
// so, and of many blobs that only it has one is waited for.
func TestANodeThatHangsIsFoundOut(t *testing.T) {
	t.Parallel()
	const blobs, size = 100, 3000
	a, b := newSite(t, true), newSite(t, true)
	out, err := exec.CommandContext(t.Context(), python(t), "python/blob_readers.py", "fill", a.data, a.blobs,
		filepath.Join(a.dir, "list"), strconv.Itoa(blobs), strconv.Itoa(size)).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	to := freeAddress(t)
	primary := start(t, "primary", a, "--replicate-to", to)
	secondary := start(t, "secondary", b, "--replicate-from", to, "--blob-cache-size", strconv.Itoa(10*size))
	live(t, secondary)
	if err := primary.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	ends := func(code int, says string, args ...string) {
		t.Helper()
		out, err := exec.CommandContext(within(t), zrsd, args...).CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != code || !strings.Contains(string(out), says) {
			t.Errorf("zrsd %q: %v\n%s", args, err, out)
		}
	}
	ends(1, "not asked again", "blobs", "audit", filepath.Join(b.dir, "admin"), "--json")
	ends(4, "has answered nothing", "find", filepath.Join(a.dir, "admin"), "0x0")
	ends(4, "no answer within", "check", b.data, "--against", to)
	if err := primary.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	live(t, secondary)
	auditEvicted(t, b, true, blobs)
}
