package blobstore

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/zrsd/zrsd/zodb"
)

// Walk calls visit for each blob file in the directory, in the order of names, with its size in bytes and its path. An
// error of visit ends the walk and is returned. Other files are passed over.
func (s *Store) Walk(visit func(oid zodb.Oid, tid zodb.Tid, size int64, path string) error) error {
	if err := s.walk(nil, visit, func(err error) error { return err }); err != nil {
		return fmt.Errorf("walk blob directory %s: %w", s.dir, err)
	}
	return nil
}

// walkPast is Walk past folders that cannot be read, which are noted.
func (s *Store) walkPast(visit func(zodb.Oid, zodb.Tid, int64, string) error, note func(error)) error {
	return s.walk(nil, visit, func(err error) error { note(err); return nil })
}

func (s *Store) walk(names []string, visit func(zodb.Oid, zodb.Tid, int64, string) error,
	unreadable func(error) error) error {
	dir := filepath.Join(append([]string{s.dir}, names...)...)
	entries, err := s.fs.ReadDir(dir)
	if err != nil {
		return unreadable(err)
	}
	if len(names) < s.layout.depth() {
		for _, e := range entries {
			if _, ok := parseHex(e.Name()); !ok || !e.IsDir() {
				continue
			}
			if err := s.walk(append(names[:len(names):len(names)], e.Name()), visit, unreadable); err != nil {
				return err
			}
		}
		return nil
	}
	oid, ok := s.layout.oid(names)
	if !ok {
		return nil
	}
	for _, e := range entries {
		tid, ok := parseFileName(e.Name())
		if !ok || e.IsDir() {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if err := visit(oid, tid, info.Size(), filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
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
