package secondary

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/protocol"
)

// copyOf copies the Data.fs and the blobs of a site on the real disk, and nothing else, to a new folder.
func copyOf(t *testing.T, s *site) string {
	t.Helper()
	dir := t.TempDir()
	copyFile(t, s.data(), filepath.Join(dir, "Data.fs"))
	copyBlobs(t, s.dir, dir)
	return dir
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o666); err != nil {
		t.Fatal(err)
	}
}

func copyBlobs(t *testing.T, from, to string) {
	t.Helper()
	blobs := filepath.Join(from, "blobs")
	if _, err := os.Stat(blobs); err != nil {
		return
	}
	if err := os.CopyFS(filepath.Join(to, "blobs"), os.DirFS(blobs)); err != nil {
		t.Fatal(err)
	}
}

const fixtures = "../testdata/filestorage"

// fixture opens a copy of a fixture as a primary's storage.
func fixture(t *testing.T, name string) *site {
	t.Helper()
	dir := t.TempDir()
	copyFile(t, filepath.Join(fixtures, name, "Data.fs"), filepath.Join(dir, "Data.fs"))
	copyBlobs(t, filepath.Join(fixtures, name), dir)
	return onDisk(t, vfs.OS{}, dir).named(t)
}

// onSocket is asPrimary on a Unix socket.
func (s *site) onSocket(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "p.sock")
	l, err := new(net.ListenConfig).Listen(context.Background(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s.serveOn(t, l, func() (string, []protocol.Epoch) { return s.id.StorageID, s.id.Epochs })
	return path
}
