package mount

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, disk vfs.FS, path, content string) {
	t.Helper()
	f, err := disk.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o666)
	must(t, err)
	_, err = f.WriteAt([]byte(content), 0)
	must(t, err, f.Close())
}

// aNode has its Data.fs and its blobs on two disks, which are two folders here.
func aNode(t *testing.T) (*simdisk.Disk, *Storage) {
	t.Helper()
	disk := simdisk.New()
	must(t, disk.Mkdir("data", 0o777), disk.Mkdir("blobs", 0o777))
	return disk, &Storage{FS: disk, Data: "data/Data.fs", Blobs: "blobs"}
}

func TestWhatCountsAsNotMounted(t *testing.T) {
	remove := func(paths ...string) func(*testing.T, *simdisk.Disk, *Storage) {
		return func(t *testing.T, disk *simdisk.Disk, _ *Storage) {
			t.Helper()
			for _, path := range paths {
				must(t, disk.Remove(path))
			}
		}
	}
	everything := []string{"data/Data.fs", "data/Data.fs.zrsd", "data/Data.fs.mount.zrsd"}
	for name, c := range map[string]struct {
		change func(*testing.T, *simdisk.Disk, *Storage)
		dir    string // that is not mounted; empty: all are
		says   string
	}{
		"all is there": {change: remove()},
		"the disk of the Data.fs is away": {
			remove(everything...), "data", "mount the disk of data; if that was replaced and is empty, move the " +
				"content of blobs away, with .zrsd-mount",
		},
		"the disk of the blobs is away": {
			remove("blobs/.zrsd-mount"), "blobs", "if its blobs are lost, or were moved without that file, remove " +
				"data/Data.fs.mount.zrsd",
		},
		"only the Data.fs is missing":          {change: remove("data/Data.fs")},
		"only the state file is missing":       {change: remove("data/Data.fs.zrsd")},
		"the marker of the Data.fs is missing": {change: remove("data/Data.fs.mount.zrsd")},
		"both markers are missing":             {change: remove("data/Data.fs.mount.zrsd", "blobs/.zrsd-mount")},
		"all was moved away, for an empty storage": {
			change: remove("data/Data.fs", "data/Data.fs.zrsd", "blobs/.zrsd-mount"),
		},
		"both disks are away": {change: remove(append(everything, "blobs/.zrsd-mount")...)},
		"both disks are away, and must not be": {
			func(t *testing.T, disk *simdisk.Disk, s *Storage) {
				t.Helper()
				s.Expected = true
				remove(append(everything, "blobs/.zrsd-mount")...)(t, disk, s)
			}, "data", "begin there with zrsd seed, or start once without --expect-data",
		},
		"all is there, as it must be": {change: func(_ *testing.T, _ *simdisk.Disk, s *Storage) { s.Expected = true }},
		"the blobs of another storage": {
			func(t *testing.T, disk *simdisk.Disk, _ *Storage) {
				t.Helper()
				put(t, disk, "blobs/.zrsd-mount", `{"format":1,"id":"other","data":"/other/Data.fs"}`)
			}, "blobs", "belongs to another storage (/other/Data.fs)",
		},
		"a node that shares the blobs of another one": {
			change: func(t *testing.T, disk *simdisk.Disk, s *Storage) {
				t.Helper()
				s.Blobs = ""
				remove("blobs/.zrsd-mount")(t, disk, s)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			disk, s := aNode(t)
			put(t, disk, "data/Data.fs", "FS30")
			put(t, disk, "data/Data.fs.zrsd", "{}")
			must(t, s.Mark("id"))
			c.change(t, disk, s)
			before := len(disk.Ops())
			err := s.Check()
			var away *Error
			switch errors.As(err, &away); {
			case c.dir == "" && err != nil:
				t.Error(err)
			case c.dir != "" && (away == nil || away.Dir != c.dir || !strings.Contains(away.Text, c.says)):
				t.Errorf("got %v", err)
			case len(disk.Ops()) != before:
				t.Errorf("it has written: %v", disk.Ops()[before:])
			}
		})
	}
}

// A node that has its files already, from a version without markers, goes on; it is marked from then on.
func TestAnExistingNodeIsMarked(t *testing.T) {
	disk, s := aNode(t)
	put(t, disk, "data/Data.fs", "FS30")
	put(t, disk, "data/Data.fs.zrsd", "{}")
	must(t, s.Check(), s.Mark("id"), s.Check())
	before := len(disk.Ops())
	must(t, s.Mark("another"))
	if len(disk.Ops()) != before {
		t.Errorf("it marks again: %v", disk.Ops()[before:])
	}
	m, err := s.read("blobs/.zrsd-mount")
	must(t, err)
	if m.ID != "id" || m.Data != "data/Data.fs" || !m.Blobs {
		t.Errorf("%+v", m)
	}
}

// Power is lost at each operation: no half of a pair of markers keeps the node from its next start.
func TestACrashWhileMarking(t *testing.T) {
	for e := 1; ; e++ {
		for seed := range uint64(4) {
			disk, s := aNode(t)
			put(t, disk, "data/Data.fs", "FS30")
			must(t, disk.SyncDir("data"), disk.SyncDir("."))
			disk.PowerOffAt(len(disk.Ops()) + e)
			if err := s.Mark("id"); err == nil {
				if e < 8 {
					t.Errorf("only %d operations", e)
				}
				return
			}
			s.FS = disk.Crash(seed)
			must(t, s.Check(), s.Mark("id"), s.Check())
		}
	}
}

func TestAMarkerThatCannotBeUnderstoodIsNotPassedOver(t *testing.T) {
	disk, s := aNode(t)
	put(t, disk, "data/Data.fs", "FS30")
	put(t, disk, "blobs/.zrsd-mount", "what")
	if err := s.Check(); err == nil || !strings.Contains(err.Error(), "cannot be understood: remove it") {
		t.Errorf("got %v", err)
	}
	must(t, disk.Remove("blobs/.zrsd-mount"), s.Check())
	if _, err := disk.Stat("blobs/.zrsd-mount"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
