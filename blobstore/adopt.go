package blobstore

import (
	"errors"
	"fmt"
	"io"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// AdoptDraft makes a draft of a complete file that a client has put into the directory, and removes its name. The file
// is renamed, or copied if it belongs to another user or is on another file system. Its owner may replace the name by a
// link at any moment, so nothing uses the name once the file is open. The error wraps vfs.ErrNotPlain when the name
// leads to anything but a plain file with one name.
func (s *Store) AdoptDraft(path string) (zodb.BlobDraft, error) {
	if s.readOnly {
		return nil, fmt.Errorf("take over a blob: %w", zodb.ErrReadOnly)
	}
	d, err := s.adopt(path)
	if err != nil {
		return nil, fmt.Errorf("take over a blob: %w", err)
	}
	return d, nil
}

func (s *Store) adopt(path string) (zodb.BlobDraft, error) {
	if err := s.readyTmp(); err != nil {
		return nil, err
	}
	f, err := vfs.Receive(s.fs, s.dir, path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	d, err := s.linkReceived(f)
	if err != nil {
		d, err = s.copyReceived(f)
	}
	if err != nil {
		return nil, err
	}
	if err := f.Unlink(); err != nil {
		return nil, errors.Join(err, d.Discard())
	}
	return d, nil
}

// linkReceived takes the very file.
func (s *Store) linkReceived(f vfs.Received) (zodb.BlobDraft, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	// Who cannot take the right to write from a file does not own it, and must not keep it.
	if err := vfs.Chmod(s.fs, f, readOnly(info)); err != nil {
		return nil, err
	}
	to := s.draftPath()
	if err := f.LinkTo(to); err != nil {
		return nil, err
	}
	return &draft{s: s, path: to, size: info.Size()}, nil
}

func (s *Store) copyReceived(f vfs.Received) (zodb.BlobDraft, error) {
	d, err := s.Draft()
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		_, err = io.Copy(d, io.NewSectionReader(f, 0, info.Size()))
	}
	if err != nil {
		return nil, errors.Join(err, d.Discard())
	}
	return d, nil
}
