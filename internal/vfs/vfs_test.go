package vfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestALockIsHeldOnceAndSaysByWhom(t *testing.T) {
	path := filepath.Join(t.TempDir(), "Data.fs.lock")
	if err := os.WriteFile(path, []byte("something longer than what comes"), 0o666); err != nil {
		t.Fatal(err)
	}
	l, err := OS{}.Lock(path, " 123\n")
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != " 123\n" {
		t.Errorf("the file has %q, %v", b, err)
	}
	if _, err := (OS{}).Lock(path, " 456\n"); !errors.Is(err, ErrLocked) {
		t.Errorf("second lock: %v", err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != " 123\n" {
		t.Errorf("the loser wrote %q, %v", b, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := OS{}.Lock(path, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}

// The claim of a file holds whatever becomes of its names, and ends with the file.
func TestAFileIsClaimedOnceUnderAllItsNames(t *testing.T) {
	path := filepath.Join(t.TempDir(), "Data.fs")
	open := func(path string) File {
		f, err := OS{}.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	first := open(path)
	claim, err := Claim(first)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, path+".other"); err != nil {
		t.Fatal(err)
	}
	second := open(path + ".other")
	if _, err := Claim(second); !errors.Is(err, ErrLocked) {
		t.Errorf("claimed twice: %v", err)
	}
	if err := errors.Join(first.Close(), claim.Close()); err != nil {
		t.Error(err)
	}
	if claim, err = Claim(second); err != nil {
		t.Errorf("after the first was closed: %v", err)
	} else if err := errors.Join(claim.Close(), second.Close()); err != nil {
		t.Error(err)
	}
}

func TestMissingThingsAreNotExist(t *testing.T) {
	disk, dir := OS{}, t.TempDir()
	no := filepath.Join(dir, "no", "thing")
	for what, err := range map[string]error{
		"open":    second(disk.OpenFile(no, os.O_RDWR, 0)),
		"stat":    second(disk.Stat(no)),
		"readdir": second(disk.ReadDir(no)),
		"mkdir":   disk.Mkdir(no, 0o777),
		"rename":  disk.Rename(no, no+"2"),
		"remove":  disk.Remove(no),
		"syncdir": disk.SyncDir(no),
		"lock":    second(disk.Lock(no, "")),
	} {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := disk.SyncDir(dir); err != nil {
		t.Error(err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestSameFileFollowsTheFile(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	for _, path := range []string{a, b} {
		if err := os.WriteFile(path, nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	before, err := OS{}.Stat(a)
	if err != nil {
		t.Fatal(err)
	}
	if err := (OS{}).Rename(b, a); err != nil {
		t.Fatal(err)
	}
	after, err := OS{}.Stat(a)
	if err != nil {
		t.Fatal(err)
	}
	if !SameFile(before, before) || SameFile(before, after) {
		t.Error("a file is not itself, or the one that replaced it")
	}
}
