package integration

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zrsd/zrsd/zeo/client"
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

// TestARevertIsTriedAgainWhereNothingWasChanged has a client commit while a revert waits for it with its plan: the same
// record again, which the revert is good for all the same, and then another one, which it names.
func TestARevertIsTriedAgainWhereNothingWasChanged(t *testing.T) {
	t.Parallel()
	a := newSite(t, true)
	a.open(t).Close()
	zeo, at := freeAddress(t), filepath.Join(a.dir, "admin")
	start(t, "primary", a, "--replicate-to", freeAddress(t), "--zeo", zeo)
	python := startPython(t, "zodb", "revert.py", newSite(t, true).blobs, zeo)
	built := python.do(t, "build")
	python.do(t, "break")
	oid := zodb.Oid(python.do(t, "oid"))
	conn, err := client.Dial(within(t), []string{zeo}, client.Options{Storage: "1"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	args := []string{"revert", at, "--to", built.String(), "--oid", oid.String(), "--subtree"}
	text, err := revertBeside(t, conn, at, oid, args, func(record []byte) []byte {
		return bytes.Replace(record, []byte("new"), []byte("old"), 1)
	})
	if err == nil || !strings.Contains(text, "somebody has just changed object "+oid.String()) {
		t.Errorf("beside a change the revert says: %v\n%s", err, text)
	}
	text, err = revertBeside(t, conn, at, oid, args, slices.Clone)
	if err != nil || !strings.Contains(text, "reverted to "+built.String()) {
		t.Errorf("beside one who writes the same the revert says: %v\n%s", err, text)
	}
	python.do(t, "see "+lastTid(t, at).String())
	python.close(t)
}

// revertBeside runs a revert that waits for a transaction that writes an object.
func revertBeside(t *testing.T, conn *client.Conn, at string, oid zodb.Oid, args []string,
	change func([]byte) []byte) (string, error) {
	t.Helper()
	rev, err := conn.Load(within(t), oid)
	if err != nil {
		t.Fatal(err)
	}
	txn, err := conn.Begin(within(t), &zodb.TxnMeta{})
	if err == nil {
		err = txn.Store(within(t), oid, rev.Tid, change(rev.Data))
	}
	if err == nil {
		err = txn.Vote(within(t))
	}
	if err != nil {
		t.Fatal(err)
	}
	var text []byte
	done := make(chan error, 1)
	go func() {
		var err error
		text, err = exec.CommandContext(within(t), zrsd, args...).CombinedOutput()
		done <- err
	}()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !strings.Contains(command(t, "clients", at, "--json"), `"doing": "waiting"`) {
		select {
		case <-tick.C:
		case err := <-done:
			t.Fatalf("the revert did not wait: %v\n%s", err, text)
		}
	}
	if _, err := txn.Finish(within(t)); err != nil {
		t.Fatal(err)
	}
	err = <-done
	return string(text), err
}
