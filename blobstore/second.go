package blobstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// A doubling says what a conversion that has begun, and has not ended, wants of the blobs that come and go meanwhile.
type doubling int32

const (
	single doubling = iota // there is none
	both                   // a blob that comes gets a name in each layout
	ending                 // it gets one; names in the other layout are being removed
)

func (s *Store) doubled() doubling { return doubling(s.doubling.Load()) }

// noteDoubling takes from the plan of a conversion what it wants.
func (s *Store) noteDoubling() error {
	d, err := s.planned()
	s.doubling.Store(int32(d))
	if d != single {
		s.log.Info("the layout of the blob directory is being converted, and blobs may have two names: zrsd blobs "+
			"convert goes on with it", "dir", s.dir, "layout", s.Layout())
	}
	return err
}

// planned reads the plan of a conversion.
func (s *Store) planned() (doubling, error) {
	f, err := vfs.OpenPlain(s.fs, s.convertPlan())
	if errors.Is(err, fs.ErrNotExist) {
		return single, nil
	}
	if err != nil {
		return single, err
	}
	text, err := io.ReadAll(io.NewSectionReader(f, 0, maxMarker))
	if err := errors.Join(err, f.Close()); err != nil {
		return single, fmt.Errorf("read the plan of a conversion: %w", err)
	}
	if strings.HasSuffix(strings.TrimSpace(string(text)), " "+planEnd) {
		return ending, nil
	}
	return both, nil
}

func (s *Store) pathIn(l layout, oid zodb.Oid, tid zodb.Tid) string {
	return filepath.Join(s.dir, l.folder(oid), FileName(tid))
}

// names returns where a blob is, and where else it may have a name; "": nowhere. Who needs the answer to stay true
// holds publishing.
//
// Who removes a blob removes the first one first: a conversion makes the second one from it.
func (s *Store) names(oid zodb.Oid, tid zodb.Tid) (path, second string) {
	l := s.layout()
	if s.doubled() != single {
		second = s.pathIn(otherThan(l), oid, tid)
	}
	return s.pathIn(l, oid, tid), second
}

// Folders are where clients that share the directory may have put the file of a blob of an object: they read the layout
// when they start, and keep to it.
func (s *Store) Folders(oid zodb.Oid) []string {
	path, second := s.names(oid, 0)
	if second == "" {
		return []string{filepath.Dir(path)}
	}
	return []string{filepath.Dir(path), filepath.Dir(second)}
}

// nameTwice gives a blob that has just got its name the second one, as a conversion wants it, and returns that. A
// failure is no reason to fail a commit: a conversion that has not switched the marker yet looks through the directory
// again. publishing is held.
func (s *Store) nameTwice(path, second string) string {
	var err error
	switch s.doubled() {
	case single:
		return ""
	case ending:
		err = vfs.RemoveIfThere(s.fs, second) // what is there is not what was just published
	case both:
		if err = s.linkInstead(path, second); err == nil {
			return second
		}
	}
	if err != nil {
		s.missed.Add(1)
		s.log.Info("a blob has no second name in the layout that the directory is converted from or to", "path", path,
			"second", second, "error", err)
	}
	return ""
}

// linkInstead gives a file a second name, which another file may have.
func (s *Store) linkInstead(path, second string) error {
	if err := s.withoutLinks(filepath.Dir(second)); err != nil {
		return err
	}
	if err := s.folders.make(filepath.Dir(second)); err != nil {
		return err
	}
	err := s.fs.Link(path, second)
	if !errors.Is(err, fs.ErrExist) || s.sameFile(path, second) {
		return ignoreExist(err)
	}
	if err := s.fs.Remove(second); err != nil {
		return err
	}
	return s.fs.Link(path, second)
}

func ignoreExist(err error) error {
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// unname removes the names of a blob, and reports whether it had any. They are not synced.
func (s *Store) unname(oid zodb.Oid, tid zodb.Tid) (folders []string, had bool, err error) {
	s.publishing.RLock()
	defer s.publishing.RUnlock()
	path, second := s.names(oid, tid)
	for _, name := range []string{path, second} {
		if name == "" || err != nil {
			continue
		}
		folders = append(folders, filepath.Dir(name))
		switch e := s.fs.Remove(name); {
		case e == nil:
			had = true
		case !errors.Is(e, fs.ErrNotExist):
			err = e
		}
	}
	return folders, had, err
}

// syncThere makes the names in folders durable, as far as the folders are there. During a conversion, which removes
// some, it makes durable as well that one is not.
func (s *Store) syncThere(folders ...string) error {
	for _, dir := range folders {
		err := s.folders.sync(dir)
		for errors.Is(err, fs.ErrNotExist) && dir != s.dir && s.doubled() != single {
			dir = filepath.Dir(dir)
			err = s.folders.sync(dir)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// nameMissed gives a blob that was put under path, by a process that may know nothing of a conversion, the name that
// the directory wants now, durably.
func (s *Store) nameMissed(oid zodb.Oid, tid zodb.Tid, path string) error {
	wants, err := s.planned()
	if err != nil {
		return err
	}
	s.noteLayout()
	l := s.layout()
	names := []string{s.pathIn(l, oid, tid)}
	if wants == both {
		names = append(names, s.pathIn(otherThan(l), oid, tid))
	}
	for _, name := range names {
		if name == path {
			continue
		}
		if err := s.linkInstead(path, name); err != nil {
			return err
		}
		if err := s.folders.sync(filepath.Dir(name)); err != nil {
			return err
		}
	}
	return nil
}

// tryLink finds out whether files can have two names here.
func (s *Store) tryLink() error {
	path := filepath.Join(s.dir, tmpName, fmt.Sprintf("%slink-%020d", tmpPrefix, s.serial.Add(1)))
	f, err := s.fs.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666)
	if err != nil {
		return err
	}
	second := path + ".second"
	err = errors.Join(f.Close(), s.fs.Link(path, second))
	return errors.Join(err, vfs.RemoveIfThere(s.fs, second), vfs.RemoveIfThere(s.fs, path))
}

// walks counts who goes through the directory, by layout: names of the old one are not removed before they have ended.
type walks struct {
	mu   sync.Mutex
	by   map[string]int
	less chan struct{} // closed when there is one less
}

// begin returns the layout to go by, and what is called at the end.
func (s *Store) beginWalk() (l layout, end func()) {
	s.publishing.RLock() // no switch meanwhile
	defer s.publishing.RUnlock()
	l = s.layout()
	w := &s.walks
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.by == nil {
		w.by = map[string]int{}
	}
	w.by[l.name()]++
	return l, func() { w.end(l.name()) }
}

func (w *walks) end(layout string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.by[layout]--
	if w.less != nil {
		close(w.less)
		w.less = nil
	}
}

// wait waits until nobody goes through a layout.
func (w *walks) wait(ctx context.Context, layout string) error {
	for {
		w.mu.Lock()
		if w.by[layout] == 0 {
			w.mu.Unlock()
			return nil
		}
		if w.less == nil {
			w.less = make(chan struct{})
		}
		less := w.less
		w.mu.Unlock()
		select {
		case <-less:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// keepLayout keeps a conversion from switching the layout until end is called.
func (s *Store) keepLayout(ctx context.Context) (end func(), err error) {
	select {
	case s.steady <- struct{}{}:
		return func() { <-s.steady }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
