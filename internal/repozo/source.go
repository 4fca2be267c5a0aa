package repozo

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/vfs"
)

// A Source is a Data.fs that is elsewhere, such as that of a running node. What was in it when it was opened does not
// change.
type Source interface {
	io.ReaderAt
	End() int64 // after its last transaction
}

// saveIndex writes the index that belongs to what is backed up. Of a source elsewhere it is made by reading that, from
// where the index of the last backup ends.
func (b *backup) saveIndex(ctx context.Context, path, before string) error {
	if b.st != nil {
		return b.st.SaveIndexTo(b.opt.FS, path)
	}
	disk := &sourceFS{FS: b.opt.FS, name: b.opt.File, file: b.src, index: before}
	st, err := filestorage.Open(ctx, b.opt.File, filestorage.Options{FS: disk, ReadOnly: true, MustExist: true})
	if err != nil {
		return err
	}
	return errors.Join(st.SaveIndexTo(b.opt.FS, path), st.Close())
}

// A sourceFS is a disk on which a source is a file, for reading, with an index.
type sourceFS struct {
	vfs.FS
	name  string // of the file
	file  Source
	index string // path of what its index is; empty: it has none
}

// OpenFile is vfs.FS.
func (d *sourceFS) OpenFile(path string, flag int, perm fs.FileMode) (vfs.File, error) {
	switch {
	case flag != os.O_RDONLY:
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrPermission}
	case path == d.name:
		return &sourceFile{d}, nil
	case path == d.name+".index" && d.index != "":
		return d.FS.OpenFile(d.index, flag, perm)
	}
	return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
}

// Stat is vfs.FS.
func (d *sourceFS) Stat(path string) (fs.FileInfo, error) {
	switch {
	case path == d.name:
		return sourceInfo{d}, nil
	case path == d.name+".index" && d.index != "":
		return d.FS.Stat(d.index)
	}
	return nil, &fs.PathError{Op: "stat", Path: path, Err: fs.ErrNotExist}
}

type sourceFile struct{ disk *sourceFS }

func (f *sourceFile) ReadAt(b []byte, pos int64) (int, error)  { return f.disk.file.ReadAt(b, pos) }
func (f *sourceFile) Name() string                             { return f.disk.name }
func (f *sourceFile) Stat() (fs.FileInfo, error)               { return sourceInfo{f.disk}, nil }
func (f *sourceFile) WriteAt([]byte, int64) (n int, err error) { return 0, fs.ErrPermission }
func (f *sourceFile) Truncate(int64) error                     { return fs.ErrPermission }
func (f *sourceFile) Sync() error                              { return nil }
func (f *sourceFile) Close() error                             { return nil }

type sourceInfo struct{ disk *sourceFS }

func (i sourceInfo) Name() string       { return i.disk.name }
func (i sourceInfo) Size() int64        { return i.disk.file.End() }
func (i sourceInfo) Mode() fs.FileMode  { return 0o400 }
func (i sourceInfo) ModTime() time.Time { return time.Time{} }
func (i sourceInfo) IsDir() bool        { return false }
func (i sourceInfo) Sys() any           { return i.disk }

// FileNode is vfs.Node.
func (d *sourceFS) FileNode() {}

var _ vfs.Node = (*sourceFS)(nil)
