package zeo

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/zodb"
)

func TestAFileThatAClientHasPutBesideABlobIsTakenOver(t *testing.T) {
	s := start(t, Options{}, StorageOptions{})
	p, _ := s.register(t)
	folder := s.st.BlobFolders(1)[0]
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, "blob.tmp")
	if err := os.WriteFile(path, []byte("shared"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.call("tpc_begin", int64(1), pickle.Bytes{}, pickle.Bytes{}, &pickle.Dict{}, nil, " ")
	p.call("storeBlobShared", oidValue(1), tidValue(0), pickle.Bytes("r"), "blob.tmp", int64(1))
	p.call("vote", int64(1))
	tid := tidIn(t, p.call("tpc_finish", int64(1)))
	f, err := s.st.OpenBlob(1, tid)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got, err := io.ReadAll(io.NewSectionReader(f, 0, 100))
	if err != nil || string(got) != "shared" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the client's name is still there")
	}
}

func TestAClientCannotMakeABlobOfAnotherFile(t *testing.T) {
	s := start(t, Options{}, StorageOptions{})
	p, _ := s.register(t)
	folder := s.st.BlobFolders(1)[0]
	secret := filepath.Join(t.TempDir(), "secret.tmp")
	if err := os.MkdirAll(filepath.Join(folder, "folder.tmp"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, filepath.Join(folder, "link.tmp")); err != nil {
		t.Fatal(err)
	}
	p.call("tpc_begin", int64(1), pickle.Bytes{}, pickle.Bytes{}, &pickle.Dict{}, nil, " ")
	relative, err := filepath.Rel(folder, secret)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"link.tmp", "folder.tmp", "nothing.tmp", relative, secret, "Data.fs", ""} {
		p.refused(classValue, "storeBlobShared", oidValue(1), tidValue(0), pickle.Bytes("r"), name, int64(1))
	}
	if _, err := os.Stat(secret); err != nil {
		t.Errorf("the other file is gone: %v", err)
	}
	p.call("tpc_abort", int64(1))
	if _, err := s.st.OpenBlob(1, zodb.MaxTid); err == nil {
		t.Error("there is a blob")
	}
}
