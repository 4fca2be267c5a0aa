package blobtools

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/internal/mount"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// AuditOptions say what to look at. Path, Blobs and Report are required.
type AuditOptions struct {
	FS       vfs.FS // nil: the real disk
	Path     string
	Blobs    *blobstore.Store
	Report   func(*Finding) error // an error of it ends the audit
	Progress func(done, total int64)
	// Store is an object store with blobs; nil: there is none, or it is not looked at.
	Store BlobLister
	// Ask asks who else has a blob that is not here; nil: nobody is asked. A *zodb.POSKeyError says that nobody has it,
	// any other error that who may have it cannot be asked.
	Ask func(ctx context.Context, oid zodb.Oid, tid zodb.Tid) (where string, err error)
}

// An audit is one run.
type audit struct {
	opt   AuditOptions
	rec   *Records
	seen  bitset // what has a file
	sum   Summary
	owner int64 // of the directory; -1: the disk does not say
	root  string

	unreadable vfs.Folders
	later      []laterFile
}

type laterFile struct {
	oid  zodb.Oid
	tid  zodb.Tid
	path string
	size int64
}

// maxLater bounds how many files of later transactions are looked up again. Many more are a sign of another storage.
const maxLater = 10_000

// Audit compares the files of a blob directory with the records of its Data.fs, and looks at what else is there. It
// changes nothing. The error says why it could not look; what was found goes to Report.
func Audit(ctx context.Context, opt AuditOptions) (*Summary, error) {
	opt.FS = vfs.OrOS(opt.FS)
	rec, err := ReadRecords(ctx, opt.FS, opt.Path, opt.Progress)
	if err != nil {
		return nil, err
	}
	a := &audit{opt: opt, rec: rec, root: opt.Blobs.Dir(), owner: -1}
	a.sum = Summary{Path: opt.Path, Dir: a.root, Layout: opt.Blobs.Layout(), LastTid: rec.Last,
		Revisions: int64(len(rec.Blobs)), Found: map[Kind]int64{}}
	a.seen = newBitset(len(rec.Blobs))
	if err := errors.Join(a.run(ctx), rec.Close()); err != nil {
		return nil, fmt.Errorf("audit of blob directory %s: %w", a.root, err)
	}
	return &a.sum, nil
}

func (a *audit) run(ctx context.Context) error {
	if err := a.lookAtRoot(); err != nil {
		return err
	}
	err := a.opt.Blobs.Survey(blobstore.Surveyor{
		Blob: func(oid zodb.Oid, tid zodb.Tid, path string, info fs.FileInfo) error {
			if err := context.Cause(ctx); err != nil {
				return err
			}
			return a.file(oid, tid, path, info)
		},
		Other: a.other,
		Unreadable: func(dir string, err error) error {
			a.unreadable.Add(dir)
			return a.found(&Finding{Severity: Damage, Kind: Unreadable, Path: dir,
				Text: err.Error() + ": which blobs are in it is not known"})
		},
	})
	if err == nil {
		err = a.rec.unchanged()
	}
	if err == nil {
		err = a.missing(ctx)
	}
	if err == nil {
		err = a.lateFiles(ctx)
	}
	return err
}

// lookAtRoot notes the owner of the directory, and a marker that is not there.
func (a *audit) lookAtRoot() error {
	info, err := a.opt.FS.Stat(a.root)
	if err != nil {
		return err
	}
	a.owner = ownerOf(info)
	marker := filepath.Join(a.root, ".layout")
	if _, err := a.opt.FS.Stat(marker); errors.Is(err, fs.ErrNotExist) {
		return a.found(&Finding{Severity: Warning, Kind: Layout, Path: marker,
			Text: "there is no layout marker, so ZODB takes the directory for " + a.sum.Layout})
	}
	return nil
}

func ownerOf(info fs.FileInfo) int64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int64(st.Uid)
	}
	return -1
}

func (a *audit) found(f *Finding) error {
	switch f.Severity {
	case Damage:
		a.sum.Damages++
	case Warning:
		a.sum.Warnings++
	case Note:
	}
	a.sum.Found[f.Kind]++
	return a.opt.Report(f)
}

// file looks at a file with the name of a blob.
func (a *audit) file(oid zodb.Oid, tid zodb.Tid, path string, info fs.FileInfo) error {
	f := Finding{Severity: Warning, Oid: &oid, Tid: &tid, Path: path}
	i := a.rec.find(oid, tid)
	if i >= 0 {
		a.seen.set(i)
	}
	if !info.Mode().IsRegular() {
		f.Severity, f.Kind = Damage, NotPlain
		f.Text = fmt.Sprintf("a %s has the name of a blob, and is not followed", kindOf(info.Mode()))
		return a.withTransaction(&f)
	}
	size := info.Size()
	f.Size = &size
	a.sum.Files++
	a.sum.Bytes += size
	if i < 0 {
		return a.unowned(&f)
	}
	var err error
	tell := func(severity Severity, kind Kind, text string) {
		if err == nil {
			one := f
			one.Severity, one.Kind, one.Text = severity, kind, text
			err = a.withTransaction(&one)
		}
	}
	mode := info.Mode().Perm()
	if size == 0 {
		tell(Warning, Empty, "the blob has no byte: compare it with a backup or another node")
	}
	if mode&0o400 == 0 {
		tell(Damage, Unreadable, fmt.Sprintf("its mode is %04o, and its owner may not read it: give it 0444", mode))
	}
	if mode&0o222 != 0 {
		tell(Warning, Mode, fmt.Sprintf("its mode is %04o, and blobs are never written to again: take the right to "+
			"write from it", mode))
	}
	if owner := ownerOf(info); owner != a.owner {
		tell(Warning, Owner, fmt.Sprintf("it belongs to user %d, and the directory to user %d", owner, a.owner))
	}
	return err
}

