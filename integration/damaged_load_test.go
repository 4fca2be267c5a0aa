package integration

import (
	"errors"
	"iter"
	"os"
	"path/filepath"
	"testing"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/daemon"
	"github.com/zrsd/zrsd/zodb"
)

// Real clients load from a node some of whose records are damaged: they get what the other node has, on a primary as on
// a secondary, before anybody has agreed to a repair.
func TestRealClientsGetDamagedRecordsFromTheOtherNode(t *testing.T) {
	source, target := newSite(t, true), newSite(t, true)
	source.open(t).Close()
	to, first, second := freeAddress(t), freeAddress(t), freeAddress(t)
	args := []string{"--verify-interval", "0", "--heal", "ask", "--zeo"}
	primary := start(t, "primary", source, append(args, first, "--replicate-to", to)...)
	secondary := start(t, "secondary", target, append(args, second, "--replicate-from", to, "--replicate-to",
		freeAddress(t))...)
	writer := startPython(t, "zodb", "zeo_client.py", newSite(t, true).blobs, first)
	writer.do(t, "create 9")
	last := writer.do(t, "commit 10")
	writer.close(t)
	mustReach(t, secondary, last)
	for _, node := range []struct {
		site *site
		zeo  string
		p    *daemon.Process
	}{{source, first, primary}, {target, second, secondary}} {
		if _, err := node.p.Await(within(t), "its chain is complete", chainComplete); err != nil {
			t.Fatal(err)
		}
		places := currentRecords(t, node.site.data)
		for _, at := range places {
			flipBit(t, node.site.data, at+6) // the oid
		}
		for _, environment := range []string{"zodb", "zeo5"} {
			reader := startPython(t, environment, "zeo_reader.py", "reader", newSite(t, true).blobs, node.zeo)
			reader.do(t, "see "+last.String())
			reader.close(t)
		}
		_, err := node.p.Await(within(t), "it says so", func(st *admin.Status) bool {
			return st.Heal.Answered > 0 && st.Heal.Unanswered == 0 && st.Heal.Pending > 0 && st.Heal.Healed == 0
		})
		if err != nil {
			t.Error(err)
		}
		for _, at := range places {
			flipBit(t, node.site.data, at+6)
		}
	}
	mustBeIdentical(t, source, target)
}

