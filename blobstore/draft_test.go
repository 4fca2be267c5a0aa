package blobstore

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

func draftOf(t *testing.T, s *Store, content string) zodb.BlobDraft {
	t.Helper()
	d, err := s.Draft()
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range strings.SplitAfter(content, " ") {
		if _, err := io.WriteString(d, part); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

func publishDraft(t *testing.T, d zodb.BlobDraft, oid zodb.Oid, tid zodb.Tid) {
	t.Helper()
	b, err := d.Stage(oid, tid)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(b.Sync(), b.Publish(), b.SyncDir()); err != nil {
		t.Fatal(err)
	}
}

func contentOf(t *testing.T, s *Store, oid zodb.Oid, tid zodb.Tid) string {
	t.Helper()
	f, err := s.OpenBlob(oid, tid)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestADraftSurvivesAVoteThatFailed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "blobs")
	s := open(t, dir, Options{})
	d := draftOf(t, s, "sent in parts")
	lost, err := d.Stage(1, 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(lost.Sync(), lost.Publish(), lost.Discard()); err != nil {
		t.Fatal(err)
	}
	publishDraft(t, d, 1, 3)
	if err := errors.Join(d.Discard(), d.Discard()); err != nil {
		t.Fatal(err)
	}
	if got := contentOf(t, s, 1, 3); got != "sent in parts" || d.Size() != int64(len(got)) {
		t.Errorf("got %q, the draft had %d bytes", got, d.Size())
	}
	if left := tmpNames(t, dir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// A linkless file system has one name for each file.
type linkless struct{ vfs.FS }

func (linkless) Link(string, string) error { return syscall.EPERM }

func TestADraftIsCopiedWhereFilesHaveOneName(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "blobs")
	s := open(t, dir, Options{FS: linkless{vfs.OS{}}})
	d := draftOf(t, s, "a blob")
	publishDraft(t, d, 1, 2)
	publishDraft(t, d, 1, 3)
	if err := d.Discard(); err != nil {
		t.Fatal(err)
	}
	if contentOf(t, s, 1, 2) != "a blob" || contentOf(t, s, 1, 3) != "a blob" {
		t.Error("the content is another")
	}
	if left := tmpNames(t, dir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestADraftThatNobodyWantedLeavesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "blobs")
	s := open(t, dir, Options{})
	if err := draftOf(t, s, "never stored").Discard(); err != nil {
		t.Fatal(err)
	}
	if left := tmpNames(t, dir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestAnAdoptedFileIsMoved(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "blobs")
	s := open(t, dir, Options{})
	path := filepath.Join(dir, "of-a-client.tmp")
	if err := os.WriteFile(path, []byte("shared"), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := s.AdoptDraft(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the client's name is still there: %v", err)
	}
	if _, err := d.Write([]byte("more")); err == nil {
		t.Error("an adopted file can be written to")
	}
	publishDraft(t, d, 1, 2)
	if err := d.Discard(); err != nil {
		t.Fatal(err)
	}
	if got := contentOf(t, s, 1, 2); got != "shared" {
		t.Errorf("got %q", got)
	}
	if _, err := s.AdoptDraft(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}

func TestAFileThatCannotBeMovedIsCopied(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "blobs")
	s := open(t, dir, Options{FS: linkless{vfs.OS{}}})
	path := filepath.Join(dir, "of-a-client.tmp")
	if err := os.WriteFile(path, []byte("shared"), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := s.AdoptDraft(path)
	if err != nil {
		t.Fatal(err)
	}
	publishDraft(t, d, 1, 2)
	if err := d.Discard(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) || contentOf(t, s, 1, 2) != "shared" {
		t.Errorf("not taken over: %v", err)
	}
}
