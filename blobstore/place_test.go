package blobstore

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// A split disk has some folders on a file system of their own: no rename or link leads into them or out of them.
type split struct {
	vfs.FS
	mounts []string
}

func (d split) device(path string) string {
	for _, m := range d.mounts {
		if strings.HasPrefix(path, m+"/") {
			return m
		}
	}
	return ""
}

func (d split) cross(op, from, to string) error {
	if d.device(from) == d.device(to) {
		return nil
	}
	return &os.LinkError{Op: op, Old: from, New: to, Err: syscall.EXDEV}
}

func (d split) Rename(from, to string) error {
	if err := d.cross("rename", from, to); err != nil {
		return err
	}
	return d.FS.Rename(from, to)
}

func (d split) Link(from, to string) error {
	if err := d.cross("link", from, to); err != nil {
		return err
	}
	return d.FS.Link(from, to)
}

// What would go wrong when the blob gets its name goes wrong when it is staged, while its transaction can be refused.
func TestAFolderThatTakesNoBlobIsFoundAtTheVote(t *testing.T) {
	for name, block := range map[string]func(t *testing.T, s *Store){
		"a file in place of the folder": func(t *testing.T, s *Store) {
			t.Helper()
			must(t, os.WriteFile(s.Folders(1)[0], nil, 0o666))
		},
		"a folder in place of the blob": func(t *testing.T, s *Store) {
			t.Helper()
			must(t, os.MkdirAll(s.path(1, 2), 0o777))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, filepath.Join(t.TempDir(), "blobs"), Options{Layout: Lawn})
			block(t, s)
			draft := draftOf(t, s, "sent")
			defer func() { must(t, draft.Discard()) }()
			_, staged := s.Stage(1, 2, strings.NewReader("x"))
			_, drafted := draft.Stage(1, 2)
			for how, err := range map[string]error{"staged": staged, "drafted": drafted} {
				var folder *FolderError
				if !errors.As(err, &folder) || folder.Folder != s.Folders(1)[0] {
					t.Errorf("%s: %v, want a FolderError of %s", how, err, s.Folders(1)[0])
				}
			}
			publish(t, s, 3, 2, "another object")
			if left := tmpNames(t, s.Dir()); len(left) != 1 {
				t.Errorf("left, besides the draft: %v", left)
			}
		})
	}
}

// TestTmpMayBeOnAnotherFileSystem has the content copied at the vote, so that publishing is a rename in one folder.
func TestTmpMayBeOnAnotherFileSystem(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "blobs")
	s := open(t, dir, Options{FS: split{vfs.OS{}, []string{filepath.Join(dir, tmpName)}}})
	publish(t, s, 1, 2, "staged")
	d := draftOf(t, s, "drafted")
	publishDraft(t, d, 1, 3)
	lost := stage(t, s, 1, 4, []byte("refused"))
	must(t, errors.Join(d.Discard(), lost.Discard()))
	path := filepath.Join(s.Folders(1)[0], "x.tmp")
	must(t, os.WriteFile(path, []byte("adopted"), 0o600))
	adopted, err := s.AdoptDraft(path)
	must(t, err)
	publishDraft(t, adopted, 1, 5)
	must(t, adopted.Discard())
	for tid, want := range map[zodb.Tid]string{2: "staged", 3: "drafted", 5: "adopted"} {
		if got := contentOf(t, s, 1, tid); got != want {
			t.Errorf("tid %v has %q, want %q", tid, got, want)
		}
	}
	if left := tmpNames(t, dir); len(left) > 0 {
		t.Errorf("left in tmp: %v", left)
	}
	if entries, err := os.ReadDir(s.Folders(1)[0]); err != nil || len(entries) != 3 {
		t.Errorf("the folder has %v, %v", entries, err)
	}
}

func TestABlobThatACrashLeftInAFolderGoesWithTheNext(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "blobs")
	disk := split{vfs.OS{}, []string{filepath.Join(dir, tmpName)}}
	stage(t, open(t, dir, Options{FS: disk}), 1, 2, []byte("left by a crash"))
	s := open(t, dir, Options{FS: disk})
	waits := stage(t, s, 1, 3, []byte("waits"))
	publish(t, s, 1, 4, "next")
	must(t, errors.Join(waits.Sync(), waits.Publish(), waits.SyncDir()))
	if entries, err := os.ReadDir(s.Folders(1)[0]); err != nil || len(entries) != 2 {
		t.Errorf("the folder has %v, %v", entries, err)
	}
}

