package blobstore

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/zrsd/zrsd/zodb"
)

// Walk calls visit for each blob file in the directory, in the order of names, with its size in bytes and its path. An
// error of visit ends the walk and is returned. Other files are passed over.
func (s *Store) Walk(visit func(oid zodb.Oid, tid zodb.Tid, size int64, path string) error) error {
	return s.Survey(Surveyor{Blob: func(oid zodb.Oid, tid zodb.Tid, path string, info fs.FileInfo) error {
		return visit(oid, tid, info.Size(), path)
	}})
}

// A Surveyor is told of what is in a blob directory. An error of it ends the survey.
type Surveyor struct {
	// Blob is called with what has the name of a blob of the directory's layout: a file, or a symbolic link, which is
	// not followed.
	Blob func(oid zodb.Oid, tid zodb.Tid, path string, info fs.FileInfo) error
	// Other is called with what has another name, and with folders that cannot lead to a blob. It is not looked into
	// them. nil: they are passed over.
	Other func(path string, entry fs.DirEntry) error
	// Unreadable is called when a folder cannot be read; nil: that ends the survey.
	Unreadable func(dir string, err error) error
}

// Survey goes through the directory in the order of names. It follows no symbolic link below the directory.
func (s *Store) Survey(to Surveyor) error {
	if to.Unreadable == nil {
		to.Unreadable = func(_ string, err error) error { return err }
	}
	if to.Other == nil {
		to.Other = func(string, fs.DirEntry) error { return nil }
	}
	l, end := s.beginWalk()
	defer end()
	if err := s.survey(l, nil, &to); err != nil {
		return fmt.Errorf("walk blob directory %s: %w", s.dir, err)
	}
	return nil
}

// WalkPast is Walk past folders that cannot be read: unreadable is called with each, and an error of it ends the walk.
func (s *Store) WalkPast(visit func(oid zodb.Oid, tid zodb.Tid, size int64, path string) error,
	unreadable func(dir string, err error) error) error {
	return s.Survey(Surveyor{
		Blob: func(oid zodb.Oid, tid zodb.Tid, path string, info fs.FileInfo) error {
			return visit(oid, tid, info.Size(), path)
		},
		Unreadable: unreadable,
	})
}

// survey looks into the folder that names lead to.
func (s *Store) survey(l layout, names []string, to *Surveyor) error {
	dir := filepath.Join(append([]string{s.dir}, names...)...)
	entries, err := s.fs.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) && len(names) > 0 && s.Here() == nil {
		return nil // it became empty, and was removed meanwhile
	}
	if err != nil {
		return to.Unreadable(dir, err)
	}
	oid, ok := l.oid(names)
	for _, e := range entries {
		switch {
		case ok:
			err = s.surveyBlob(oid, dir, e, to)
		case e.IsDir() && leads(l, names, e.Name()):
			err = s.survey(l, append(names[:len(names):len(names)], e.Name()), to)
		default:
			err = to.Other(filepath.Join(dir, e.Name()), e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// leads reports whether a folder of some name, below those of names, can lead to blobs.
func leads(l layout, names []string, name string) bool {
	_, is := parseHex(name)
	if is && len(names)+1 == l.depth() {
		_, is = l.oid(append(names[:len(names):len(names)], name))
	}
	return is
}

func (s *Store) surveyBlob(oid zodb.Oid, dir string, e fs.DirEntry, to *Surveyor) error {
	tid, ok := ParseFileName(e.Name())
	path := filepath.Join(dir, e.Name())
	if !ok || e.IsDir() {
		return to.Other(path, e)
	}
	info, err := e.Info()
	if errors.Is(err, fs.ErrNotExist) { // it was removed meanwhile
		return nil
	}
	if err != nil {
		return err
	}
	return to.Blob(oid, tid, path, info)
}

var errFound = errors.New("found")

// Empty reports whether there is no blob file in the directory.
func (s *Store) Empty() (bool, error) {
	err := s.Walk(func(zodb.Oid, zodb.Tid, int64, string) error { return errFound })
	if errors.Is(err, errFound) {
		return false, nil
	}
	return err == nil, err
}
