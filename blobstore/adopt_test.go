package blobstore

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zrsd/zrsd/internal/vfs"
)

// A name that a client has put into the directory is taken for a file of its own and nothing else. What it leads to
// otherwise stays as it is, whenever the client exchanges it.
func TestNothingButAPlainFileIsAdopted(t *testing.T) {
	outside := t.TempDir()
	secret := filepath.Join(outside, "secret.tmp")
	for name, put := range map[string]func(folder, path string) error{
		"a symbolic link": func(_, path string) error { return os.Symlink(secret, path) },
		"a second name":   func(_, path string) error { return os.Link(secret, path) },
		"a folder":        func(_, path string) error { return os.Mkdir(path, 0o777) },
		"a pipe":          func(_, path string) error { return unix.Mkfifo(path, 0o666) },
		"a link in place of the folder": func(folder, _ string) error {
			return errors.Join(os.Remove(folder), os.Symlink(outside, folder))
		},
	} {
		t.Run(name, func(t *testing.T) {
			must(t, os.WriteFile(secret, []byte("the secret"), 0o640))
			s := open(t, filepath.Join(t.TempDir(), "blobs"), Options{})
			folder := s.Folders(1)[0]
			must(t, os.MkdirAll(folder, 0o777))
			must(t, put(folder, filepath.Join(folder, "secret.tmp")))
			if _, err := s.AdoptDraft(filepath.Join(folder, "secret.tmp")); !errors.Is(err, vfs.ErrNotPlain) {
				t.Errorf("got %v, want vfs.ErrNotPlain", err)
			}
			if left := tmpNames(t, s.Dir()); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
			info, err := os.Stat(secret)
			if err != nil || info.Mode().Perm() != 0o640 {
				t.Errorf("the other file has mode %v, %v", info.Mode(), err)
			}
		})
	}
}

// The name may be exchanged once the file is open: the link goes, and what it leads to is not touched.
func TestANameExchangedWhileItIsAdoptedLeadsNowhere(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	must(t, os.WriteFile(secret, []byte("the secret"), 0o640))
	dir := t.TempDir()
	path := filepath.Join(dir, "x.tmp")
	must(t, os.WriteFile(path, []byte("harmless"), 0o666))
	f, err := vfs.Receive(vfs.OS{}, dir, path)
	must(t, err)
	defer f.Close()
	must(t, errors.Join(os.Remove(path), os.Symlink(secret, path)))
	must(t, vfs.Chmod(vfs.OS{}, f, 0o400))
	if info, err := os.Stat(secret); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("the other file has mode %v, %v", info.Mode(), err)
	}
	to := filepath.Join(dir, "taken")
	if err := f.LinkTo(to); err == nil { // a file without a name gets no second one
		t.Error("a file that is gone was given a name")
	}
	must(t, f.Unlink())
	if content, err := os.ReadFile(secret); err != nil || string(content) != "the secret" {
		t.Errorf("the other file has %q, %v", content, err)
	}
}

// A client that may write into the directory can put a link under the name of a blob.
func TestALinkIsNoBlob(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "blobs"), Options{})
	secret := filepath.Join(t.TempDir(), "secret")
	must(t, errors.Join(os.WriteFile(secret, nil, 0o600), os.MkdirAll(s.Folders(1)[0], 0o777),
		os.Symlink(secret, s.path(1, 2))))
	if _, err := s.OpenBlob(1, 2); !errors.Is(err, vfs.ErrNotPlain) {
		t.Errorf("got %v, want vfs.ErrNotPlain", err)
	}
}

func TestTheCacheOfAClientIsNoBlobDirectory(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, markerName), []byte("zeocache\n"), 0o666))
	for _, layout := range []string{"", Bushy, Lawn} {
		_, err := Open(dir, Options{Layout: layout})
		if err == nil || !strings.Contains(err.Error(), "is the blob cache of a ZEO client") {
			t.Errorf("layout %q: %v", layout, err)
		}
	}
}
