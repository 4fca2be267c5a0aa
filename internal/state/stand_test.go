package state

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
)

// voting returns a keeper that has voted for epoch 5, and what the file was before.
func voting(t *testing.T, path string) (k *Keeper, before []byte) {
	t.Helper()
	k = keeper(t, vfs.OS{}, path)
	before, err := os.ReadFile(path + Suffix)
	must(t, err, k.Update(func(s *State) error { s.MaxEpochSeen = 5; return nil }))
	return k, before
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// What this node has voted for stays written, whatever happens to the file while it is in use, and the next start finds
// no copy. What was put there is kept.
func TestAStateFileThatIsTakenAwayIsWrittenAgain(t *testing.T) {
	for name, c := range map[string]struct {
		says   string
		kept   bool
		happen func(file string, before []byte) error
	}{
		"removed": {"was removed", false, func(file string, _ []byte) error { return os.Remove(file) }},
		"replaced by an older one": {"was replaced", true, func(file string, before []byte) error {
			return errors.Join(os.WriteFile(file+".new", before, 0o666), os.Rename(file+".new", file))
		}},
		"replaced by a copy": {"was replaced", true, func(file string, _ []byte) error {
			now, err := os.ReadFile(file)
			return errors.Join(err, os.WriteFile(file+".new", now, 0o666), os.Rename(file+".new", file))
		}},
		"replaced by a copy with its times": {"was replaced", true, func(file string, _ []byte) error {
			at, err := os.Stat(file)
			now, read := os.ReadFile(file)
			must(t, err, read)
			return errors.Join(os.WriteFile(file+".new", now, 0o666),
				os.Chtimes(file+".new", at.ModTime(), at.ModTime()), os.Rename(file+".new", file))
		}},
		"written over with as much": {"was changed", true, func(file string, _ []byte) error {
			now, err := os.ReadFile(file)
			must(t, err)
			return errors.Join(os.WriteFile(file, append(now[1:], now[0]), 0o666),
				os.Chtimes(file, time.Now(), time.Now().Add(time.Hour)))
		}},
		"cut, with its time": {"was changed", true, func(file string, _ []byte) error {
			at, err := os.Stat(file)
			must(t, err)
			return errors.Join(os.Truncate(file, 0), os.Chtimes(file, at.ModTime(), at.ModTime()))
		}},
		"written over": {"was changed", true, func(file string, before []byte) error {
			return os.WriteFile(file, before, 0o666)
		}},
		"cut": {"was changed", true, func(file string, _ []byte) error { return os.Truncate(file, 0) }},
	} {
		for _, update := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				path := dataPath(t)
				k, before := voting(t, path)
				must(t, k.Look(), c.happen(path+Suffix, before))
				if update { // it comes before the next look
					must(t, k.Update(func(s *State) error { s.Frozen = true; return nil }))
				}
				var replaced *ReplacedError
				if err := k.Look(); !errors.As(err, &replaced) || replaced.Err != nil ||
					!strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "is kept as") != c.kept ||
					!strings.Contains(err.Error(), "it was restored") {
					t.Errorf("the words are: %v", err)
				}
				must(t, k.Look())
				if _, err := os.Stat(path + Suffix + replacedSuffix); (err == nil) != c.kept {
					t.Errorf("kept: %v", err)
				}
				again, err := Open(vfs.OS{}, path)
				must(t, err)
				if s := again.State(); s.MaxEpochSeen != 5 || s.Copied || s.Node != k.Node() || s.Frozen != update {
					t.Errorf("the next start finds %+v", s)
				}
			})
		}
	}
}

func TestAStateFileThatWasOnlyTouchedIsLeftAlone(t *testing.T) {
	path := dataPath(t)
	k, _ := voting(t, path)
	id, err := os.Stat(path + Suffix)
	must(t, err, os.Chtimes(path+Suffix, time.Now(), time.Now().Add(time.Hour)), k.Look(), k.Look())
	now, err := os.Stat(path + Suffix)
	must(t, err)
	if !os.SameFile(id, now) {
		t.Error("it was written again")
	}
}

// After a failed write the file may be the newer one. That is nobody else's doing, and it is put right silently.
func TestAHalfDoneUpdateIsNobodyElses(t *testing.T) {
	disk := simdisk.New()
	k := keeper(t, disk, "Data.fs")
	disk.FailAt(len(disk.Ops())+5, syscall.EIO) // the sync of the folder, after the rename
	if err := k.Update(func(s *State) error { s.MaxEpochSeen = 9; return nil }); !errors.Is(err, syscall.EIO) {
		t.Fatalf("got %v", err)
	}
	disk.Heal()
	must(t, k.Look(), k.Look())
	if s, err := Load(disk, "Data.fs"); err != nil || s.MaxEpochSeen != 0 {
		t.Errorf("voted for %d, %v", s.MaxEpochSeen, err)
	}
	for name, settle := range map[string]func() error{
		"a look":   k.Look,
		"a change": func() error { return k.Update(func(s *State) error { s.Frozen = true; return nil }) },
	} { // from then on it is somebody else's doing again
		at := 5
		if name == "a change" { // it is at the creation of the new file: the old one is untouched
			at = 1
		}
		disk.FailAt(len(disk.Ops())+at, syscall.EIO)
		_ = k.Update(func(s *State) error { s.MaxEpochSeen = 9; return nil })
		disk.Heal()
		must(t, settle(), k.Look(), disk.Remove("Data.fs"+Suffix))
		var replaced *ReplacedError
		if err := k.Look(); !errors.As(err, &replaced) {
			t.Errorf("after %s: %v", name, err)
		}
	}
}

// While it cannot be written again each look says so, and tries again.
func TestAStateFileThatCannotBeWrittenAgain(t *testing.T) {
	disk := simdisk.New()
	k := keeper(t, disk, "Data.fs")
	must(t, disk.Remove("Data.fs"+Suffix))
	disk.FailWhen(func(op simdisk.Op) error {
		if op.Kind == simdisk.Write {
			return syscall.ENOSPC
		}
		return nil
	})
	for range 2 {
		var replaced *ReplacedError
		if err := k.Look(); !errors.As(err, &replaced) || !errors.Is(err, syscall.ENOSPC) ||
			!strings.Contains(err.Error(), "it cannot be written again") {
			t.Errorf("got %v", err)
		}
	}
	disk.Heal()
	if err := k.Look(); err == nil {
		t.Error("it was written again without a word")
	}
	must(t, k.Look())
}

// A look that puts a half-done update right is the end of that, if it succeeds: what happens later is somebody else's
// doing.
func TestALookEndsAHalfDoneUpdate(t *testing.T) {
	disk := simdisk.New()
	k := keeper(t, disk, "Data.fs")
	disk.FailAt(len(disk.Ops())+5, syscall.EIO) // the sync of the folder, after the rename
	if err := k.Update(func(s *State) error { s.MaxEpochSeen = 9; return nil }); !errors.Is(err, syscall.EIO) {
		t.Fatalf("got %v", err)
	}
	disk.Heal()
	disk.FailAt(len(disk.Ops())+1, syscall.ENOSPC)
	if err := k.Look(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("it could not be put right: %v", err)
	}
	disk.Heal()
	must(t, k.Look(), disk.Remove("Data.fs"+Suffix))
	var replaced *ReplacedError
	if err := k.Look(); !errors.As(err, &replaced) {
		t.Errorf("it was removed: %v", err)
	}
}
