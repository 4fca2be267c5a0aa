package secondary

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// copied returns an empty secondary that followed p to its end.
func copied(t *testing.T, p *site) *site {
	t.Helper()
	s := onDisk(t, vfs.OS{}, t.TempDir())
	r := s.follow(t, p.asPrimary(t))
	r.eventually(t, "live", func(st Status) bool { return st.State == StateLive && st.Durable == p.st.LastTid() })
	return s
}

// Every history that the real ZODB wrote arrives byte for byte, with its blobs: undos, packs, odd extensions, both
// magics. A file with an interrupted tail arrives as it is after recovery.
func TestACopyOfEveryFixtureHasTheSameBytes(t *testing.T) {
	different := map[string]string{
		"corrupt-length": "is damaged and cannot be opened",
		"status-u":       "has a test of its own",
	}
	found, err := filepath.Glob(filepath.Join(fixtures, "*", "Data.fs"))
	if err != nil || len(found) < 20 {
		t.Fatalf("%d fixtures, %v", len(found), err)
	}
	for _, path := range found {
		name := filepath.Base(filepath.Dir(path))
		t.Run(name, func(t *testing.T) {
			if why := different[name]; why != "" {
				t.Skip(name, why)
			}
			p := fixture(t, name)
			mustEqual(t, p, copied(t, p))
		})
	}
}

// The file before a pack, and the pack of it, are two histories of one database. Which fixtures have such a file is
// looked up, not listed.
func TestACopyOfEveryFixtureBeforeItsPackHasTheSameBytes(t *testing.T) {
	found, err := filepath.Glob(filepath.Join(fixtures, "*", "Data.fs.before*"))
	if err != nil || len(found) == 0 {
		t.Fatalf("%d fixtures, %v", len(found), err)
	}
	for _, path := range found {
		t.Run(filepath.Base(filepath.Dir(path)), func(t *testing.T) {
			dir := t.TempDir()
			copyFile(t, path, filepath.Join(dir, "Data.fs"))
			if blobs := filepath.Join(filepath.Dir(path), "blobs.before"); exists(blobs) {
				if err := os.CopyFS(filepath.Join(dir, "blobs"), os.DirFS(blobs)); err != nil {
					t.Fatal(err)
				}
			}
			p := onDisk(t, vfs.OS{}, dir).named(t)
			mustEqual(t, p, copied(t, p))
		})
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// An undone transaction of old counts as absent, so a record that was written on top of it is linked to the one before
// it in a copy. This link, 8 bytes that only a reader of history follows, is all that differs.
func TestACopyOfAFileWithAnUndoneTransactionDiffersInOneLink(t *testing.T) {
	const (
		record = 416 // of oid 0, in the transaction after the undone one
		prev   = record + 16
		undone = 288
		before = 160
	)
	p := fixture(t, "status-u")
	s := copied(t, p)
	want, got := p.committed(t), s.committed(t)
	link := func(pos int) []byte { return []byte{0, 0, 0, 0, 0, 0, byte(pos >> 8), byte(pos)} }
	if !bytes.Equal(want[prev:][:8], link(undone)) {
		t.Fatalf("the fixture is another one: prev is %x", want[prev:][:8])
	}
	copy(want[prev:], link(before))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, tid, err := s.st.Load(3); err == nil {
		t.Errorf("an object of the undone transaction is there, of %v", tid)
	}
}

// A stream may end with an undone transaction; the position after it is where the next connection begins.
func TestAnUndoneTransactionAtTheEndIsNotSentTwice(t *testing.T) {
	dir := t.TempDir()
	b, err := os.ReadFile(filepath.Join(fixtures, "status-u", "Data.fs"))
	if err != nil {
		t.Fatal(err)
	}
	const endOfUndone = 388
	if err := os.WriteFile(filepath.Join(dir, "Data.fs"), b[:endOfUndone], 0o666); err != nil {
		t.Fatal(err)
	}
	p := onDisk(t, vfs.OS{}, dir).named(t)
	addr := p.asPrimary(t)
	s := inMemory(t)
	first := s.follow(t, addr)
	first.eventually(t, "complete", func(st Status) bool { return st.Transactions == 3 && st.State == StateLive })
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	second := s.follow(t, addr)
	second.eventually(t, "live", func(st Status) bool { return st.State == StateLive })
	after := p.commit(t, 9, "after it", "")
	st := second.eventually(t, "it is there, and counted", func(st Status) bool {
		return st.Durable == after && st.Transactions > 0
	})
	if st.Transactions != 1 || st.LastError != "" {
		t.Errorf("%+v", st)
	}
	mustEqual(t, p, s)
}

func TestAPackedFileKeepsItsStatus(t *testing.T) {
	p := fixture(t, "packed-then-commits")
	s := copied(t, p)
	first, err := s.st.Iterate(0, false)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	txn, err := first.Next(t.Context())
	if err != nil || txn.Meta().Status != zodb.StatusPacked {
		t.Errorf("first transaction %+v, %v", txn, err)
	}
}