// A secondary has lost all its blobs: real clients that read them there get them, and the secondary has them again.
func TestRealClientsGetMissingBlobsFromTheOtherNode(t *testing.T) {
	source, target := newSite(t, true), newSite(t, true)
	source.open(t).Close()
	to, first, second := freeAddress(t), freeAddress(t), freeAddress(t)
	start(t, "primary", source, "--replicate-to", to, "--zeo", first)
	secondary := start(t, "secondary", target, "--replicate-from", to, "--zeo", second, "--verify-interval", "0")
	writer := startPython(t, "zodb", "zeo_client.py", newSite(t, true).blobs, first)
	writer.do(t, "create 9")
	last := writer.do(t, "commit 5")
	writer.close(t)
	mustReach(t, secondary, last)
	lost := blobFiles(t, target.blobs)
	for name := range lost {
		if err := os.Remove(filepath.Join(target.blobs, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, environment := range []string{"zodb", "zeo5"} {
		reader := startPython(t, environment, "zeo_reader.py", "reader", newSite(t, true).blobs, second)
		reader.do(t, "see "+last.String())
		reader.close(t)
	}
	_, err := secondary.Await(within(t), "it says so", func(st *admin.Status) bool {
		return st.Heal.Answered > 0 && st.Heal.Healed > 0 && st.Heal.Unanswered == 0 && st.Heal.Pending == 0
	})
	if err != nil {
		t.Error(err)
	}
	for name := range blobFiles(t, target.blobs) {
		if _, was := lost[name]; !was {
			t.Errorf("%s was not there before", name)
		}
	}
}

// A primary whose blobs are missing, cut off, or changed, and that waits for its operator, gives real clients what its
// secondary has, and leaves its files as they are until the operator agrees.
func TestRealClientsGetDamagedBlobsOfAPrimaryThatAsks(t *testing.T) {
	source, target := newSite(t, true), newSite(t, true)
	source.open(t).Close()
	to, at := freeAddress(t), freeAddress(t)
	primary := start(t, "primary", source, "--replicate-to", to, "--zeo", at, "--verify-interval", "0")
	secondary := start(t, "secondary", target, "--replicate-from", to, "--replicate-to", freeAddress(t),
		"--verify-interval", "0")
	writer := startPython(t, "zodb", "zeo_client.py", newSite(t, true).blobs, at)
	writer.do(t, "create 9")
	last := writer.do(t, "commit 5")
	writer.close(t)
	mustReach(t, secondary, last)
	for _, p := range []*daemon.Process{primary, secondary} {
		if _, err := p.Await(within(t), "its chain is complete", chainComplete); err != nil {
			t.Fatal(err)
		}
	}
	if _, code := healed(t, filepath.Join(source.dir, "admin"), "--dry-run"); code != 0 { // it notes sizes and digests
		t.Fatalf("a dry run of what is right ends with %d", code)
	}
	i := 0
	damaged := map[string][]byte{} // nil: missing
	for name := range blobFiles(t, source.blobs) {
		path := filepath.Join(source.blobs, name)
		damageBlob(t, path, i%3)
		damaged[name], _ = os.ReadFile(path)
		i++
	}
	if i < 3 {
		t.Fatalf("there are only %d blobs", i)
	}
	if report, _ := healed(t, filepath.Join(source.dir, "admin"), "--dry-run"); report.Healed != int64(i) {
		t.Errorf("a dry run finds %+v, want %d blobs", report, i)
	}
	want := contents(t, target.blobs)
	clientsGet(t, at, last, want)
	for name, was := range damaged {
		if now, _ := os.ReadFile(filepath.Join(source.blobs, name)); string(now) != string(was) {
			t.Errorf("%s was changed before an operator has agreed", name)
		}
	}
	if report, _ := healed(t, filepath.Join(source.dir, "admin")); report.Healed != int64(i) || report.Failed > 0 {
		t.Errorf("got %+v", report)
	}
	mustBeIdentical(t, source, target)
}

// damageBlob removes a blob, cuts it off, or changes it.
func damageBlob(t *testing.T, path string, how int) {
	t.Helper()
	info, err := os.Stat(path)
	if err == nil {
		err = os.Chmod(path, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case how == 0:
		err = os.Remove(path)
	case info.Size() == 0: // which cannot be cut
		err = os.Truncate(path, 1)
	case how == 1:
		err = os.Truncate(path, info.Size()/2)
	default:
		flipBit(t, path, info.Size()/2)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// contents are those of the blobs in a folder.
func contents(t *testing.T, dir string) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	for name := range blobFiles(t, dir) {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		all[string(b)] = true
	}
	return all
}

// eachRecord yields the records of a data file, from front to back.
func eachRecord(t *testing.T, path string) iter.Seq[*filestorage.RawRecord] {
	t.Helper()
	return func(yield func(*filestorage.RawRecord) bool) {
		in, err := filestorage.Inspect(nil, path)
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		for _, err := range in.Transactions() {
			if err != nil {
				t.Fatal(err)
			}
			for rec, err := range in.Records() {
				if err != nil {
					t.Fatal(err)
				}
				if !yield(rec) {
					return
				}
			}
		}
	}
}

// currentRecords are where the newest revisions of objects are.
func currentRecords(t *testing.T, path string) (places []int64) {
	t.Helper()
	newest := map[uint64]int64{}
	for rec := range eachRecord(t, path) {
		newest[uint64(rec.Oid)] = rec.Pos
	}
	for _, at := range newest {
		places = append(places, at)
	}
	return places
}

// A blob is cut off at the primary before any verification has read it. Real clients get it as the secondary has it,
// and a secondary that comes later has it whole or not at all, with all that was committed after it.
func TestRealClientsGetNoBlobThatWasCutBeforeAVerification(t *testing.T) {
	source, target, later := newSite(t, true), newSite(t, true), newSite(t, true)
	source.open(t).Close()
	to, at := freeAddress(t), freeAddress(t)
	args := []string{"--verify-interval", "0", "--heal", "ask"}
	primary := start(t, "primary", source, append(args, "--replicate-to", to, "--zeo", at)...)
	secondary := start(t, "secondary", target, append(args, "--replicate-from", to, "--replicate-to",
		freeAddress(t))...)
	writer := startPython(t, "zodb", "zeo_client.py", newSite(t, true).blobs, at)
	writer.do(t, "create 9")
	last := writer.do(t, "commit 5")
	writer.close(t)
	mustReach(t, secondary, last)
	cut := blobFiles(t, source.blobs)
	for name := range cut {
		path := filepath.Join(source.blobs, name)
		if err := errors.Join(os.Chmod(path, 0o600), os.Truncate(path, 3)); err != nil {
			t.Fatal(err)
		}
	}
	want := contents(t, target.blobs)
	clientsGet(t, at, last, want)
	third := start(t, "secondary", later, append(args, "--replicate-from", to)...)
	mustReach(t, third, last)
	for content := range contents(t, later.blobs) {
		if !want[content] {
			t.Errorf("the later secondary has a blob of %d bytes that was never committed", len(content))
		}
	}
	_, err := primary.Await(within(t), "it says so", func(st *admin.Status) bool {
		return st.Heal.Pending > 0 && st.Heal.Healed == 0
	})
	if err != nil || len(cut) < 3 {
		t.Errorf("%d blobs: %v", len(cut), err)
	}
}

// clientsGet has clients of both releases read everything up to a transaction, and no blob but those that are wanted.
func clientsGet(t *testing.T, at string, last zodb.Tid, want map[string]bool) {
	t.Helper()
	for _, environment := range []string{"zodb", "zeo5"} {
		cache := newSite(t, true).blobs
		reader := startPython(t, environment, "zeo_reader.py", "reader", cache, at)
		reader.do(t, "see "+last.String())
		reader.close(t)
		for content := range contents(t, cache) {
			if !want[content] {
				t.Errorf("%s: a client got a blob of %d bytes that no node had", environment, len(content))
			}
		}
	}
}
