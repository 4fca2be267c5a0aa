package simdisk

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/zrsd/zrsd/internal/vfs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var seeds = func() (s []uint64) {
	for i := range uint64(64) {
		s = append(s, i)
	}
	return s
}()

func create(tb testing.TB, d vfs.FS, path string) vfs.File {
	tb.Helper()
	f, err := d.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

func write(tb testing.TB, f vfs.File, s string, off int64) {
	tb.Helper()
	if _, err := f.WriteAt([]byte(s), off); err != nil {
		tb.Fatal(err)
	}
}

func must(tb testing.TB, errs ...error) {
	tb.Helper()
	if err := errors.Join(errs...); err != nil {
		tb.Fatal(err)
	}
}

func content(tb testing.TB, d vfs.FS, path string) (string, bool) {
	tb.Helper()
	f, err := d.OpenFile(path, os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false
	}
	must(tb, err)
	b, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<30))
	must(tb, err, f.Close())
	return string(b), true
}

func TestSyncedContentUnderASyncedNameSurvives(t *testing.T) {
	d := New()
	f := create(t, d, "a")
	write(t, f, "hello", 0)
	must(t, f.Sync(), d.SyncDir("."))
	write(t, f, "J", 0)
	seen := map[string]bool{}
	for _, seed := range seeds {
		got, ok := content(t, d.Crash(seed), "a")
		if !ok {
			t.Fatalf("seed %d: gone", seed)
		}
		seen[got] = true
	}
	if !maps.Equal(seen, map[string]bool{"hello": true, "Jello": true}) {
		t.Errorf("found %v", seen)
	}
}

// Linux reports that a page could not be written once, and then takes it for clean.
func TestWhatASyncFailedToWriteIsLostForTheNextOne(t *testing.T) {
	d := New()
	f := create(t, d, "a")
	must(t, f.Sync(), d.SyncDir("."))
	write(t, f, strings.Repeat("1", 2*page), 0)
	d.FailWhen(func(op Op) error {
		if op.Kind == Sync {
			return syscall.EIO
		}
		return nil
	})
	if err := f.Sync(); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	d.Heal()
	must(t, f.Sync())
	if got, _ := content(t, d, "a"); got != strings.Repeat("1", 2*page) {
		t.Error("it cannot be read any more")
	}
	write(t, f, "1", page) // makes one of the pages dirty again
	must(t, f.Sync())
	want := strings.Repeat("\x00", page) + strings.Repeat("1", page)
	if got, _ := content(t, d.Crash(0), "a"); got != want {
		t.Error("seed 0: the page that was not written again is on the disk, or the other one is not")
	}
	d = d.Crash(1)
	if got, _ := content(t, d, "a"); got != strings.Repeat("1", 2*page) {
		t.Error("seed 1: it was not written in spite of the error")
	}
}

func TestAKilledProcessChangesNothingMoreAndTheNextOneSeesAllItDid(t *testing.T) {
	d := New()
	f := create(t, d, "a")
	must(t, f.Sync(), d.SyncDir("."))
	_, err := d.Lock("l", "")
	must(t, err)
	write(t, f, "written", 0)
	d.KillAt(len(d.Ops()) + 1)
	for _, err := range []error{f.Sync(), f.Truncate(0), d.Remove("a")} {
		if !errors.Is(err, ErrKilled) {
			t.Errorf("after the kill: %v", err)
		}
	}
	d.Revive()
	_, err = d.Lock("l", "")
	must(t, err)
	if got, _ := content(t, d, "a"); got != "written" {
		t.Errorf("the next process reads %q", got)
	}
	must(t, f.Sync())
	if got, _ := content(t, d.Crash(0), "a"); got != "written" {
		t.Errorf("its sync has kept %q", got)
	}
}

func TestAPageThatWasNotWrittenIsOldWhenItIsReadAgain(t *testing.T) {
	d := New()
	f := create(t, d, "a")
	write(t, f, "old", 0)
	must(t, f.Sync())
	write(t, f, "new", 0)
	d.FailAt(len(d.Ops())+1, syscall.EIO)
	if err := f.Sync(); err == nil {
		t.Fatal("the sync did not fail")
	}
	d.Heal()
	write(t, f, "dirty", 5000)
	d.Evict()
	if got, _ := content(t, d, "a"); got[:3] != "old" || got[5000:] != "dirty" {
		t.Errorf("there is %q and %q", got[:3], got[5000:])
	}
}

func TestAnUnsyncedNameMayBeGone(t *testing.T) {
	d := New()
	f := create(t, d, "a")
	write(t, f, "x", 0)
	must(t, f.Sync())
	if _, ok := content(t, d.Crash(0), "a"); ok {
		t.Error("seed 0 kept a name that was not synced")
	}
	if got, ok := content(t, d.Crash(1), "a"); !ok || got != "x" {
		t.Errorf("seed 1 lost it: %q", got)
	}
}

