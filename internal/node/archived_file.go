package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/archive"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// An archivedFile is the data file of a generation of an archive, which is not here.
type archivedFile struct {
	s     *viewSession
	in    *archive.Generation
	size  int64 // up to which it is needed at first
	grows bool  // it is needed as far as there is of it

	ready chan struct{} // closed when it was tried to open it
	err   error
	view  *archive.View
	st    *filestorage.Storage
	blobs *archive.ViewBlobs
}

const generationFolder = "generation-"

// data is the path at which the file is seen, in a folder of its own beside the cache.
func (f *archivedFile) data() string {
	return filepath.Join(filepath.Dir(f.s.c.Data), fmt.Sprintf("%s%08d", generationFolder, f.in.Generation), "Data.fs")
}

// open opens the file. Without an index of before, all of it is read.
func (f *archivedFile) open(ctx context.Context) (err error) {
	c := f.s.c
	if err := c.FS.Mkdir(filepath.Dir(f.data()), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	c.Logger.Info("opening a data file in an archive", "archive", f.s.a.String(), "generation", f.in.Generation)
	size := f.size
	if f.grows {
		size = 0
	}
	f.view, err = f.s.a.OpenView(ctx, f.in, size, archive.ViewOptions{
		FS: c.FS, Data: f.data(), Cache: f.s.cache, AtOnce: archiveAtOnce, Logger: c.Logger.Named("archive"),
		Progress: c.tellProgress(f.s.f, "reading what the archive has"),
	})
	if err != nil {
		return err
	}
	opt := c.storageOptions(f.s.f, f.s.blobs)
	opt.FS, opt.ReadOnly, opt.MustExist, opt.Damaged = f.view.FS(), true, true, nil
	opt.Progress = c.tellProgress(f.s.f, "reading the data file from the archive, for the index")
	if f.st, err = filestorage.Open(ctx, f.data(), opt); err != nil {
		return errors.Join(err, f.view.Close())
	}
	f.blobs = &archive.ViewBlobs{View: f.view, Locate: f.st.OffsetOf}
	f.saveIndex()
	c.Logger.Info("the storage is open for reading", "archive", f.s.a.String(), "generation", f.in.Generation, "size",
		f.st.Size(), "last_tid", f.st.LastTid())
	return nil
}

// isOpen reports whether it can be read.
func (f *archivedFile) isOpen() bool {
	select {
	case <-f.ready:
		return f.err == nil
	default:
		return false
	}
}

// reach has the file go on for a moment that it ends before; size 0: one of which it is not known where it ends.
func (f *archivedFile) reach(ctx context.Context, size int64) error {
	if f.grows || size > 0 && size <= f.view.Size() {
		return nil
	}
	if err := f.view.Grow(ctx); err != nil {
		return err
	}
	f.grows = true
	return nil
}

// saveIndex keeps the index, so that the next start does not read everything.
func (f *archivedFile) saveIndex() {
	path := f.data() + ".index"
	if _, end, err := filestorage.SavedIndex(f.s.c.FS, path); err == nil && end == f.st.Size() {
		return
	}
	if err := f.st.SaveIndexTo(f.s.c.FS, path); err != nil {
		f.s.c.Logger.Info("the index cannot be kept: the next start takes as long as this one", "error", err)
	}
}

func (f *archivedFile) close() error {
	f.saveIndex()
	return errors.Join(f.st.Close(), f.view.Close())
}

// file returns that of a generation; nil: it is neither open nor being opened.
func (s *viewSession) file(generation uint64) *archivedFile {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.files[generation]
}

// opened returns the files that are open, the newest first.
func (s *viewSession) opened() (list []*archivedFile) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, file := range s.files {
		if file.isOpen() {
			list = append(list, file)
		}
	}
	slices.SortFunc(list, func(a, b *archivedFile) int { return cmp.Compare(b.in.Generation, a.in.Generation) })
	return list
}

