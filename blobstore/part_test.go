package blobstore

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zrsd/zrsd/zodb"
)

// partOf opens what is there of a blob.
func partOf(t *testing.T, s *Store, oid zodb.Oid) zodb.BlobPart {
	t.Helper()
	p, err := s.Part(oid, 1)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func names(t *testing.T, dir string) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(dir, tmpName))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func TestAPartIsKeptUntilItIsABlob(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.KeepParts(true)
	p := partOf(t, s, 1)
	if _, err := s.Part(1, 1); err == nil {
		t.Error("two have opened it at a time")
	}
	if _, err := p.WriteAt([]byte("begin"), 0); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Open(dir, Options{}) // another process
	if err != nil {
		t.Fatal(err)
	}
	again.KeepParts(true)
	for range 2 { // staged, discarded, and staged again
		p = partOf(t, again, 1)
		b := make([]byte, 5)
		if _, err := p.ReadAt(b, 0); err != nil || string(b) != "begin" {
			t.Errorf("%q, %v", b, err)
		}
		one := stagePart(t, p, "ning and more", 5, 9)
		if err := one.Discard(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := again.OpenBlob(1, 1); err == nil {
		t.Error("a part counts as a blob")
	}
	one, err := partOf(t, again, 1).Stage(9)
	if err != nil {
		t.Fatal(err)
	}
	again.KeepParts(false) // it is in use
	for _, step := range []func() error{one.Sync, one.Publish, one.SyncDir} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	content, err := os.ReadFile(again.path(1, 1))
	if err != nil || string(content) != "beginning" {
		t.Errorf("%q, %v", content, err)
	}
	if info, err := os.Stat(again.path(1, 1)); err != nil || info.Mode().Perm()&0o222 != 0 {
		t.Errorf("it may be written to: %v, %v", info.Mode(), err)
	}
	if left := names(t, dir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// What a seed has left is kept for the next one, and removed when none is to come, or by the first blob that comes in
// another way in another process.
func TestPartsAreRemovedWhenNoSeedIsToGoOn(t *testing.T) {
	for name, end := range map[string]func(*Store, string){
		"no seed is to go on": func(s *Store, _ string) { s.KeepParts(false) },
		"another process": func(_ *Store, dir string) {
			s, err := Open(dir, Options{})
			if err != nil {
				t.Fatal(err)
			}
			one, err := s.Stage(2, 1, strings.NewReader("blob"))
			if err != nil {
				t.Fatal(err)
			}
			if err := one.Discard(); err != nil {
				t.Fatal(err)
			}
		},
	} {
		dir := t.TempDir()
		s, err := Open(dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		s.KeepParts(true)
		if err := partOf(t, s, 1).Close(); err != nil {
			t.Fatal(err)
		}
		if left := names(t, dir); len(left) != 1 {
			t.Errorf("%s: %v", name, left)
		}
		end(s, dir)
		if left := names(t, dir); len(left) > 0 {
			t.Errorf("%s: left: %v", name, left)
		}
	}
}

// A name that a crash has left beside the final one is not written through.
func TestAPartThatIsABlobAsWellIsNotWrittenTo(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.KeepParts(true)
	p := partOf(t, s, 1)
	one := stagePart(t, p, "right", 0, 5)
	if err := one.Publish(); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, tmpName, partPrefix+zodb.Oid(1).String()+"-"+zodb.Tid(1).String()+suffix)
	if err := os.Link(s.path(1, 1), name); err != nil {
		t.Fatal(err)
	}
	p = partOf(t, s, 1)
	if _, err := p.WriteAt([]byte("wrong"), 0); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if content, err := os.ReadFile(s.path(1, 1)); err != nil || string(content) != "right" {
		t.Errorf("%q, %v", content, err)
	}
}

// stagePart writes into a part and makes it a blob of so many bytes that is not published yet.
func stagePart(t *testing.T, p zodb.BlobPart, text string, at, size int64) zodb.StagedBlob {
	t.Helper()
	_, err := p.WriteAt([]byte(text), at)
	if err != nil {
		t.Fatal(err)
	}
	one, err := p.Stage(size)
	if err != nil {
		t.Fatal(err)
	}
	return one
}