func TestWritesSurviveBySectorsInAnyOrder(t *testing.T) {
	d := New()
	f := create(t, d, "a")
	must(t, f.Sync(), d.SyncDir("/"))
	write(t, f, strings.Repeat("1", 2*sector), 0)
	write(t, f, strings.Repeat("2", sector), sector/2)
	reordered, torn := false, false
	for _, seed := range seeds {
		got, _ := content(t, d.Crash(seed), "a")
		got += strings.Repeat("\x00", 2*sector-len(got))
		if strings.Contains(got, "2") && !strings.Contains(got, "1") {
			reordered = true
		}
		if n := strings.Count(got, "2"); n == sector/2 {
			torn = true
		}
	}
	if !reordered || !torn {
		t.Errorf("reordered %v, torn %v: want both among %d seeds", reordered, torn, len(seeds))
	}
}

func TestARenameIsWhollyThereOrNot(t *testing.T) {
	for _, synced := range []string{"", "from", "to"} {
		d := New()
		must(t, d.Mkdir("from", 0o777), d.Mkdir("to", 0o777), d.SyncDir("."))
		f, old := create(t, d, "from/a"), create(t, d, "to/b")
		write(t, f, "new", 0)
		write(t, old, "old", 0)
		must(t, f.Sync(), old.Sync(), d.SyncDir("from"), d.SyncDir("to"), d.Rename("from/a", "to/b"))
		if synced != "" {
			must(t, d.SyncDir(synced))
		}
		for _, seed := range seeds {
			after := d.Crash(seed)
			_, hasOld := content(t, after, "from/a")
			b, _ := content(t, after, "to/b")
			switch {
			case b != "old" && b != "new", !hasOld && b != "new":
				t.Fatalf("synced %q, seed %d: a is there: %v, b is %q", synced, seed, hasOld, b)
			case synced != "" && b != "new":
				t.Fatalf("synced %q, seed %d: the rename is gone", synced, seed)
			case synced == "from" && hasOld:
				t.Fatalf("seed %d: the old name is back", seed)
			}
		}
	}
}

func TestASettledRenameDoesNotComeBack(t *testing.T) {
	d := New()
	must(t, d.Mkdir("x", 0o777), d.SyncDir("."))
	create(t, d, "a")
	must(t, d.SyncDir("."), d.Rename("a", "x/b"), d.SyncDir("x"), d.Remove("x/b"), d.SyncDir("x"), d.SyncDir("."))
	for _, seed := range seeds {
		after := d.Crash(seed)
		for _, path := range []string{"a", "x/b"} {
			if _, ok := content(t, after, path); ok {
				t.Fatalf("seed %d: %s is back", seed, path)
			}
		}
	}
}

func TestOperationsAreNumberedAndFail(t *testing.T) {
	run := func(d *Disk) error {
		f, err := d.OpenFile("a", os.O_RDWR|os.O_CREATE, 0o666)
		if err != nil {
			return err
		}
		_, err = f.WriteAt([]byte("xy"), 3)
		return errors.Join(err, f.Truncate(4), f.Sync(), d.Rename("a", "b"), d.Link("b", "c"), d.Remove("c"),
			d.Mkdir("m", 0o777), d.Chmod("b", 0o444), d.SyncDir("."), f.Close())
	}
	d := New()
	must(t, run(d))
	var trace []string
	for _, op := range d.Ops() {
		trace = append(trace, op.String())
	}
	want := []string{
		"create a", "write a 3+2", "truncate a 4", "sync a", "rename a b", "link b c", "remove c", "mkdir m", "chmod b",
		"syncdir .",
	}
	if !slices.Equal(trace, want) {
		t.Errorf("trace is %q", trace)
	}
	for n := 1; n <= len(want); n++ {
		broken, d := fmt.Errorf("fault %d", n), New()
		d.FailAt(n, broken)
		if err := run(d); !errors.Is(err, broken) {
			t.Errorf("operation %d: %v", n, err)
		}
		d = New()
		d.PowerOffAt(n)
		if err := run(d); !errors.Is(err, ErrPowerLoss) || len(d.Ops()) != n-1 {
			t.Errorf("power off at %d: %v after %d operations", n, err, len(d.Ops()))
		}
	}
}

func TestAWriteCanBeTorn(t *testing.T) {
	d := New()
	f := create(t, d, "a")
	d.FailWhen(func(op Op) error {
		if op.Kind == Write {
			return &tornError{written: 2, err: syscall.EIO}
		}
		return nil
	})
	if n, err := f.WriteAt([]byte("abcd"), 0); n != 2 || !errors.Is(err, syscall.EIO) {
		t.Errorf("wrote %d, %v", n, err)
	}
	d.Heal()
	if got, _ := content(t, d, "a"); got != "ab" {
		t.Errorf("the file has %q", got)
	}
}

