package filestorage

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// When a transaction that was taken is gone for good, the follower stops and names it; not before the file is at rest.
func TestAttachDivergence(t *testing.T) {
	other := newDataFile()
	other.fill(20, 3, 50)
	backup := newDataFile()
	backup.fill(2, 3, 10)
	cases := []struct {
		name   string
		change func(w *pythonWriter)
	}{
		{"cut in place", func(w *pythonWriter) { w.check(w.file.Truncate(w.d.at[4])) }},
		{"cut in the middle of a transaction", func(w *pythonWriter) { w.check(w.file.Truncate(w.d.at[4] + 30)) }},
		{"emptied", func(w *pythonWriter) { w.check(w.file.Truncate(0)) }},
		{"overwritten by a backup", func(w *pythonWriter) { w.overwrite(backup, func() {}) }},
		{"replaced by a backup", func(w *pythonWriter) {
			w.check(os.WriteFile(w.path+".new", backup.bytes, 0o666))
			w.check(os.Rename(w.path+".new", w.path))
		}},
		{"replaced by a backup that was packed to its end", func(w *pythonWriter) {
			packed := newDataFile()
			for _, tid := range w.d.tids[:4] {
				packed.add(tid, zodb.StatusPacked, written{oid: zodb.Oid(tid), data: []byte("x")})
			}
			w.check(os.WriteFile(w.path+".new", packed.bytes, 0o666))
			w.check(os.Rename(w.path+".new", w.path))
		}},
		{"replaced by a packed backup to which was committed", func(w *pythonWriter) {
			packed := newDataFile()
			packed.add(w.d.tids[0], zodb.StatusPacked, written{oid: 1, data: []byte("x")})
			packed.add(w.d.last+2, zodb.StatusCommitted, written{oid: 1, data: []byte("y")})
			w.check(os.WriteFile(w.path+".new", packed.bytes, 0o666))
			w.check(os.Rename(w.path+".new", w.path))
		}},
		{"replaced by a longer file of another history", func(w *pythonWriter) {
			other.last = w.d.last
			other.fill(10, 3, 10)
			w.check(os.WriteFile(w.path+".new", other.bytes[:4], 0o666))
			f, err := os.OpenFile(w.path+".new", os.O_RDWR, 0)
			w.check(err)
			_, err = f.WriteAt(other.bytes[other.at[20]:], 4)
			w.check(errors.Join(err, f.Close()))
			w.check(os.Rename(w.path+".new", w.path))
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := newPythonWriter(t, 6)
			f := newFollower(t, w)
			it := f.iterate(0)
			expectTids(t, it, w.d.tids[:2]...)
			last := w.d.last
			c.change(w)
			f.sees(last)
			if err := f.Err(); err != nil {
				t.Errorf("Err is %v too early", err)
			}
			f.time = f.time.Add(patience*time.Second - 1)
			f.sees(last)
			f.time = f.time.Add(1)
			var diverged *DivergedError
			err := f.look(t.Context())
			if !errors.As(err, &diverged) || diverged.Tid != last || diverged.File != w.path {
				t.Fatalf("err = %v", err)
			}
			if f.lookAgain(t.Context()) {
				t.Error("the watcher goes on")
			}
			if _, err := it.Next(t.Context()); !errors.As(err, &diverged) {
				t.Errorf("the iterator got %v", err)
			}
			if _, err := f.Iterate(0, false); !errors.As(err, &diverged) {
				t.Errorf("a new iterator got %v", err)
			}
			if !errors.As(f.Err(), &diverged) {
				t.Errorf("Err is %v", f.Err())
			}
		})
	}
}

// Errors of the disk that pass do not end the following.
func TestAttachSurvivesDiskErrors(t *testing.T) {
	w := newPythonWriter(t, 2)
	f := newFollower(t, w)
	disk := &failingDisk{}
	f.fs = disk
	disk.err = errors.New("stale handle")
	if err := f.look(t.Context()); !errors.Is(err, disk.err) || !f.lookAgain(t.Context()) {
		t.Errorf("err = %v", err)
	}
	disk.err = nil
	f.sees(w.commit())
}

type failingDisk struct {
	vfs.OS
	err error
}

func (d *failingDisk) Stat(path string) (os.FileInfo, error) {
	if d.err != nil {
		return nil, d.err
	}
	return d.OS.Stat(path)
}

// A watcher woken by the system keeps up with a writer that commits, aborts and packs, and leaves no file of its own.
func TestAttachFollowsARunningWriter(t *testing.T) {
	w := newPythonWriter(t, 2)
	a, err := Attach(t.Context(), w.path, AttachOptions{poll: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	it, err := a.Iterate(0, true)
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	expectTids(t, it, w.d.tids...)
	for i := range 60 {
		switch i % 10 {
		case 3:
			w.vote(func() {})
			w.abort()
		case 7:
			w.pack(w.d.tids[len(w.d.tids)/2], func() {})
		}
		expectTids(t, it, w.commit())
	}
	if a.LastTid() != w.d.last || a.Size() != int64(len(w.d.bytes)) || a.Magic() != zodb.MagicFS30 || a.HasBlobs() {
		t.Errorf("last %v, size %d", a.LastTid(), a.Size())
	}
	left, err := os.ReadDir(filepath.Dir(w.path))
	if err != nil || len(left) != 2 { // Data.fs and Data.fs.old
		t.Errorf("files: %v, %v", left, err)
	}
}

// Close wakes who waits, and may be called again.
func TestAttachClose(t *testing.T) {
	w := newPythonWriter(t, 2)
	a, err := Attach(t.Context(), w.path, AttachOptions{})
	if err != nil {
		t.Fatal(err)
	}
	it, err := a.Iterate(w.d.last, true)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		_, err := it.Next(context.Background())
		done <- err
	}()
	if err := errors.Join(a.Close(), a.Close()); err != nil {
		t.Error(err)
	}
	if err := <-done; !errors.Is(err, zodb.ErrClosed) {
		t.Errorf("the iterator got %v", err)
	}
	if err := it.Close(); err != nil {
		t.Error(err)
	}
	if _, err := a.Iterate(0, false); !errors.Is(err, zodb.ErrClosed) {
		t.Errorf("Iterate after Close: %v", err)
	}
}

// What is no Data.fs is refused at once.
func TestAttachRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "Data.fs")
	if _, err := Attach(t.Context(), path, AttachOptions{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	for _, content := range []string{"", "FS3", "GIF89a is a picture, not a database"} {
		if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
		if a, err := Attach(t.Context(), path, AttachOptions{}); err == nil {
			t.Errorf("%q was attached to, up to %d", content, a.Size())
		}
	}
}
