package integration

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/daemon"
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

// currentRecords are where the newest revisions of objects are.
func currentRecords(t *testing.T, path string) (places []int64) {
	t.Helper()
	in, err := filestorage.Inspect(nil, path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	newest := map[uint64]int64{}
	for _, err := range in.Transactions() {
		if err != nil {
			t.Fatal(err)
		}
		for rec, err := range in.Records() {
			if err != nil {
				t.Fatal(err)
			}
			newest[uint64(rec.Oid)] = rec.Pos
		}
	}
	for _, at := range newest {
		places = append(places, at)
	}
	return places
}
