package filestorage

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

// What can happen to the files of a storage after its back, and a word that the error must have.
var displacements = []struct {
	name, says string
	happen     func(t *testing.T, path string)
}{
	{"renamed", "renamed or removed", func(t *testing.T, path string) {
		t.Helper()
		must(t, os.Rename(path, path+".away"))
	}},
	{"removed", "renamed or removed", func(t *testing.T, path string) {
		t.Helper()
		must(t, os.Remove(path))
	}},
	{"replaced", "another file", func(t *testing.T, path string) {
		t.Helper()
		must(t, os.WriteFile(path+".new", mustRead(t, path), 0o666), os.Rename(path+".new", path))
	}},
	{"its folder was renamed", "renamed or removed", func(t *testing.T, path string) {
		t.Helper()
		must(t, os.Rename(filepath.Dir(path), filepath.Dir(path)+".away"), os.Mkdir(filepath.Dir(path), 0o777))
	}},
	{"cut", "has cut it", func(t *testing.T, path string) {
		t.Helper()
		must(t, os.Truncate(path, 50))
	}},
	{"appended to", "another process writes", func(t *testing.T, path string) {
		t.Helper()
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		must(t, err)
		_, err = f.WriteString("a transaction of somebody else")
		must(t, err, f.Close())
	}},
	{"its lock was taken by another process", "another process", func(t *testing.T, path string) {
		t.Helper()
		must(t, os.Remove(path+lockSuffix))
		other, err := lockFile(vfs.OS{}, path)
		must(t, err)
		t.Cleanup(func() { other.Close() })
	}},
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// Nothing is acknowledged that goes where nobody finds it: the storage stops, with words that say what happened, and
// leaves what is at the path now alone, the index beside it included. What was committed can still be read.
func TestACommitIntoAFileThatIsNotAtItsPathFails(t *testing.T) {
	for _, d := range displacements {
		for _, begun := range []bool{false, true} {
			t.Run(d.name, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "db", "Data.fs")
				must(t, os.Mkdir(filepath.Dir(path), 0o777))
				s := mustOpen(t, path, Options{})
				commit(t, s, 1, 0, "before")
				var txn *Txn
				begin := func() {
					txn = mustBegin(t, s, &zodb.TxnMeta{})
					mustStore(t, txn, 2, 0, "into the wrong file")
				}
				if begun {
					begin()
				}
				d.happen(t, path)
				there, _ := os.ReadFile(path)
				index, _ := os.ReadFile(path + indexSuffix)
				if !begun {
					begin()
				}
				_, err := txn.Enqueue(t.Context())
				must(t, txn.Abort())
				var failed *FailedError
				if !errors.As(err, &failed) || !strings.Contains(err.Error(), d.says) {
					t.Errorf("the words are: %v", err)
				}
				_, err = s.Begin(t.Context(), &zodb.TxnMeta{})
				if !errors.As(err, &failed) {
					t.Errorf("the next one begins: %v", err)
				}
				if d.name != "cut" {
					if _, _, err := s.Load(1); err != nil {
						t.Error(err)
					}
				}
				must(t, s.Close())
				if now, _ := os.ReadFile(path); !bytes.Equal(now, there) {
					t.Error("the file at the path was changed")
				}
				if now, _ := os.ReadFile(
					path + indexSuffix,
				); d.says != "another process" && d.says != "another process writes" &&
					!bytes.Equal(now, index) {
					t.Error("the index beside another file was changed")
				}
			})
		}
	}
}

// The same for a transaction that is on its way to the disk.
func TestAGroupIntoAFileThatIsNotAtItsPathFails(t *testing.T) {
	st := newStage(t, story{prepare: startIdle})
	c := st.enqueue(1, withBlob, "blob")
	st.note(st.disk.Rename(crashPath, crashPath+".away"))
	go st.s.syncGroups()
	<-c.Done()
	var displaced *DisplacedError
	if err := c.Err(); st.err != nil || !errors.As(err, &displaced) {
		t.Errorf("%v, %v", err, st.err)
	}
	if empty, err := st.s.blobs.Empty(); err != nil || !empty {
		t.Errorf("its blob was published: %v", err)
	}
	st.end()
}

// A lock file that was removed lets nobody in, neither before nor after the next commit, which makes it again.
func TestALockFileThatWasRemovedStillExcludesOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "Data.fs")
	s := mustOpen(t, path, Options{})
	tid := commit(t, s, 1, 0, "before")
	must(t, os.Remove(path+lockSuffix))
	before := mustRead(t, path)
	var locked *LockError
	if _, err := Open(
		t.Context(),
		path,
		Options{},
	); !errors.As(err, &locked) ||
		!strings.Contains(err.Error(), "removed") {
		t.Errorf("a second storage: %v", err)
	}
	if !bytes.Equal(mustRead(t, path), before) {
		t.Error("it changed the file")
	}
	commit(t, s, 1, tid, "after")
	if _, err := lockFile(vfs.OS{}, path); !errors.As(err, &locked) || locked.Pid != os.Getpid() {
		t.Errorf("the lock file after the next commit: %v", err)
	}
	s = reopen(t, s)
	commit(t, s, 2, 0, "opened again")
}

// The file that a pack has put in place is held like the one before.
func TestAPackedFileIsHeldToo(t *testing.T) {
	for _, disk := range []*simdisk.Disk{simdisk.New(), nil} {
		opt, path := Options{}, filepath.Join(t.TempDir(), "Data.fs")
		if disk != nil {
			opt.FS, path = disk, "Data.fs"
		}
		s := mustOpen(t, path, opt)
		commit(t, s, 1, commit(t, s, 1, 0, "old"), "new")
		if r, err := s.Pack(t.Context(), s.LastTid(), PackOptions{KeepOld: true}); err != nil || !r.Packed {
			t.Fatal(r, err)
		}
		must(t, s.fs.Remove(path+lockSuffix))
		var locked *LockError
		if _, err := Open(t.Context(), path, opt); !errors.As(err, &locked) {
			t.Errorf("a second storage: %v", err)
		}
		commit(t, s, 2, 0, "goes on")
		must(t, s.Close())
		s = mustOpen(t, path, opt)
		must(t, s.Close())
	}
}

// A pack puts its file in the place of the one that it has packed, and of no other.
func TestAPackDoesNotReplaceAFileOfSomebodyElse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "Data.fs")
	s := mustOpen(t, path, Options{})
	commit(t, s, 1, commit(t, s, 1, 0, "old"), "new")
	must(t, os.WriteFile(path+".new", []byte("restored"), 0o666), os.Rename(path+".new", path))
	_, err := s.Pack(t.Context(), s.LastTid(), PackOptions{})
	var displaced *DisplacedError
	if !errors.As(err, &displaced) || string(mustRead(t, path)) != "restored" {
		t.Errorf("packed: %v", err)
	}
}
