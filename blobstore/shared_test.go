package blobstore

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// publish gives a store a blob.
func publish(t *testing.T, s *Store, oid zodb.Oid, tid zodb.Tid, content string) {
	t.Helper()
	b := stage(t, s, oid, tid, []byte(content))
	must(t, errors.Join(b.Sync(), b.Publish(), b.SyncDir()))
}

func putToken(t *testing.T, s *Store) *Token {
	t.Helper()
	token, err := s.PutToken()
	must(t, err)
	return token
}

func shared(t *testing.T, disk vfs.FS, dir string) *Shared {
	t.Helper()
	s, err := OpenShared(dir, disk)
	must(t, err)
	return s
}

func TestATokenProvesTheVeryDirectory(t *testing.T) {
	for _, layout := range []string{Bushy, Lawn} {
		disk := simdisk.New()
		owner := open(t, "nas", Options{FS: disk, Layout: layout})
		publish(t, owner, 1, 2, "content")
		token := putToken(t, owner)
		s := shared(t, disk, "nas")
		must(t, s.Verify(token.Name, token.Digest))
		if size, err := s.Stat(1, 2); size != 7 || err != nil {
			t.Errorf("%s: the blob has %d bytes, %v", layout, size, err)
		}
		must(t, token.Remove())
		if err := s.Verify(token.Name, token.Digest); !errors.Is(err, ErrAnother) {
			t.Errorf("%s: a token that was removed: %v", layout, err)
		}
		entries, err := disk.ReadDir("nas/tmp")
		if err != nil || len(entries) != 0 {
			t.Errorf("%s: left in tmp: %v, %v", layout, entries, err)
		}
	}
}

func TestADirectoryThatLooksAlikeIsAnother(t *testing.T) {
	disk := simdisk.New()
	owner, another := open(t, "nas", Options{FS: disk}), open(t, "copy", Options{FS: disk})
	publish(t, owner, 1, 2, "content")
	publish(t, another, 1, 2, "content")
	token := putToken(t, owner)
	if err := shared(t, disk, "copy").Verify(token.Name, token.Digest); !errors.Is(err, ErrAnother) {
		t.Errorf("a copy: %v", err)
	}
	s := shared(t, disk, "nas")
	if err := s.Verify(token.Name, sha256.Sum256(nil)); !errors.Is(err, ErrAnother) {
		t.Errorf("other content: %v", err)
	}
}

func TestNoNameFromAPeerLeadsOutOfTheDirectory(t *testing.T) {
	disk := simdisk.New()
	owner := open(t, "nas", Options{FS: disk})
	token := putToken(t, owner)
	before := len(disk.Ops())
	s := shared(t, disk, "nas")
	for _, name := range []string{
		"", "../../etc/passwd", token.Name[1:], token.Name + "0", strings.ToUpper("ab") + token.Name[2:],
		"/" + token.Name[1:], strings.Repeat("g", 32), strings.Repeat("\x00", 32),
	} {
		if err := s.Verify(name, token.Digest); err == nil || errors.Is(err, ErrAnother) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if ops := disk.Ops()[before:]; len(ops) != 0 {
		t.Errorf("operations: %v", ops)
	}
}

func TestNothingIsWrittenIntoASharedDirectory(t *testing.T) {
	disk := simdisk.New()
	owner := open(t, "nas", Options{FS: disk})
	publish(t, owner, 1, 2, "content")
	token := putToken(t, owner)
	before := len(disk.Ops())

	s := shared(t, disk, "nas")
	must(t, s.Verify(token.Name, token.Digest))
	f, err := s.OpenBlob(1, 2)
	must(t, err)
	must(t, f.Close())
	if _, err := s.Stage(1, 3, bytes.NewReader(nil)); !errors.Is(err, zodb.ErrReadOnly) {
		t.Errorf("Stage: %v", err)
	}
	must(t, s.SetAside(1, 2, "tr0"))
	if empty, err := s.Empty(); !empty || err != nil {
		t.Errorf("Empty: %v, %v", empty, err)
	}
	if ops := disk.Ops()[before:]; len(ops) != 0 {
		t.Errorf("operations: %v", ops)
	}
	if _, err := s.Stat(1, 2); err != nil {
		t.Errorf("the blob is gone: %v", err)
	}
}

func TestABlobIsMissingOnlyWhereTheDirectoryIs(t *testing.T) {
	disk := simdisk.New()
	owner := open(t, "nas", Options{FS: disk})
	publish(t, owner, 1, 2, "content")
	s := shared(t, disk, "nas")
	var missing *zodb.POSKeyError
	if _, err := s.OpenBlob(1, 3); !errors.As(err, &missing) || !missing.Blob {
		t.Errorf("a blob that is not there: %v", err)
	}
	must(t, disk.Rename("nas", "elsewhere"))
	for _, c := range []struct {
		name string
		step func() error
	}{
		{"no directory", func() error { return nil }},
		{"an empty one", func() error { return disk.Mkdir("nas", 0o777) }},
		{"a similar one", func() error { _, err := Open("nas", Options{FS: disk}); return err }},
	} {
		must(t, c.step())
		var gone *GoneError
		if _, err := s.OpenBlob(1, 2); !errors.As(err, &gone) {
			t.Errorf("%s: OpenBlob: %v", c.name, err)
		}
		if _, err := s.Stat(1, 2); !errors.As(err, &gone) || !strings.Contains(err.Error(), "mounted") {
			t.Errorf("%s: Stat: %v", c.name, err)
		}
	}
}

func TestADirectoryMountedAgainIsTakenAsItIsThen(t *testing.T) {
	disk := simdisk.New()
	open(t, "nas", Options{FS: disk, Layout: Bushy})
	s := shared(t, disk, "nas")
	must(t, disk.Rename("nas", "elsewhere"))
	owner := open(t, "nas", Options{FS: disk, Layout: Lawn})
	publish(t, owner, 1, 2, "content")
	token := putToken(t, owner)
	must(t, s.Verify(token.Name, token.Digest))
	if _, err := s.Stat(1, 2); err != nil {
		t.Error(err)
	}
}

func TestASharedDirectoryMustBeThere(t *testing.T) {
	disk := simdisk.New()
	if _, err := OpenShared("nas", disk); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
	must(t, disk.Mkdir("nas", 0o777))
	if _, err := OpenShared("nas", disk); err == nil || !strings.Contains(err.Error(), "mounted") {
		t.Errorf("an empty directory: %v", err)
	}
}

func TestTokensOfACrashedProcessAreRemoved(t *testing.T) {
	disk := simdisk.New()
	owner := open(t, "nas", Options{FS: disk})
	old := putToken(t, owner)
	foreign, err := disk.OpenFile("nas/tmp/share-nothing", 0o102, 0o666)
	must(t, errors.Join(err, foreign.Close()))

	next := open(t, "nas", Options{FS: disk, ReadOnly: true})
	first, second := putToken(t, next), putToken(t, next)
	entries, err := disk.ReadDir("nas/tmp")
	must(t, err)
	left := map[string]bool{}
	for _, e := range entries {
		left[e.Name()] = true
	}
	if len(left) != 3 || left["share-"+old.Name] || !left["share-"+first.Name] || !left["share-"+second.Name] {
		t.Errorf("left in tmp: %v", left)
	}
}

func TestADirectoryWithoutTheRightToWriteCannotBeProved(t *testing.T) {
	disk := simdisk.New()
	owner := open(t, "nas", Options{FS: disk})
	disk.FailWhen(func(simdisk.Op) error { return fs.ErrPermission })
	if _, err := owner.PutToken(); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("got %v", err)
	}
}
