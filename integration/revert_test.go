package integration

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zrsd/zrsd/zodb"
)

// TestAClientReadsATreeThatWasReverted is a folder with a BTree and a blob that several transactions have spoiled: a
// client that is connected sees it as it was, by an ordinary commit, and a new one as well. The revert itself is undone
// like any other transaction.
func TestAClientReadsATreeThatWasReverted(t *testing.T) {
	t.Parallel()
	a := newSite(t, true)
	a.open(t).Close()
	zeo, at := freeAddress(t), filepath.Join(a.dir, "admin")
	start(t, "primary", a, "--replicate-to", freeAddress(t), "--zeo", zeo)
	client := startPython(t, "zodb", "revert.py", newSite(t, true).blobs, zeo)
	built := client.do(t, "build")
	spoiled := client.do(t, "break")
	args := []string{"revert", at, "--to", built.String(), "--oid", client.do(t, "oid").String(), "--subtree"}

	var plan struct {
		Objects, Left, Conflicts []struct{ Class, Why string }
	}
	decode(t, command(t, append(args, "--dry-run", "--json")...), &plan)
	if len(plan.Objects) < 4 || len(plan.Left) != 1 || len(plan.Conflicts) != 0 {
		t.Errorf("the dry run says %+v", plan)
	}
	if tid := lastTid(t, at); tid != spoiled {
		t.Errorf("the dry run has committed %v", tid)
	}
	command(t, append(args, "--user", "ann")...)
	reverted := lastTid(t, at)
	client.do(t, "see "+reverted.String())
	other := startPython(t, "zodb", "revert.py", newSite(t, true).blobs, zeo)
	other.do(t, "see "+reverted.String())
	if text := command(t, args...); !strings.Contains(text, "there is nothing to revert") {
		t.Errorf("the second time it says:\n%s", text)
	}
	command(t, "undo", at, reverted.String())
	if out, err := exec.CommandContext(within(t), zrsd, args[:len(args)-1]...).CombinedOutput(); err != nil {
		t.Errorf("a revert of the folder alone: %v\n%s", err, out)
	}
	other.close(t)
	client.close(t)
}

func lastTid(t *testing.T, admin string) (tid zodb.Tid) {
	t.Helper()
	var doc struct {
		Storage struct {
			LastTid zodb.Tid `json:"last_tid"`
		}
	}
	if err := json.Unmarshal([]byte(command(t, "status", admin, "--json")), &doc); err != nil {
		t.Fatal(err)
	}
	return doc.Storage.LastTid
}
