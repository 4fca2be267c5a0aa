package blobstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

// lookFor returns what is said of a blob by opening it and by looking at it, which must be the same.
func lookFor(t *testing.T, s *Store, tid zodb.Tid) error {
	t.Helper()
	f, err := s.OpenBlob(1, tid)
	if err == nil {
		must(t, f.Close())
	}
	if _, stat := s.Stat(1, tid); fmt.Sprintf("%T", errors.Unwrap(err)) != fmt.Sprintf("%T", errors.Unwrap(stat)) {
		t.Errorf("opened: %v, looked at: %v", err, stat)
	}
	return err
}

// A blob counts as missing only where the directory is the one that it was. Whoever reads it otherwise would take a
// moment without a mount for the end of all blobs.
func TestABlobIsMissingOnlyInTheDirectoryThatItWas(t *testing.T) {
	for name, takeAway := range map[string]func(t *testing.T, dir, aside string){
		"renamed": func(*testing.T, string, string) {},
		"an empty folder in its place, as of a mount": func(t *testing.T, dir, _ string) {
			t.Helper()
			must(t, os.Mkdir(dir, 0o777))
		},
		"another blob directory in its place": func(t *testing.T, dir, _ string) {
			t.Helper()
			open(t, dir, Options{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir, aside := filepath.Join(t.TempDir(), "blobs"), filepath.Join(t.TempDir(), "aside")
			s := open(t, dir, Options{})
			publish(t, s, 1, 2, "content")
			var missing *zodb.POSKeyError
			if err := lookFor(t, s, 3); !errors.As(err, &missing) || !missing.Blob {
				t.Errorf("one that never was: %v", err)
			}
			must(t, os.Rename(dir, aside))
			takeAway(t, dir, aside)
			var gone *GoneError
			for _, tid := range []zodb.Tid{2, 3} {
				if err := lookFor(t, s, tid); !errors.As(err, &gone) {
					t.Errorf("while the directory is away: %v, want a GoneError", err)
				}
			}
			must(t, errors.Join(os.RemoveAll(dir), os.Rename(aside, dir)))
			must(t, lookFor(t, s, 2))
			if err := lookFor(t, s, 3); !errors.As(err, &missing) {
				t.Errorf("when it is back: %v", err)
			}
		})
	}
}

// Nothing is made in the place of a directory that was taken away: it could not come back.
func TestNothingIsMadeWhereTheDirectoryWas(t *testing.T) {
	dir, aside := filepath.Join(t.TempDir(), "blobs"), filepath.Join(t.TempDir(), "aside")
	s := open(t, dir, Options{})
	b := stage(t, s, 1, 2, []byte("content"))
	must(t, b.Sync())
	must(t, os.Rename(dir, aside))
	if err := b.Publish(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("published: %v", err)
	}
	if _, err := s.Draft(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a draft: %v", err)
	}
	must(t, os.Rename(aside, dir))
	must(t, errors.Join(b.Publish(), b.SyncDir()))
	must(t, lookFor(t, s, 2))
}

// A vanishing disk takes the directory away between two looks.
type vanishing struct {
	*simdisk.Disk
	away func(look int) bool
	look int
}

func (d *vanishing) hide(path string) (string, bool) {
	d.look++
	return path, d.away(d.look)
}

func (d *vanishing) OpenFile(path string, flag int, perm os.FileMode) (vfs.File, error) {
	if path, away := d.hide(path); away {
		return nil, &os.PathError{Op: "open", Path: path, Err: os.ErrNotExist}
	}
	return d.Disk.OpenFile(path, flag, perm)
}

func (d *vanishing) Stat(path string) (os.FileInfo, error) {
	if path, away := d.hide(path); away {
		return nil, &os.PathError{Op: "stat", Path: path, Err: os.ErrNotExist}
	}
	return d.Disk.Stat(path)
}

// However the directory goes and comes back while a blob is looked for, it is found, or nothing is said about it.
func TestADirectoryThatComesBackMeanwhileHidesNoBlob(t *testing.T) {
	for first := 1; first < 6; first++ {
		for last := first; last < 6; last++ {
			disk := &vanishing{Disk: simdisk.New(), away: func(int) bool { return false }}
			s := open(t, "blobs", Options{FS: disk})
			publish(t, s, 1, 2, "content")
			disk.look, disk.away = 0, func(look int) bool { return first <= look && look <= last }
			f, err := s.OpenBlob(1, 2)
			var missing *zodb.POSKeyError
			if errors.As(err, &missing) {
				t.Errorf("away from look %d to %d: %v", first, last, err)
			}
			if err == nil {
				must(t, f.Close())
			}
		}
	}
}

// A link that leads nowhere is named as what it is: a folder is not made there, since it may be a mount that is away.
func TestALinkThatLeadsNowhereIsNoBlobDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "blobs")
	must(t, os.Symlink("away", dir))
	_, err := Open(dir, Options{})
	if err == nil || !strings.Contains(err.Error(), "is a symbolic link to "+filepath.Join(filepath.Dir(dir), "away")) {
		t.Errorf("got %v", err)
	}
}

// A blob of a commit that failed is discarded only where the directory is: one that was unmounted still has it.
func TestABlobIsNotDiscardedWhereTheDirectoryWas(t *testing.T) {
	dir, aside := filepath.Join(t.TempDir(), "blobs"), filepath.Join(t.TempDir(), "aside")
	s := open(t, dir, Options{})
	b := stage(t, s, 1, 2, []byte("content"))
	must(t, errors.Join(b.Sync(), b.Publish(), os.Rename(dir, aside)))
	var gone *GoneError
	if err := b.Discard(); !errors.As(err, &gone) {
		t.Errorf("got %v, want a GoneError", err)
	}
}

// A blob is not put into a directory that has taken the place of the one that it belongs to: the vote fails. When the
// right one is back it goes on.
func TestNoBlobIsPutIntoADirectoryOfSomebodyElse(t *testing.T) {
	dir, aside := filepath.Join(t.TempDir(), "blobs"), filepath.Join(t.TempDir(), "aside")
	s := open(t, dir, Options{})
	publish(t, s, 1, 2, "content")
	must(t, errors.Join(s.Here(), os.Rename(dir, aside)))
	other := open(t, dir, Options{})
	publish(t, other, 1, 2, "content")
	var gone *GoneError
	if err := s.Here(); !errors.As(err, &gone) {
		t.Errorf("the other directory is %v", err)
	}
	if _, err := s.Stage(1, 3, strings.NewReader("lost")); !errors.As(err, &gone) {
		t.Errorf("staged: %v", err)
	}
	if d, err := s.Draft(); err == nil {
		_, err = d.Stage(1, 3)
		if !errors.As(err, &gone) {
			t.Errorf("a draft staged: %v", err)
		}
		must(t, d.Discard())
	}
	if left, _ := filepath.Glob(filepath.Join(dir, tmpName, "*")); len(left) > 0 {
		t.Errorf("left there: %q", left)
	}
	must(t, errors.Join(os.RemoveAll(dir), os.Rename(aside, dir), s.Here()))
	publish(t, s, 1, 3, "more")
}
