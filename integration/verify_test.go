package integration

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/check"
	"github.com/zrsd/zrsd/internal/daemon"
	"github.com/zrsd/zrsd/internal/verify"
)

// verified runs zrsd verify --json and returns the pass and the exit code.
func verified(t *testing.T, args ...string) (*verify.Pass, int) {
	t.Helper()
	args = append([]string{"verify", "--once", "--json"}, args...)
	out, err := exec.CommandContext(within(t), zrsd, args...).Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	pass := new(verify.Pass)
	if err := json.Unmarshal(out, pass); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if exit != nil {
		return pass, exit.ExitCode()
	}
	return pass, 0
}

// flipBit changes one bit of a file.
func flipBit(t *testing.T, path string, at int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	_, err = f.ReadAt(b[:], at)
	b[0] ^= 4
	if _, e := f.WriteAt(b[:], at); err != nil || e != nil {
		t.Fatal(err, e)
	}
}

func chainComplete(st *admin.Status) bool {
	c := st.Storage.Chain
	return c != nil && c.Tid != nil && c.Behind == 0 && *c.Tid == st.LastTid()
}

// A bit flips in the file of a running secondary: its verification finds it, names the record, and says that it is on
// this disk; that of the primary finds nothing; and recon names the node.
func TestABitThatFlipsUnderARunningNodeIsFoundAndNamed(t *testing.T) {
	source, target := newSite(t, true), newSite(t, true)
	last := ownHistory(t, source, 300)
	addr := freeAddress(t)
	primary := start(t, "primary", source, "--replicate-to", addr)
	secondary := start(t, "secondary", target, "--replicate-from", addr, "--replicate-to", freeAddress(t),
		"--heal", "ask")
	mustReach(t, secondary, last)
	admins := []string{filepath.Join(source.dir, "admin"), filepath.Join(target.dir, "admin")}
	for i, p := range []*daemon.Process{primary, secondary} {
		if _, err := p.Await(within(t), "its chain is complete", chainComplete); err != nil {
			t.Fatal(err)
		}
		pass, code := verified(t, admins[i], "--rate", "0")
		if code != 0 || pass.NoChange != 1 || pass.Damages > 0 || pass.Blobs == 0 || pass.BlobsRead != pass.Blobs ||
			pass.PeerBytes > 1e6 {
			t.Fatalf("exit code %d: %s %v", code, pass.Text(), pass.FailureNodes)
		}
	}
	info, err := os.Stat(target.data)
	if err != nil {
		t.Fatal(err)
	}
	at := min(info.Size()/2, info.Size()/(64<<10)*(64<<10)-100) // in a block that has a checksum
	flipBit(t, target.data, at)
	pass, code := verified(t, admins[1], "--rate", "0")
	named := false
	for i := range pass.Findings {
		f := &pass.Findings[i]
		t.Log(f.String())
		if f.Severity == check.Damage && f.Where != verify.Here {
			t.Error("not here: ", f.String())
		}
		named = named || f.Kind == verify.KindBlock && *f.Pos == at
	}
	if code != 1 || !named {
		t.Errorf("exit code %d, byte %d: %s", code, at, pass.Text())
	}
	if pass, code := verified(t, admins[0], "--rate", "0"); code != 0 || pass.Damages > 0 {
		t.Errorf("the primary: exit code %d: %s", code, pass.Text())
	}
	out, err := exec.CommandContext(within(t), zrsd, "recon", admins[0], admins[1]).Output()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(out), "DAMAGE on ") {
		t.Errorf("recon: %v\n%s", err, out)
	}
	flipBit(t, target.data, at) // as it was
	if pass, code := verified(t, admins[1], "--rate", "0"); code != 0 {
		t.Errorf("after it was healed: exit code %d: %s", code, pass.Text())
	}
	stop(t, secondary)
	stop(t, primary)
	mustBeIdentical(t, source, target)
}