// TestBlobsHaveTheModeOfZODB: what the umask leaves, without the right to write.
func TestBlobsHaveTheModeOfZODB(t *testing.T) {
	for mask, want := range map[int]fs.FileMode{0o022: 0o444, 0o027: 0o440, 0o077: 0o400} {
		before := unix.Umask(mask)
		dir := filepath.Join(t.TempDir(), "blobs")
		s := open(t, dir, Options{})
		publish(t, s, 1, 2, "staged")
		d := draftOf(t, s, "drafted")
		publishDraft(t, d, 1, 3)
		must(t, d.Discard())
		unix.Umask(before)
		for _, tid := range []zodb.Tid{2, 3} {
			info, err := os.Stat(s.path(1, tid))
			must(t, err)
			if info.Mode().Perm() != want {
				t.Errorf("with umask %03o blob %v has mode %v, want %v", mask, tid, info.Mode(), want)
			}
		}
		if info, err := os.Stat(s.Folders(1)[0]); err != nil || info.Mode().Perm() != 0o777&^fs.FileMode(mask) {
			t.Errorf("with umask %03o a folder has mode %v, %v", mask, info.Mode(), err)
		}
	}
}

// What cannot be kept beside the directory is found before a pack begins, and nothing is left of the attempt.
func TestOldBlobsThatCannotBeKeptAreRefusedBeforehand(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "blobs")
	s := open(t, dir, Options{FS: split{vfs.OS{}, []string{dir}}})
	publish(t, s, 1, 2, "content")
	var old *OldError
	if err := s.TryRemoval(true); !errors.As(err, &old) || !strings.Contains(err.Error(), "--no-keep-old") {
		t.Errorf("got %v, want an OldError that says what to do", err)
	}
	must(t, s.TryRemoval(false))
	entries, err := os.ReadDir(filepath.Dir(dir))
	if err != nil || len(entries) != 1 || len(blobsIn(t, dir, Bushy)) != 1 {
		t.Errorf("beside the directory are %v, %v", entries, err)
	}
	must(t, errors.Join(s.PlanRemoval(maps.All(map[zodb.Oid]zodb.Tid{1: 2}), false),
		s.FinishRemoval(t.Context(), notNeeded)))
	if left := blobsIn(t, dir, Bushy); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// One blob that cannot be removed does not keep the others, and is all that the next attempt has to do.
func TestARemovalGoesPastABlobThatStays(t *testing.T) {
	for _, keepOld := range []bool{true, false} {
		dir := filepath.Join(t.TempDir(), "blobs")
		disk := &stubborn{FS: vfs.OS{}}
		s := open(t, dir, Options{FS: disk})
		for _, r := range []revision{{1, 10}, {1, 20}, {2, 10}} {
			put(t, s, r.oid, r.tid)
		}
		disk.keeps = s.path(1, 10)
		must(t, s.PlanRemoval(maps.All(map[zodb.Oid]zodb.Tid{1: 10, 2: 10}), keepOld))
		var left *RemovalError
		if err := s.FinishRemoval(t.Context(), notNeeded); !errors.As(err, &left) || left.Left != 1 ||
			!strings.Contains(err.Error(), disk.keeps) {
			t.Errorf("got %v", err)
		}
		if got := blobsIn(t, dir, Bushy); len(got) != 2 || got[0] != (revision{1, 10}) {
			t.Errorf("left: %v", got)
		}
		put(t, s, 3, 30)
		disk.keeps = ""
		must(t, s.FinishRemoval(t.Context(), notNeeded))
		if got := blobsIn(t, dir, Bushy); len(got) != 2 || got[0] != (revision{1, 20}) {
			t.Errorf("left in the end: %v", got)
		}
		if !keepOld {
			continue
		}
		if got := blobsIn(t, dir+oldSuffix, Bushy); len(got) != 3 || got[2] != (revision{2, 10}) {
			t.Errorf("the old state is %v: it has not what came after the pack", got)
		}
	}
}

// A stubborn disk does not let go of one file.
type stubborn struct {
	vfs.FS
	keeps string
}

func (d *stubborn) Remove(path string) error {
	if path == d.keeps {
		return &fs.PathError{Op: "remove", Path: path, Err: syscall.EACCES}
	}
	return d.FS.Remove(path)
}

func (d *stubborn) Rename(from, to string) error {
	if from == d.keeps {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: syscall.EACCES}
	}
	return d.FS.Rename(from, to)
}

// One error while a folder is made ready is not kept for the blobs that come later.
func TestAnErrorInTheFolderOfIncomingBlobsPasses(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "blobs")
	s := open(t, dir, Options{})
	tmp := filepath.Join(dir, tmpName)
	must(t, os.Remove(tmp))
	must(t, os.WriteFile(tmp, nil, 0o666))
	if _, err := s.Draft(); err == nil {
		t.Error("a draft was begun in a file")
	}
	must(t, os.Remove(tmp)) // and nobody makes the folder again
	d, err := s.Draft()
	must(t, err)
	publishDraft(t, d, 1, 2)
	must(t, d.Discard())
}
