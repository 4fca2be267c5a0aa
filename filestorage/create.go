package filestorage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// fileMode is that of all files of a storage, before the umask.
const fileMode fs.FileMode = 0o666

// openFile opens the Data.fs, creating it where there is none, and reads its magic.
func (s *Storage) openFile(opt Options) error {
	var err error
	s.file, err = s.fs.OpenFile(s.path, s.openFlag(), 0)
	if missing := errors.Is(err, fs.ErrNotExist); missing && !opt.ReadOnly && !opt.MustExist {
		err = s.create()
	} else if to := vfs.LinkTarget(s.fs, s.path); missing && to != "" {
		err = fmt.Errorf("%s is a symbolic link to %s, which does not exist: %w", s.path, to, err)
	}
	if err == nil {
		s.id, err = s.file.Stat()
	}
	if err == nil && s.lock != nil {
		err = s.lock.claim(s.file) // before anything is changed
	}
	if err == nil && s.lock != nil {
		err = finishRepair(s.fs, s.path, s.file, s.now(), s.log)
	}
	if err != nil {
		return err
	}
	return s.readMagic(opt.Magic)
}

// create makes an empty Data.fs, unless there are signs of a storage that has lost its own.
func (s *Storage) create() error {
	for _, suffix := range []string{".old", ".pack"} {
		_, err := s.fs.Stat(s.path + suffix)
		if err == nil {
			return &CreateError{Path: s.path, Found: s.path + suffix}
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if s.blobs != nil {
		empty, err := s.blobs.Empty()
		if err != nil {
			return fmt.Errorf("look for blobs beside a new storage: %w", err)
		}
		if !empty {
			return &CreateError{Path: s.path, Found: "a blob directory with blobs in it"}
		}
	}
	var err error
	s.file, err = s.fs.OpenFile(s.path, s.openFlag()|os.O_CREATE, fileMode) // also where a symbolic link leads
	if to := vfs.LinkTarget(s.fs, s.path); to != "" && err != nil {
		err = fmt.Errorf("create %s, to which the symbolic link %s leads: %w", to, s.path, err)
	} else if to != "" {
		err = s.syncTarget()
	}
	return err
}

// syncTarget makes the name durable to which a symbolic link leads.
func (s *Storage) syncTarget() error {
	target, err := filepath.EvalSymlinks(s.path)
	if err != nil {
		return err
	}
	return s.fs.SyncDir(filepath.Dir(target))
}

// readMagic finds out the magic of the file. An empty file gets one. One with less than a magic in it, or four zeros,
// was interrupted while it was created, and counts as empty.
func (s *Storage) readMagic(forNew zodb.Magic) error {
	var b [magicLen + 1]byte
	n, err := s.file.ReadAt(b[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	copy(s.magic[:], b[:])
	switch {
	case n >= magicLen && s.magic.Known():
		return nil
	case n > magicLen || !halfMade(b[:n]):
		return s.corrupt(0, "the magic FS30 or FS21 of a Data.fs", fmt.Sprintf("%q", b[:min(n, magicLen)]))
	}
	if s.magic = forNew; !forNew.Known() {
		s.magic = zodb.MagicFS30
	}
	if s.readOnly {
		return nil
	}
	if err := s.writeMagic(); err != nil {
		return err
	}
	s.log.Info("created an empty data file; if there should have been one already, check the path", "file", s.path)
	return nil
}

// halfMade reports whether b is what a crash can leave of a magic.
func halfMade(b []byte) bool {
	return len(bytes.Trim(b, "\x00")) == 0 ||
		bytes.HasPrefix(zodb.MagicFS30[:], b) || bytes.HasPrefix(zodb.MagicFS21[:], b)
}

func (s *Storage) writeMagic() error {
	if _, err := s.file.WriteAt(s.magic[:], 0); err != nil {
		return err
	}
	if err := s.file.Sync(); err != nil {
		return err
	}
	return s.fs.SyncDir(filepath.Dir(s.path))
}

// ErrNotEmpty says that a storage has transactions already.
var ErrNotEmpty = errors.New("the storage has transactions: only an empty storage can change its magic")

// Magic returns the first four bytes of the file.
func (s *Storage) Magic() zodb.Magic {
	s.view.RLock()
	defer s.view.RUnlock()
	return s.magic
}

// SetMagic changes the first four bytes of the file of an empty storage, durably. A copy must have the magic of the
// original, which is not always known when the file is created. Errors: ErrNotEmpty, zodb.ErrReadOnly, zodb.ErrClosed,
// *FailedError.
func (s *Storage) SetMagic(m zodb.Magic) error {
	if err := s.setMagic(m); err != nil {
		return fmt.Errorf("change the magic of %s to %s: %w", s.path, m, err)
	}
	return nil
}

func (s *Storage) setMagic(m zodb.Magic) error {
	switch {
	case !m.Known():
		return errors.New("unknown magic")
	case s.readOnly:
		return zodb.ErrReadOnly
	}
	if err := s.lockCommit(context.Background()); err != nil {
		return err
	}
	defer func() { <-s.commit }()
	if s.writer.end != magicLen {
		return ErrNotEmpty
	}
	if _, err := s.file.WriteAt(m[:], 0); err != nil {
		return err
	}
	if err := s.file.Sync(); err != nil {
		return s.fail(fmt.Errorf("sync: %w", err))
	}
	s.view.Lock()
	defer s.view.Unlock()
	s.magic = m
	return nil
}