func kindOf(mode fs.FileMode) string {
	switch {
	case mode&fs.ModeSymlink != 0:
		return "symbolic link"
	case mode.IsDir():
		return "folder"
	}
	return "special file"
}

// withTransaction reports a finding with the transaction that has written the revision.
func (a *audit) withTransaction(f *Finding) error {
	var meta *zodb.TxnMeta
	var err error
	if i := a.rec.find(*f.Oid, *f.Tid); i >= 0 {
		meta, err = a.rec.of(&a.rec.Blobs[i])
	} else {
		meta, err = a.rec.transaction(*f.Tid)
	}
	if err != nil {
		return err
	}
	f.Txn = shown(meta)
	return a.found(f)
}

// unowned reports a file that no revision has.
func (a *audit) unowned(f *Finding) error {
	if *f.Tid > a.rec.Last && len(a.later) < maxLater {
		a.later = append(a.later, laterFile{*f.Oid, *f.Tid, f.Path, *f.Size})
		return nil
	}
	a.sum.WastedSize += *f.Size
	known, blob := a.rec.hasObject(*f.Oid)
	switch {
	case *f.Tid > a.rec.Last:
		f.Kind, f.Text = Foreign, "its transaction is later than the last one of the Data.fs"
	case known && !blob:
		f.Kind, f.Text = Foreign, "the object is no blob in this Data.fs: the file is another storage's"
	case !known:
		f.Kind, f.Text = Orphaned, "the Data.fs does not have this object: a pack should have removed the file"
	default:
		f.Kind, f.Text = Orphaned, "the Data.fs does not have this revision: a pack should have removed the file"
	}
	return a.withTransaction(f)
}

// other looks at what is no blob.
func (a *audit) other(path string, e fs.DirEntry) error {
	below, err := filepath.Rel(a.root, path)
	if err != nil {
		return err
	}
	f := &Finding{Severity: Warning, Path: path}
	switch name := e.Name(); {
	case blobstore.IsMarker(below), below == mount.BlobName, name == ".lock":
		return nil
	case below == "tmp" && e.IsDir():
		return a.incoming(path)
	case below == ".removed.zrsd":
		f.Kind, f.Text = Leftover, "a pack has planned to remove blobs, and a start of the server will do so"
	case below == ".convert.zrsd":
		f.Kind, f.Text = Leftover, "a conversion of the layout has not ended, and blobs may have two names: call zrsd "+
			"blobs convert again"
	case below == ".removed" || isTemporary(name):
		f.Kind, f.Text = Leftover, "an interrupted commit or removal has left it"
	case e.Type()&fs.ModeSymlink != 0:
		f.Kind, f.Text = Unknown, "a symbolic link, which is not followed"
	case isBlobName(name):
		f.Kind, f.Text = Layout, "a blob of the other layout: the one of this directory is "+a.sum.Layout
	case isNumber(name) && e.IsDir():
		return a.otherLayout(path)
	case strings.HasPrefix(name, ".") && !strings.Contains(below, string(filepath.Separator)) && e.IsDir():
		f.Kind, f.Text = Leftover, "blobs that were set aside with a rewind"
	default:
		f.Kind, f.Text = Unknown, "it is no blob of the layout "+a.sum.Layout
	}
	return a.found(f)
}

// otherLayout reports a folder that belongs to the other layout. It is one finding, however much is in it.
func (a *audit) otherLayout(path string) error {
	return a.found(&Finding{Severity: Warning, Kind: Layout, Path: path,
		Text: "a folder of the other layout: the one of this directory is " + a.sum.Layout})
}

// incoming reports what is in the folder of incoming files.
func (a *audit) incoming(dir string) error {
	entries, err := a.opt.FS.ReadDir(dir)
	if err != nil {
		return a.found(&Finding{Severity: Damage, Kind: Unreadable, Path: dir, Text: err.Error()})
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			continue // it has gone
		}
		size := info.Size()
		err = a.found(&Finding{Severity: Warning, Kind: Leftover, Path: filepath.Join(dir, e.Name()), Size: &size,
			Text: "an incoming blob, last written " + info.ModTime().UTC().Format("2006-01-02 15:04:05") +
				": unless a client is uploading it, it only takes up space"})
		if err != nil {
			return err
		}
	}
	return nil
}

// lateFiles looks up files of transactions that were not in the Data.fs when it was read.
func (a *audit) lateFiles(ctx context.Context) error {
	if len(a.later) == 0 {
		return nil
	}
	now, err := ReadRecords(ctx, a.opt.FS, a.opt.Path, nil)
	if err != nil {
		return err
	}
	defer now.Close() //nolint:errcheck // only read
	for _, l := range a.later {
		if now.find(l.oid, l.tid) >= 0 {
			a.sum.Later++
			continue
		}
		a.sum.WastedSize += l.size
		err := a.found(&Finding{Severity: Warning, Kind: Foreign, Oid: &l.oid, Tid: &l.tid, Path: l.path, Size: &l.size,
			Text: "its transaction is later than the last one of the Data.fs: it is of another storage, of a " +
				"transaction that was lost, or of a commit at this moment"})
		if err != nil {
			return err
		}
	}
	return nil
}
