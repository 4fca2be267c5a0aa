package blobstore

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"

	"github.com/zrsd/zrsd/internal/vfs"
)

// A GoneError says that a directory is not what it was when it was last looked at: unmounted, renamed, or replaced. So
// nothing can be said about a blob that is not in it.
type GoneError struct{ Dir string }

func (e *GoneError) Error() string {
	return fmt.Sprintf(
		"blob directory %s was replaced: check that it is still mounted under this name; if you replaced it on "+
			"purpose, restart the process",
		e.Dir,
	)
}

// A presence is what a directory was when it was known to be there.
type presence struct {
	mu           sync.Mutex
	root, marker fs.FileInfo // marker may be nil
}

// notePresence takes the directory for what it is now.
func (s *Store) notePresence() error {
	root, err := s.fs.Stat(s.dir)
	if err != nil {
		return err
	}
	marker, err := s.fs.Stat(filepath.Join(s.dir, markerName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s.presence.mu.Lock()
	defer s.presence.mu.Unlock()
	s.presence.root, s.presence.marker = root, marker
	return nil
}

// Here is a *GoneError when the directory is not the one that it was, and nil otherwise.
func (s *Store) Here() error {
	if !s.there() {
		return &GoneError{s.dir}
	}
	return nil
}

// there reports whether the directory is the one that it was: the same file, or, mounted again, the same numbers of
// folder and marker on another device. What stays behind where it was mounted is another folder.
func (s *Store) there() bool {
	root, err := s.fs.Stat(s.dir)
	if err != nil {
		return false
	}
	p := &s.presence
	p.mu.Lock()
	defer p.mu.Unlock()
	if vfs.SameFile(root, p.root) {
		return true
	}
	marker, err := s.fs.Stat(filepath.Join(s.dir, markerName))
	if err != nil || p.marker == nil || !sameNumber(root, p.root) || !sameNumber(marker, p.marker) ||
		!marker.ModTime().Equal(p.marker.ModTime()) {
		return false
	}
	p.root, p.marker = root, marker
	return true
}

func sameNumber(a, b fs.FileInfo) bool { return vfs.Number(a) != 0 && vfs.Number(a) == vfs.Number(b) }

// confirm looks again for what was not found. It counts as missing only if the directory was there before and after.
func (s *Store) confirm(look func() error) error {
	before := s.there()
	s.noteLayout()
	err := look()
	if errors.Is(err, fs.ErrNotExist) && (!before || !s.there()) {
		return &GoneError{s.dir}
	}
	return err
}

// noteLayout takes the layout from the marker if that is another file than before: another process has converted the
// directory.
func (s *Store) noteLayout() {
	marker, err := s.fs.Stat(filepath.Join(s.dir, markerName))
	p := &s.presence
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil || p.marker != nil && vfs.SameFile(marker, p.marker) {
		return
	}
	text, err := s.readMarker()
	if l, known := layoutNamed(strings.TrimSpace(text)); err == nil && known {
		s.shape.Store(&l)
		p.marker = marker
	}
}
