package blobstore

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

// A way is one of those in which a blob comes to be staged.
type way func(s *Store, tid zodb.Tid, content []byte) (zodb.StagedBlob, error)

func staging(s *Store, tid zodb.Tid, content []byte) (zodb.StagedBlob, error) {
	return s.Stage(1, tid, bytes.NewReader(content))
}

func drafting(s *Store, tid zodb.Tid, content []byte) (zodb.StagedBlob, error) {
	d, err := s.Draft()
	if err != nil {
		return nil, err
	}
	if _, err := d.Write(content[:100]); err != nil {
		return nil, err
	}
	if _, err := d.Write(content[100:]); err != nil {
		return nil, err
	}
	b, err := d.Stage(1, tid)
	return b, errors.Join(err, d.Discard())
}

// TestACrashLeavesABlobWholeOrAbsent stops the disk before each operation of two commits into new folders. Once SyncDir
// has returned, the blob is there for certain; before, it is whole or absent.
func TestACrashLeavesABlobWholeOrAbsent(t *testing.T) {
	for name, w := range map[string]way{"staged": staging, "drafted": drafting} {
		t.Run(name, func(t *testing.T) { crashEverywhere(t, w) })
	}
}

func crashEverywhere(t *testing.T, w way) {
	t.Helper()
	content := bytes.Repeat([]byte("0123456789abcdef"), 100)
	for _, layout := range []string{Bushy, Lawn} {
		for n := 1; ; n++ {
			disk := simdisk.New()
			disk.PowerOffAt(n)
			done, err := commitTwo(disk, layout, content, w)
			for seed := range uint64(12) {
				checkAfterCrash(t, disk.Crash(seed), "db/blobs", done, content)
			}
			if err == nil {
				break
			}
			if !errors.Is(err, simdisk.ErrPowerLoss) {
				t.Fatal(err)
			}
		}
	}
}

// TestAFolderLeftByACrashedCommitIsMadeDurableByTheNext guards the case that the folder exists and its name was never
// synced.
func TestAFolderLeftByACrashedCommitIsMadeDurableByTheNext(t *testing.T) {
	disk := simdisk.New()
	s := open(t, "blobs", Options{FS: disk})
	aborted := stage(t, s, 1, 1, []byte("a"))
	if err := errors.Join(aborted.Sync(), aborted.Publish(), aborted.Discard()); err != nil {
		t.Fatal(err)
	}
	b := stage(t, s, 1, 2, []byte("b"))
	if err := errors.Join(b.Sync(), b.Publish(), b.SyncDir()); err != nil {
		t.Fatal(err)
	}
	checkAfterCrash(t, disk.Crash(0), "blobs", []zodb.Tid{2}, []byte("b"))
}

func commitTwo(disk *simdisk.Disk, layout string, content []byte, w way) (done []zodb.Tid, err error) {
	s, err := Open("db/blobs", Options{FS: disk, Layout: layout})
	if err != nil {
		return nil, err
	}
	for tid := zodb.Tid(1); tid <= 2; tid++ {
		b, err := w(s, tid, content)
		if err != nil {
			return done, err
		}
		for _, step := range []func() error{b.Sync, b.Publish, b.SyncDir} {
			if err := step(); err != nil {
				return done, err
			}
		}
		done = append(done, tid)
	}
	return done, nil
}

func checkAfterCrash(t *testing.T, disk *simdisk.Disk, dir string, done []zodb.Tid, content []byte) {
	t.Helper()
	s, err := Open(dir, Options{FS: disk})
	if err != nil {
		t.Fatalf("cannot be opened after a crash: %v", err)
	}
	for _, tid := range done {
		if _, err := s.Stat(1, tid); err != nil {
			t.Fatalf("a durable blob is lost: %v", err)
		}
	}
	err = s.Walk(func(oid zodb.Oid, tid zodb.Tid, size int64, _ string) error {
		f, err := s.OpenBlob(oid, tid)
		if err != nil {
			return err
		}
		got, err := io.ReadAll(io.NewSectionReader(f, 0, size))
		if !bytes.Equal(got, content) {
			t.Errorf("blob %v %v has %d wrong bytes", oid, tid, len(got))
		}
		return errors.Join(err, f.Close())
	})
	if err != nil {
		t.Fatal(err)
	}
}
