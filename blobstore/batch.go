package blobstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// A batch implements zodb.BlobBatch, by syncs of the whole file system.
type batch struct {
	s    *Store
	disk vfs.AllSyncer
	dir  vfs.File // opened before anything was written that the batch makes durable
	info fs.FileInfo
}

// Batch returns nil where the disk cannot make many blobs durable at a time.
func (s *Store) Batch() (zodb.BlobBatch, error) {
	disk, ok := s.fs.(vfs.AllSyncer)
	if !ok || s.readOnly {
		return nil, nil //nolint:nilnil // there is none
	}
	if err := s.Here(); err != nil {
		return nil, err
	}
	dir, err := s.fs.OpenFile(s.dir, os.O_RDONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("open blob directory %s: %w", s.dir, err)
	}
	info, err := dir.Stat()
	if err == nil && disk.SyncsAll(dir) {
		return &batch{s, disk, dir, info}, nil
	}
	return nil, errors.Join(err, dir.Close())
}

// Add closes the file of a blob.
func (b *batch) Add(one zodb.StagedBlob) (bool, error) {
	f, ok := one.(*staged)
	if !ok || f.s != b.s || f.file == nil {
		return false, nil
	}
	info, err := f.file.Stat()
	if err != nil || !vfs.SameDisk(info, b.info) {
		return false, f.wrap("look at", err)
	}
	err = f.file.Close()
	f.file = nil
	return true, f.wrap("write", err)
}

// Sync makes all of the file system durable. That the directory is still the one that was opened is looked at by those
// who stage and publish.
func (b *batch) Sync() error {
	if err := b.disk.SyncAll(b.dir); err != nil {
		return fmt.Errorf("sync the file system of blob directory %s: %w", b.s.dir, err)
	}
	return nil
}

func (b *batch) Close() error { return b.dir.Close() }
