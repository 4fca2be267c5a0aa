package archive

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/objectstore"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
)

// impatient is a store that gives up at once.
func impatient(t *testing.T, disk vfs.FS) (*objectstore.Store, error) {
	t.Helper()
	return objectstore.Open(t.Context(), "file:///archive", objectstore.Options{FS: disk, Attempts: 1})
}

// crashSteps is in which steps the operations at which a disk stops go up: a prime, so that all kinds are met.
const crashSteps = 17

// The disk of the archive loses power at any operation of archiving, or the process is killed there. What is left is
// right, the next writer goes on, and everything is restored.
func TestAnArchiveWhoseDiskLosesPowerGoesOn(t *testing.T) {
	stops := map[string]func(*simdisk.Disk, int) func(seed uint64) *simdisk.Disk{
		"power": func(d *simdisk.Disk, n int) func(uint64) *simdisk.Disk {
			d.PowerOffAt(n)
			return d.Crash
		},
		"kill": func(d *simdisk.Disk, n int) func(uint64) *simdisk.Disk {
			d.KillAt(n)
			return func(uint64) *simdisk.Disk { d.Revive(); return d }
		},
	}
	for name, stop := range stops {
		for n, done := 1, false; !done; n += crashSteps {
			disk := simdisk.New()
			if err := errors.Join(disk.Mkdir("/archive", 0o755), disk.SyncDir("/")); err != nil {
				t.Fatal(err)
			}
			s := newSite(t, 1)
			after := stop(disk, n+2)
			done = archivesUntilItStops(t, s, disk)
			seeds := []uint64{0, 1, uint64(n)}
			if name == "kill" || done {
				seeds = seeds[:1]
			}
			for _, seed := range seeds {
				goesOn(t, fmt.Sprintf("%s at %d, seed %d", name, n, seed), s, after(seed))
			}
			s.close()
		}
	}
}

// archivesUntilItStops reports whether it did not.
func archivesUntilItStops(t *testing.T, s *site, disk *simdisk.Disk) bool {
	t.Helper()
	store, err := impatient(t, disk)
	if err != nil {
		return false
	}
	defer store.Close()
	w := s.writer(store, smallSegments)
	defer w.closeFile()
	for i := range 4 {
		for range 8 {
			s.commit(3, 1000, true)
		}
		if i == 2 {
			s.pack(s.st.LastTid() - 1)
		}
		if err := w.Once(t.Context()); err != nil {
			return false
		}
	}
	return true
}

func goesOn(t *testing.T, what string, s *site, disk vfs.FS) {
	t.Helper()
	store, err := impatient(t, disk)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	a, err := Open(t.Context(), store, Keys{})
	if err != nil && !errors.Is(err, ErrEmpty) {
		t.Fatalf("%s: %v", what, err)
	}
	if err == nil {
		verifyTellsTheTruth(t, what, a)
	}
	w := s.writer(store, smallSegments)
	defer w.closeFile()
	s.now = s.now.Add(time.Hour)
	if err := w.Once(t.Context()); err != nil {
		t.Fatalf("%s: the next writer: %v", what, err)
	}
	a = open(t, store, Keys{})
	same(t, what, mustRestore(t, a, Latest), s.look())
	verifyTellsTheTruth(t, what, a)
}

// verifyTellsTheTruth restores the latest moment where verify has found no problem.
func verifyTellsTheTruth(t *testing.T, what string, a *Archive) {
	t.Helper()
	r, err := a.Verify(t.Context(), 1, nil)
	if err != nil {
		t.Fatalf("%s: verify: %v", what, err)
	}
	_, _, failed := restored(t, a, Latest, false)
	if len(r.Problems) == 0 && failed != nil {
		t.Fatalf("%s: verify finds nothing wrong, and a restore fails: %v", what, failed)
	}
	if len(r.Problems) > 0 && len(r.Incomplete) < len(r.Generations) {
		t.Fatalf("%s: a crash has damaged the archive: %v", what, r.Problems)
	}
}

// A restore whose disk loses power anywhere has made the whole file, or none, and the next call does the rest.
func TestARestoreThatLosesPowerIsGoneOnWith(t *testing.T) {
	store := newStore(t, simdisk.New())
	s := newSite(t, 1)
	defer s.close()
	for range 6 {
		s.commit(3, 4000, true)
	}
	s.archive(s.writer(store, smallSegments))
	a := open(t, store, Keys{})
	m, err := a.Moment(t.Context(), Latest, false)
	if err != nil {
		t.Fatal(err)
	}
	want := s.look()
	opt := RestoreOptions{Data: "/copy/Data.fs", Blobs: "/copy/blobs", AtOnce: 2}
	for n := 3; ; n += crashSteps {
		disk := simdisk.New()
		if err := errors.Join(disk.Mkdir("/copy", 0o755), disk.SyncDir("/")); err != nil {
			t.Fatal(err)
		}
		disk.PowerOffAt(n)
		opt.FS = disk
		_, err := m.Restore(t.Context(), opt)
		if err == nil {
			return
		}
		left := disk.Crash(uint64(n))
		opt.FS = left
		if _, gone := left.Stat("/copy/Data.fs"); gone == nil {
			same(t, "a file that is there after a crash", lookAt(t, left, "/copy/Data.fs", "/copy/blobs"), want)
			continue
		}
		if _, err := m.Restore(t.Context(), opt); err != nil {
			t.Fatalf("power lost at %d: the next restore: %v", n, err)
		}
		same(t, fmt.Sprintf("power lost at %d", n), lookAt(t, left, "/copy/Data.fs", "/copy/blobs"), want)
	}
}

// What is damaged in the archive is found by verify, wherever it is, and a restore refuses it.
func TestVerifyFindsEveryDamage(t *testing.T) {
	disk := simdisk.New()
	store := newStore(t, disk)
	s := newSite(t, 1)
	defer s.close()
	for range 6 {
		s.commit(3, 4000, true)
	}
	s.archive(s.writer(store, smallSegments))
	a := open(t, store, Keys{})
	for o, err := range store.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		if o.Key == identityName {
			continue
		}
		path := "/archive/" + o.Key
		for _, at := range []int64{0, o.Size / 3, o.Size / 2, o.Size - 1} {
			back := flip(t, disk, path, at)
			r, err := a.Verify(t.Context(), 1, nil)
			if err == nil && len(r.Problems) == 0 {
				t.Errorf("verify finds nothing wrong with %s, of which byte %d has changed", o.Key, at)
			}
			if _, _, err := restored(t, a, Latest, false); err == nil {
				t.Errorf("what is damaged in %s at %d was restored", o.Key, at)
			}
			back()
		}
	}
}
