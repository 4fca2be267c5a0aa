package repozo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/vfs"
)

// BackupOptions say what to back up, and how.
type BackupOptions struct {
	FS      vfs.FS // nil: the real disk
	Dir     string
	File    string // the Data.fs; a server may be running on it
	Source  Source // is backed up instead; File is its name then. nil: File is
	Full    bool
	Quick   bool // compare only the last piece with the Data.fs
	Gzip    bool
	KillOld bool                 // remove older backups after a full one
	Now     func() time.Time     // nil: the system's
	Log     func(string, ...any) // may be nil
}

// A Result says what a backup did.
type Result struct {
	Path  string // of the new file; "": nothing had changed
	Full  bool
	Bytes int64 // before gzip
}

// A backup is one run.
type backup struct {
	opt  BackupOptions
	repo *repository
	st   *filestorage.Storage // nil: the source is elsewhere
	src  Source               // one file, whatever a pack puts in its place
}

// Backup adds a full backup or a delta to a repository, or nothing where nothing has changed.
func Backup(ctx context.Context, opt BackupOptions) (result *Result, err error) {
	opt.FS = vfs.OrOS(opt.FS)
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Log == nil {
		opt.Log = func(string, ...any) {}
	}
	b := &backup{opt: opt, repo: &repository{opt.FS, opt.Dir}}
	if _, err := b.repo.pieces(); err != nil {
		return nil, err
	}
	lock, err := opt.FS.Lock(b.repo.path("repozo.lock"), "")
	if err != nil {
		return nil, fmt.Errorf("another backup may be writing to %s: %w", opt.Dir, err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if b.src = opt.Source; b.src != nil {
		return b.run(ctx)
	}
	b.st, err = filestorage.Open(ctx, opt.File, filestorage.Options{FS: opt.FS, ReadOnly: true, MustExist: true})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.st.Close()) }()
	snapshot, err := b.st.Snapshot()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, snapshot.Close()) }()
	b.src = snapshot
	return b.run(ctx)
}

func (b *backup) run(ctx context.Context) (*Result, error) {
	list, err := b.repo.chain("")
	wrong := (*VerifyError)(nil)
	if b.opt.Full || errors.Is(err, ErrNoFiles) || errors.As(err, &wrong) {
		b.opt.Log("doing a full backup")
		return b.full(ctx)
	}
	if err != nil {
		return nil, err
	}
	end, why, err := b.same(ctx, list)
	switch {
	case err != nil:
		return nil, err
	case why != "":
		b.opt.Log("%s (full backup)", why)
		return b.full(ctx)
	case end == b.src.End():
		b.opt.Log("No changes, nothing to do")
		return &Result{}, nil
	}
	b.opt.Log("doing incremental, starting at: %d", end)
	return b.write(ctx, list[0], b.repo.path(list[len(list)-1].stem()+".index"), end)
}

// same returns up to where a chain is the beginning of the Data.fs, or why it is not.
func (b *backup) same(ctx context.Context, list []*piece) (end int64, why string, err error) {
	if gone, err := b.repo.gone(list); gone != "" || err != nil {
		return 0, gone, err
	}
	whole := true
	for _, p := range list {
		whole = whole && p.line != nil
	}
	if b.opt.Quick && whole {
		return b.quick(ctx, list[len(list)-1].line)
	}
	for _, p := range list {
		begin := end
		if end, why, err = b.compare(ctx, p, begin); why != "" || err != nil {
			return 0, why, err
		}
		if p.line != nil {
			if p.line.begin != begin || p.line.end != end {
				return 0, fmt.Sprintf("%s is not what its line says", b.repo.path(p.name)), nil
			}
			continue
		}
		b.opt.Log("%s was interrupted after its file was written: adding its line", b.repo.path(p.name))
		_, checksum, err := sum(ctx, io.NewSectionReader(b.src, begin, end-begin), nil)
		if err == nil {
			err = b.repo.addLine(list[0], p, begin, end, checksum)
		}
		if err != nil {
			return 0, "", err
		}
	}
	return end, "", nil
}

const (
	shrunk  = "file shrunk, possibly because of a pack"
	changed = "file changed, possibly because of a pack"
)

// quick compares the part of the last piece with the Data.fs, by its checksum.
func (b *backup) quick(ctx context.Context, last *line) (end int64, why string, err error) {
	if b.src.End() < last.end {
		return 0, shrunk, nil
	}
	_, checksum, err := sum(ctx, io.NewSectionReader(b.src, last.begin, last.end-last.begin), nil)
	if err == nil && checksum != last.sum {
		why = changed
	}
	return last.end, why, err
}