func TestAFullDiskTakesWhatFits(t *testing.T) {
	d := New()
	a, b := create(t, d, "a"), create(t, d, "b")
	write(t, a, "12345", 0)
	d.SetCapacity(8)
	if n, err := b.WriteAt([]byte("12345"), 0); n != 3 || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("wrote %d, %v", n, err)
	}
	write(t, a, "54321", 0)
	must(t, d.Remove("b"))
	write(t, a, "678", 5)
}

func TestErrorsAreThoseOfTheSystem(t *testing.T) {
	d := New()
	create(t, d, "a")
	must(t, d.Mkdir("m", 0o777))
	create(t, d, "m/x")
	for _, c := range []struct {
		err  error
		want error
	}{
		{func() error { _, err := d.OpenFile("no", os.O_RDWR, 0); return err }(), fs.ErrNotExist},
		{func() error { _, err := d.Stat("no/no"); return err }(), fs.ErrNotExist},
		{func() error { _, err := d.OpenFile("a", os.O_CREATE|os.O_EXCL, 0); return err }(), fs.ErrExist},
		{d.Mkdir("m", 0o777), fs.ErrExist},
		{d.Link("a", "m/x"), fs.ErrExist},
		{d.Rename("no", "b"), fs.ErrNotExist},
		{d.Remove("m"), syscall.ENOTEMPTY},
		{d.Mkdir("a/b", 0o777), syscall.ENOTDIR},
	} {
		var path *fs.PathError
		if !errors.Is(c.err, c.want) || !errors.As(c.err, &path) {
			t.Errorf("got %v, want a PathError with %v", c.err, c.want)
		}
	}
}

func TestALockExcludesUntilItsHolderOrThePowerIsGone(t *testing.T) {
	d := New()
	l, err := d.Lock("l", " 1\n")
	must(t, err)
	if _, err := d.Lock("l", " 2\n"); !errors.Is(err, vfs.ErrLocked) {
		t.Errorf("second lock: %v", err)
	}
	if got, _ := content(t, d, "l"); got != " 1\n" {
		t.Errorf("the lock file has %q", got)
	}
	must(t, l.Close())
	_, err = d.Lock("l", "")
	must(t, err)
	_, err = d.Crash(0).Lock("l", "")
	must(t, err)
}

func TestIdentityFollowsTheFileNotTheName(t *testing.T) {
	d := New()
	f, _ := create(t, d, "a"), create(t, d, "b")
	before, err := f.Stat()
	must(t, err, d.Rename("a", "c"), d.Rename("b", "a"))
	c, err := d.Stat("c")
	must(t, err)
	a, err := d.Stat("a")
	must(t, err)
	if !vfs.SameFile(before, c) || vfs.SameFile(before, a) {
		t.Error("a renamed file is another one, or a replaced one the same")
	}
}

// TestWithoutACrashItIsAnOrdinaryDisk compares with a map of byte slices, and with what seed 1 keeps.
func TestWithoutACrashItIsAnOrdinaryDisk(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, model := New(), map[string][]byte{}
		name := rapid.SampledFrom([]string{"a", "b", "c"})
		t.Repeat(map[string]func(*rapid.T){
			"write": func(t *rapid.T) {
				path, off := name.Draw(t, "path"), rapid.Int64Range(0, 2000).Draw(t, "off")
				b := rapid.SliceOfN(rapid.Byte(), 1, 700).Draw(t, "bytes")
				f, err := d.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
				if err == nil {
					_, err = f.WriteAt(b, off)
				}
				if err != nil {
					t.Fatal(err)
				}
				m := model[path]
				if grow := int(off) + len(b) - len(m); grow > 0 {
					m = append(m, make([]byte, grow)...)
				}
				copy(m[off:], b)
				model[path] = m
			},
			"rename": func(t *rapid.T) {
				from, to := name.Draw(t, "from"), name.Draw(t, "to")
				err := d.Rename(from, to)
				if (err == nil) != (model[from] != nil) {
					t.Fatal(err)
				}
				if err == nil && from != to {
					model[to] = model[from]
					delete(model, from)
				}
			},
			"sync": func(t *rapid.T) {
				if err := d.SyncDir("."); err != nil {
					t.Fatal(err)
				}
			},
			"": func(t *rapid.T) {
				for path, want := range model {
					n, err := d.find(path)
					if err != nil || !bytes.Equal(n.content, want) {
						t.Fatalf("%s: %v", path, err)
					}
				}
			},
		})
		after := d.Crash(1)
		if len(after.root.names) != len(model) {
			t.Fatalf("%d names survive, want %d", len(after.root.names), len(model))
		}
		for path, want := range model {
			if n, err := after.find(path); err != nil || !bytes.Equal(n.content, want) {
				t.Fatalf("%s after keeping all: %v", path, err)
			}
		}
	})
}
