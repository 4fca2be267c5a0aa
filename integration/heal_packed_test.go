package integration

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/daemon"
	"github.com/zrsd/zrsd/zodb"
)

// A storedRevision tells records of two copies of a history apart.
type storedRevision struct {
	oid zodb.Oid
	tid zodb.Tid
}

// dataOf are where the data of each record of a data file are.
func dataOf(t *testing.T, path string) map[storedRevision]int64 {
	t.Helper()
	places := map[storedRevision]int64{}
	for rec := range eachRecord(t, path) {
		if rec.Size > 0 {
			places[storedRevision{rec.Oid, rec.Tid}] = rec.Pos + 42
		}
	}
	return places
}

// A primary is packed and its secondary is not, so that nothing is at the same offset. Bits flip in the data of what
// both still have: the primary gives its real clients what the secondary has, and is healed when its operator agrees;
// the secondary is healed by itself; both to byte identity with what they were, and the real ZODB reads the same.
func TestRecordsAreHealedFromANodeThatWasPackedAtAnotherTime(t *testing.T) {
	source, target := newSite(t, true), newSite(t, true)
	source.open(t).Close()
	to, at := freeAddress(t), freeAddress(t)
	primary := start(t, "primary", source, "--replicate-to", to, "--zeo", at, "--verify-interval", "0")
	secondary := start(t, "secondary", target, "--replicate-from", to, "--replicate-to", freeAddress(t),
		"--verify-interval", "0")
	writer := startPython(t, "zodb", "zeo_client.py", newSite(t, true).blobs, at)
	writer.do(t, "create 300")
	last := writer.do(t, "commit 60")
	writer.close(t)
	mustReach(t, secondary, last)
	command(t, "pack", filepath.Join(source.dir, "admin"), "--no-keep-old")
	was := [2][]byte{}
	for i, p := range []*daemon.Process{primary, secondary} {
		if _, err := p.Await(within(t), "its chain is complete", chainComplete); err != nil {
			t.Fatal(err)
		}
		s := []*site{source, target}[i]
		if pass, code := verified(t, filepath.Join(s.dir, "admin"), "--rate", "0"); code != 0 {
			t.Fatalf("exit code %d: %s %v", code, pass.Text(), pass.FailureNodes)
		}
		was[i] = fileBytes(t, s.data)
	}
	content := contentByZODB(t, source)
	packed, whole := dataOf(t, source.data), dataOf(t, target.data)
	noted := int64(len(was[0])) / (64 << 10) * (64 << 10) // checksums are of whole blocks
	maps.DeleteFunc(packed, func(_ storedRevision, place int64) bool { return place >= noted })
	if len(packed) < 50 || len(whole) <= len(packed) || bytes.Equal(was[0], was[1]) {
		t.Fatalf("%d and %d records", len(packed), len(whole))
	}

	blocks := map[int64]bool{}
	for _, place := range packed {
		if block := place >> 16; !blocks[block] { // of one bit in a block it is known which one it is
			blocks[block] = true
			flipBit(t, source.data, place) // the pickle cannot be loaded with it
		}
	}
	if pass, code := verified(t, filepath.Join(source.dir, "admin"), "--rate", "0"); code != 1 || pass.Damages == 0 {
		t.Fatalf("exit code %d: %s", code, pass.Text())
	}
	damaged := fileBytes(t, source.data)
	if _, err := primary.Await(within(t), "it waits for its operator", func(st *admin.Status) bool {
		return st.Heal.Pending > 0 && st.Heal.Error == nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, environment := range []string{"zodb", "zeo5"} {
		reader := startPython(t, environment, "zeo_reader.py", "reader", newSite(t, true).blobs, at)
		reader.do(t, "see "+last.String())
		reader.close(t)
	}
	if !bytes.Equal(fileBytes(t, source.data), damaged) {
		t.Error("the file of the primary was changed before its operator has agreed")
	}
	if report, code := healed(t, filepath.Join(source.dir, "admin")); code != 0 || report.Healed == 0 {
		t.Errorf("exit code %d: %s", code, report.Text())
	}
	if !bytes.Equal(fileBytes(t, source.data), was[0]) {
		t.Error("the primary is not what it was")
	}

	for i, r := range slices.Collect(maps.Keys(packed)) {
		flipBit(t, target.data, whole[r]+int64(i%7))
	}
	healsItself(t, target, secondary)
	if !bytes.Equal(fileBytes(t, target.data), was[1]) {
		t.Error("the secondary is not what it was")
	}
	stop(t, secondary)
	stop(t, primary)
	if now := contentByZODB(t, source); now != content {
		t.Errorf("the real ZODB reads %s, and before %s", now, content)
	}
	checkNodes(t, source, target)
}

func fileBytes(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// contentByZODB is a digest of all records, as the real ZODB reads them.
func contentByZODB(t *testing.T, s *site) string {
	t.Helper()
	out, err := exec.CommandContext(within(t), python(t), "-c", "import hashlib, sys\n"+
		"from ZODB.FileStorage import FileIterator\n"+
		"h = hashlib.sha256()\n"+
		"for t in FileIterator(sys.argv[1]):\n"+
		"    for r in t:\n"+
		"        h.update(b'%r %r %r' % (r.oid, r.tid, r.data))\n"+
		"print(h.hexdigest())\n", s.data).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