// compare compares the content of a piece with the Data.fs from an offset on, byte by byte. A piece that cannot be read
// is not the same.
func (b *backup) compare(ctx context.Context, p *piece, at int64) (end int64, why string, err error) {
	f, err := b.repo.open(p)
	if err != nil {
		return 0, fmt.Sprintf("%s cannot be read: %v", b.repo.path(p.name), err), nil
	}
	defer f.Close() //nolint:errcheck // only read
	mine := make([]byte, blockLen)
	err = stream(ctx, f, func(theirs []byte) error {
		if at+int64(len(theirs)) > b.src.End() {
			return errShrunk
		}
		if n, err := b.src.ReadAt(mine[:len(theirs)], at); n < len(theirs) {
			return &sourceError{err}
		}
		if !bytes.Equal(mine[:len(theirs)], theirs) {
			return errChanged
		}
		at += int64(len(theirs))
		return nil
	})
	broken := (*sourceError)(nil)
	switch {
	case errors.Is(err, errShrunk):
		return 0, shrunk, nil
	case errors.Is(err, errChanged):
		return 0, changed, nil
	case errors.As(err, &broken), ctx.Err() != nil:
		return 0, "", err
	case err != nil:
		return 0, fmt.Sprintf("%s cannot be read: %v", b.repo.path(p.name), err), nil
	}
	return at, "", nil
}

var errShrunk, errChanged = errors.New(shrunk), errors.New(changed)

// A sourceError is about the Data.fs, and not about the repository.
type sourceError struct{ error }

func (e *sourceError) Unwrap() error { return e.error }

func (b *backup) full(ctx context.Context) (*Result, error) {
	result, err := b.write(ctx, nil, "", 0)
	if err == nil && b.opt.KillOld {
		err = b.killOld(result.Path)
	}
	return result, err
}

// write writes a piece from an offset on: a delta of full, or where that is nil a full backup. index is that of the
// last backup, where there is one.
func (b *backup) write(ctx context.Context, full *piece, index string, begin int64) (*Result, error) {
	ext := ".fs"
	if full != nil {
		ext = ".deltafs"
	}
	stem := b.opt.Now().UTC().Format("2006-01-02-15-04-05")
	p := &piece{name: stem + ext}
	if b.opt.Gzip {
		p.name += "z"
	}
	if full == nil {
		full = p
	}
	dest, end := b.repo.path(p.name), b.src.End()
	if all, err := b.repo.pieces(); err != nil || len(all) > 0 && all[len(all)-1].stem() >= stem {
		return nil, errors.Join(err, fmt.Errorf("%w, or of a later one: %s", ErrExists, dest))
	}
	b.opt.Log("writing index")
	if err := b.saveIndex(ctx, b.repo.path(stem+".index"), index); err != nil {
		return nil, err
	}
	b.opt.Log("writing %s: %d bytes", dest, end-begin)
	checksum, err := b.copy(ctx, dest, begin, end)
	if err == nil {
		err = b.repo.addLine(full, p, begin, end, checksum)
	}
	if err != nil {
		return nil, fmt.Errorf("back up %s to %s: %w", b.opt.File, dest, err)
	}
	return &Result{Path: dest, Full: full == p, Bytes: end - begin}, nil
}

// copy writes a part of the Data.fs under a temporary name, and renames it when it is durable.
func (b *backup) copy(ctx context.Context, dest string, begin, end int64) (checksum string, err error) {
	temp := b.repo.path("tmp.tmp")
	err = vfs.WriteNewFile(b.opt.FS, temp, func(f vfs.File) error {
		out := io.Writer(&sequential{f: f})
		finish := func() error { return nil }
		if b.opt.Gzip {
			z, err := newZipper(out)
			if err != nil {
				return err
			}
			out, finish = z, z.Close
		}
		size, got, err := sum(ctx, io.NewSectionReader(b.src, begin, end-begin), out)
		if err == nil && size != end-begin {
			err = fmt.Errorf("%s ends after %d bytes instead of %d", b.opt.File, begin+size, end)
		}
		checksum = got
		return errors.Join(err, finish())
	})
	if err == nil {
		err = b.opt.FS.Rename(temp, dest)
	}
	if err != nil {
		return "", errors.Join(err, vfs.RemoveIfThere(b.opt.FS, temp))
	}
	return checksum, b.opt.FS.SyncDir(b.repo.dir)
}

// killOld removes all pieces but a full backup, the newest first: what is left of a chain has its beginning.
func (b *backup) killOld(keep string) error {
	list, err := b.repo.pieces()
	if err != nil {
		return err
	}
	for i := len(list) - 1; i >= 0; i-- {
		p := list[i]
		if b.repo.path(p.name) >= keep {
			continue
		}
		b.opt.Log("removing old backup file %s (and .dat / .index)", p.name)
		for _, path := range []string{b.repo.path(p.name), b.repo.path(p.stem() + ".index"), b.repo.datPath(p)} {
			if err := vfs.RemoveIfThere(b.opt.FS, path); err != nil {
				return err
			}
		}
		if err := b.opt.FS.SyncDir(b.repo.dir); err != nil {
			return err
		}
	}
	return nil
}
