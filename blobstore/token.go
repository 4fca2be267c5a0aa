package blobstore

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/warning"
)

const (
	tokenPrefix    = "share-"
	tokenNameBytes = 16 // random, written as hexadecimal digits
	tokenBytes     = 32
)

// A Token is a file of random name in the folder of incoming files. A node that can read it sees this very directory at
// this time, not a copy of it.
type Token struct {
	Name   string            // 32 lower-case hexadecimal digits, a part of the file's name
	Digest [sha256.Size]byte // of its content

	fs   vfs.FS
	path string
}

// PutToken makes a token, which the caller removes as soon as it was looked at. It is the one thing that is ever
// written into a directory that was opened read-only, and fails where that is not possible, as without the right to
// write. What a crashed process left is removed by the first call.
func (s *Store) PutToken() (*Token, error) {
	s.oldTokens()
	t, err := s.putToken()
	if err != nil {
		return nil, fmt.Errorf("put a token into blob directory %s: %w", s.dir, err)
	}
	return t, nil
}

func (s *Store) putToken() (*Token, error) {
	content := hex.AppendEncode(nil, random(tokenBytes))
	t := &Token{Name: hex.EncodeToString(random(tokenNameBytes)), Digest: sha256.Sum256(content), fs: s.fs}
	t.path = tokenPath(s.dir, t.Name)
	f, err := s.fs.OpenFile(t.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, err
	}
	_, err = f.WriteAt(content, 0)
	if err == nil {
		err = f.Sync() // a network file system shows others what is synced
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, errors.Join(err, t.Remove())
	}
	return t, nil
}

// Remove removes the file.
func (t *Token) Remove() error { return t.fs.Remove(t.path) }

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}

func tokenPath(dir, name string) string { return filepath.Join(dir, tmpName, tokenPrefix+name) }

// isTokenName guards against a name from a peer that leads elsewhere.
func isTokenName(name string) bool {
	b, err := hex.DecodeString(name)
	return err == nil && len(b) == tokenNameBytes && name == strings.ToLower(name)
}

// removeOldTokens runs before the first token is put. That another process on the directory loses a token which it has
// just put is possible, and mended by its peer's next attempt.
func (s *Store) removeOldTokens() {
	tmp := filepath.Join(s.dir, tmpName)
	entries, err := s.fs.ReadDir(tmp)
	if err != nil {
		return // putting one will fail and tell
	}
	for _, e := range entries {
		name, ok := strings.CutPrefix(e.Name(), tokenPrefix)
		if !ok || !isTokenName(name) {
			continue
		}
		if err := s.fs.Remove(filepath.Join(tmp, e.Name())); err != nil {
			s.log.Warn("cannot remove an old token", "dir", s.dir, "name", e.Name(), "error", err,
				"warning", warning.CleanupLeft)
		}
	}
}

// readToken returns the digest of a token's content.
func readToken(disk vfs.FS, dir, name string) (digest [sha256.Size]byte, err error) {
	f, err := vfs.OpenPlain(disk, tokenPath(dir, name))
	if err != nil {
		return digest, err
	}
	defer f.Close() //nolint:errcheck // nothing was written
	content, err := io.ReadAll(io.NewSectionReader(f, 0, 2*tokenBytes+1))
	return sha256.Sum256(content), err
}