// closeUnused closes files that no moment needs any more, and forgets those that could not be opened: the next look
// tries that again.
func (s *viewSession) closeUnused() error {
	used := map[*archivedFile]bool{}
	for _, m := range s.moments {
		used[m.on] = true
		if m.in != nil {
			used[s.file(m.in.Generation)] = true
		}
	}
	var errs []error
	s.mu.Lock()
	var unused []*archivedFile
	for n, file := range s.files {
		select {
		case <-file.ready:
		default:
			continue
		}
		if file.err != nil {
			errs = append(errs, file.err)
		} else if !used[file] {
			unused = append(unused, file)
		} else {
			continue
		}
		delete(s.files, n)
	}
	s.mu.Unlock()
	s.hold()
	for _, file := range unused {
		errs = append(errs, file.close(), s.forget(filepath.Base(filepath.Dir(file.data()))))
	}
	return errors.Join(errs...)
}

// forgetOthers removes what is kept of generations that nobody reads.
func (s *viewSession) forgetOthers() error {
	entries, err := s.c.FS.ReadDir(filepath.Dir(s.c.Data))
	if err != nil {
		return err
	}
	for _, e := range entries {
		var n uint64
		if _, err := fmt.Sscanf(e.Name(), generationFolder+"%d", &n); err != nil || s.files[n] != nil {
			continue
		}
		if err := s.forget(e.Name()); err != nil {
			return err
		}
	}
	return nil
}

// forget removes the folder of a generation.
func (s *viewSession) forget(name string) error {
	folder := filepath.Join(filepath.Dir(s.c.Data), name)
	entries, err := s.c.FS.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "Data.fs") {
			err = errors.Join(err, vfs.RemoveIfThere(s.c.FS, filepath.Join(folder, e.Name())))
		}
	}
	return errors.Join(err, vfs.RemoveIfThere(s.c.FS, folder))
}

// hasBlob reports whether there is a record of this blob. Where that cannot be read, it may be.
func (s *viewSession) hasBlob(oid zodb.Oid, tid zodb.Tid) bool {
	for _, file := range s.opened() {
		data, err := file.st.LoadSerial(oid, tid)
		if missing := (*zodb.POSKeyError)(nil); errors.As(err, &missing) {
			continue
		}
		return err != nil || zodb.IsBlobRecord(data)
	}
	return false
}

// archivedBlobs are the blobs of all files of a session, as a source of its blob cache.
type archivedBlobs struct{ s *viewSession }

func (b archivedBlobs) String() string { return "archive " + b.s.a.String() }

// Keeps reports that the archive has the blobs of what is kept of it.
func (archivedBlobs) Keeps() bool { return true }

// Size returns that of a blob. One that no file has any more is as large as it is here: nobody needs it.
func (b archivedBlobs) Size(ctx context.Context, oid zodb.Oid, tid zodb.Tid) (size int64, err error) {
	err = b.first(oid, tid, func(f *archivedFile) (err error) {
		size, err = f.blobs.Size(ctx, oid, tid)
		return err
	})
	if missing := (*zodb.POSKeyError)(nil); errors.As(err, &missing) && !b.s.hasBlob(oid, tid) {
		return b.s.blobs.own.Stat(oid, tid)
	}
	return size, err
}

// Fetch writes a blob into a part, verifies it, and returns its size.
func (b archivedBlobs) Fetch(ctx context.Context, oid zodb.Oid, tid zodb.Tid, into zodb.BlobPart) (size int64,
	err error) {
	err = b.first(oid, tid, func(f *archivedFile) (err error) {
		size, err = f.blobs.Fetch(ctx, oid, tid, into)
		return err
	})
	return size, err
}

// first asks one file after the other, until one has the blob.
func (b archivedBlobs) first(oid zodb.Oid, tid zodb.Tid, do func(*archivedFile) error) error {
	var err error = &zodb.POSKeyError{Oid: oid, Tid: tid, Blob: true}
	for _, file := range b.s.opened() {
		err = do(file)
		if missing := (*zodb.POSKeyError)(nil); !errors.As(err, &missing) {
			return err
		}
	}
	return err
}
