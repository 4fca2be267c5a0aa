package blobstore

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/zodb"
)

const (
	markerName = ".layout"
	tmpName    = "tmp"
	tmpPrefix  = "zrsd-"
)

// Options of Open.
type Options struct {
	FS       vfs.FS // nil: the real disk
	Layout   string // of a directory that is created, and what an existing one must have; "": bushy, or what is there
	ReadOnly bool   // nothing is created, removed or moved
	Logger   hclog.Logger
}

// A LayoutError says that a directory cannot be used as it was asked to be.
type LayoutError struct {
	Dir, Want, Found string
}

// zeoCache is the layout of the cache of a ZEO client.
const zeoCache = "zeocache"

func (e *LayoutError) Error() string {
	switch {
	case e.Found == zeoCache:
		return fmt.Sprintf(
			"blob directory %s: its %s file says that it is the blob cache of a ZEO client, and a cache removes "+
				"blobs: name the blob directory of the storage, or an empty folder",
			e.Dir,
			markerName,
		)
	case e.Want == "":
		return fmt.Sprintf("blob directory %s: layout %q is not known, only bushy and lawn are: check its %s file",
			e.Dir, e.Found, markerName)
	}
	return fmt.Sprintf("blob directory %s: it has layout %s, not %s: ask for %s or for another directory",
		e.Dir, e.Found, e.Want, e.Found)
}

// A Store is a blob directory. Its methods may be called concurrently.
type Store struct {
	fs       vfs.FS
	dir      string
	shape    atomic.Pointer[layout]
	folders  *folders
	readOnly bool
	blank    bool // there was neither a marker nor anything else to tell the layout by
	log      hclog.Logger
	serial   atomic.Uint64 // of temporary names

	publishing sync.RWMutex // held by who gives or takes names, and wholly to remove empty folders or to convert

	doubling atomic.Int32  // what a conversion wants
	missed   atomic.Int64  // second names that could not be given
	walks    walks         // who goes through the directory
	steady   chan struct{} // has an element while the layout must stay
	convert  chan struct{} // has an element while a conversion runs

	presence presence

	tmp   sync.Mutex // of what is below
	near  sync.Map   // paths of blobs that wait in the folders of their objects
	parts sync.Map   // paths of those that come in ranges and are in use

	cleaned   bool // what a crash left in tmp is removed
	keepParts bool // but for blobs that come in ranges

	oldTokens func() // removes what a crash left of tokens, once

	// Published, if set before the Store is used, is told of each blob that gets its final name. It must not wait.
	Published func(oid zodb.Oid, tid zodb.Tid, size int64)

	// Notes, if set before the Store is used, keeps what the content of blobs has to be.
	Notes Notes

	// Damaged, if set before the Store is used, is told of each blob that OpenBlob refuses. It must not wait.
	Damaged func(*zodb.DamagedBlobError)
}

// Open opens the blob directory at dir, and creates it, with its marker and its tmp folder, unless it is opened
// read-only. Errors: *LayoutError, and those of the disk.
func Open(dir string, opt Options) (*Store, error) {
	dir = vfs.CleanPath(dir)
	s := &Store{
		fs: vfs.OrOS(opt.FS), dir: dir, readOnly: opt.ReadOnly, log: opt.Logger,
		steady: make(chan struct{}, 1), convert: make(chan struct{}, 1),
	}
	if s.log == nil {
		s.log = hclog.NewNullLogger()
	}
	s.folders = newFolders(s.fs, dir)
	s.oldTokens = sync.OnceFunc(s.removeOldTokens)
	if err := s.open(opt.Layout); err != nil {
		return nil, fmt.Errorf("open blob directory %s: %w", dir, err)
	}
	return s, nil
}

// Blank reports whether a directory was never used for blobs, as far as one can see: it does not exist, or has neither
// a marker nor anything visible in it. The folder on which a file system is to be mounted is like that.
// disk nil: the real one.
func Blank(disk vfs.FS, dir string) (bool, error) {
	s := &Store{fs: vfs.OrOS(disk), dir: vfs.CleanPath(dir)}
	name, _, err := s.findLayout()
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return err == nil && name == "", err
}

// Dir returns the directory given to Open.
func (s *Store) Dir() string { return s.dir }

func (s *Store) layout() layout { return *s.shape.Load() }

// Layout returns Bushy or Lawn.
func (s *Store) Layout() string { return s.layout().name() }

// Close releases nothing: a Store keeps no file open.
func (s *Store) Close() error { return nil }

func (s *Store) open(want string) error {
	if !s.readOnly {
		if err := s.folders.makeRoot(); err != nil {
			return err
		}
	}
	found, marked, err := s.findLayout()
	if to := vfs.LinkTarget(s.fs, s.dir); to != "" && errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("it is a symbolic link to %s, which does not exist: %w", to, err)
	}
	if err != nil {
		return err
	}
	if s.blank = found == ""; s.blank {
		if found = want; found == "" {
			found = Bushy
		}
	}
	l, ok := layoutNamed(found)
	switch {
	case !ok:
		return &LayoutError{Dir: s.dir, Found: found}
	case want != "" && want != found:
		return &LayoutError{Dir: s.dir, Want: want, Found: found}
	}
	s.shape.Store(&l)
	if !s.readOnly {
		if err := s.prepare(marked); err != nil {
			return err
		}
		if err := s.noteDoubling(); err != nil {
			return err
		}
	}
	return s.notePresence()
}

// findLayout reads the marker. Without one, a directory with any visible name is lawn, as for ZODB, and "" means that
// it is empty.
func (s *Store) findLayout() (name string, marked bool, err error) {
	text, err := s.readMarker()
	if err == nil {
		return strings.TrimSpace(text), true, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", false, err
	}
	entries, err := s.fs.ReadDir(s.dir)
	if err != nil {
		return "", false, err
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			return Lawn, false, nil
		}
	}
	return "", false, nil
}

// maxMarker is more than any marker that makes sense.
const maxMarker = 64

func (s *Store) readMarker() (string, error) {
	f, err := s.fs.OpenFile(filepath.Join(s.dir, markerName), os.O_RDONLY, 0)
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // nothing was written
	b, err := io.ReadAll(io.NewSectionReader(f, 0, maxMarker))
	return string(b), err
}

// prepare makes the directory ready for writing.
func (s *Store) prepare(marked bool) error {
	if !marked {
		if err := s.writeMarker(); err != nil {
			return err
		}
	}
	if err := s.fs.Mkdir(filepath.Join(s.dir, tmpName), 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return s.fs.SyncDir(s.dir)
}

func (s *Store) writeMarker() error {
	return vfs.WriteFileAtomic(s.fs, filepath.Join(s.dir, markerName), ".tmp", func(f vfs.File) error {
		_, err := f.WriteAt([]byte(s.layout().name()), 0)
		return err
	})
}

// readyTmp makes the folder of incoming files ready for one more. What a crash left there is removed before the first
// blob is staged and not in Open, because only the stager of blobs holds the storage's lock and knows that no other
// process uses them. What cannot be removed has no effect. After an error the next blob tries again.
func (s *Store) readyTmp() error {
	s.tmp.Lock()
	defer s.tmp.Unlock()
	if s.cleaned {
		return nil
	}
	tmp := filepath.Join(s.dir, tmpName)
	entries, err := s.fs.ReadDir(tmp)
	if errors.Is(err, fs.ErrNotExist) { // somebody has tidied up
		err = s.fs.Mkdir(tmp, 0o777)
	}
	if err != nil {
		return fmt.Errorf("the folder of incoming blobs: %w", err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), tmpPrefix) && (!s.keepParts || !strings.HasPrefix(e.Name(), partPrefix)) {
			s.removeUpload(filepath.Join(tmp, e.Name()))
		}
	}
	s.cleaned = true
	return nil
}

// removeUpload removes what nobody needs. What cannot be removed has no effect.
func (s *Store) removeUpload(path string) {
	s.log.Info("removing an incomplete blob upload", "dir", s.dir, "name", filepath.Base(path))
	if err := s.fs.Remove(path); err != nil {
		s.log.Warn("cannot remove an incomplete blob; it only uses space", "dir", filepath.Dir(path), "error", err,
			"warning", warning.CleanupLeft)
	}
}

func (s *Store) path(oid zodb.Oid, tid zodb.Tid) string { return s.pathIn(s.layout(), oid, tid) }

// BlobPath returns where the blob of a revision is, or belongs.
func (s *Store) BlobPath(oid zodb.Oid, tid zodb.Tid) string { return s.path(oid, tid) }

// OpenBlob opens the blob of a revision. It is a *zodb.POSKeyError with Blob set when there is none, a *GoneError when
// that is not known because the directory is not there, and a *zodb.DamagedBlobError when another size was noted.
func (s *Store) OpenBlob(oid zodb.Oid, tid zodb.Tid) (vfs.File, error) {
	f, err := s.OpenAsIs(oid, tid)
	if err != nil {
		return nil, err
	}
	if err := s.compareSize(f, oid, tid); err != nil {
		return nil, err
	}
	return f, nil
}

// OpenAsIs is OpenBlob for who looks at a blob that may be damaged: its size is not compared.
func (s *Store) OpenAsIs(oid zodb.Oid, tid zodb.Tid) (f vfs.File, err error) {
	open := func() error {
		f, err = vfs.OpenPlain(s.fs, s.path(oid, tid)) // clients that share the directory may have put a link there
		return err
	}
	if err = open(); errors.Is(err, fs.ErrNotExist) {
		err = s.confirm(open)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &zodb.POSKeyError{Oid: oid, Tid: tid, Blob: true}
	}
	if err != nil {
		return nil, fmt.Errorf("open blob of oid %v tid %v: %w", oid, tid, err)
	}
	return f, nil
}

// Stat returns the size of the blob of a revision, in bytes, with the same errors as OpenBlob.
func (s *Store) Stat(oid zodb.Oid, tid zodb.Tid) (int64, error) {
	var info fs.FileInfo
	stat := func() (err error) {
		info, err = s.fs.Stat(s.path(oid, tid))
		return err
	}
	err := stat()
	if errors.Is(err, fs.ErrNotExist) {
		err = s.confirm(stat)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return 0, &zodb.POSKeyError{Oid: oid, Tid: tid, Blob: true}
	}
	if err != nil {
		return 0, fmt.Errorf("look at blob of oid %v tid %v: %w", oid, tid, err)
	}
	return info.Size(), nil
}

// SetAside moves the blob of a lost transaction into the folder .<label>, durably, as <oid>.<tid>.blob with 16 digits
// each. Where there is no such blob it only makes sure that there is none after a crash: it may have been moved by a
// process that was killed before it had synced the folder.
func (s *Store) SetAside(oid zodb.Oid, tid zodb.Tid, label string) error {
	if s.readOnly {
		return zodb.ErrReadOnly
	}
	folder := filepath.Join(s.dir, "."+label)
	from, moved, err := s.takeAside(oid, tid, folder)
	if err == nil && moved {
		err = s.folders.sync(folder)
	}
	if err == nil {
		err = s.syncThere(from...)
	}
	if err != nil {
		return fmt.Errorf("set aside blob of oid %v tid %v: %w", oid, tid, err)
	}
	s.forget(oid, tid, true)
	return nil
}

// takeAside moves a blob into a folder, and removes its second name. It returns the folders in which it had one.
func (s *Store) takeAside(oid zodb.Oid, tid zodb.Tid, folder string) (from []string, moved bool, err error) {
	s.publishing.RLock()
	defer s.publishing.RUnlock()
	path, second := s.names(oid, tid)
	to := filepath.Join(folder, fmt.Sprintf("%v.%v%s", oid, tid, suffix))
	for _, name := range []string{path, second} {
		if name == "" {
			continue
		}
		from = append(from, filepath.Dir(name))
		if _, err := s.fs.Stat(name); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := s.folders.make(folder); err != nil {
			return from, moved, err
		}
		if err := s.moveBlob(name, to); err != nil {
			return from, moved, err
		}
		moved = true
	}
	return from, moved, nil
}

// Remove removes a published blob, durably. Where there is no such blob it does nothing.
func (s *Store) Remove(oid zodb.Oid, tid zodb.Tid) error {
	if s.readOnly {
		return zodb.ErrReadOnly
	}
	folders, had, err := s.unname(oid, tid)
	if err == nil && had {
		err = s.syncThere(folders...)
	}
	if err != nil {
		return fmt.Errorf("remove blob of oid %v tid %v: %w", oid, tid, err)
	}
	s.forget(oid, tid, true)
	return nil
}

// Secure makes the content and the name of a published blob durable, for one that another process published and may not
// have synced. Where there is no such blob it does nothing.
func (s *Store) Secure(oid zodb.Oid, tid zodb.Tid) error {
	path, second := s.names(oid, tid)
	f, err := s.fs.OpenFile(path, os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = errors.Join(f.Sync(), f.Close())
	}
	if err == nil {
		err = s.folders.sync(filepath.Dir(path))
	}
	if err == nil && second != "" {
		err = s.syncThere(filepath.Dir(second))
	}
	if err != nil {
		return fmt.Errorf("make blob of oid %v tid %v durable: %w", oid, tid, err)
	}
	return nil
}

// moveBlob renames a blob, or copies it if the new name is on another file system. The old name is removed only when
// the new one has all of the content.
func (s *Store) moveBlob(from, to string) error {
	if s.sameFile(from, to) { // of which a rename takes neither away
		return s.fs.Remove(from)
	}
	err := s.fs.Rename(from, to)
	if !errors.Is(err, syscall.EXDEV) {
		return err
	}
	if err := s.copyBlob(from, to); err != nil {
		return err
	}
	return s.fs.Remove(from)
}

func (s *Store) sameFile(a, b string) bool {
	one, errOne := s.fs.Stat(a)
	other, errOther := s.fs.Stat(b)
	return errOne == nil && errOther == nil && vfs.SameFile(one, other)
}

// copyBlob makes a durable copy under a name of its own first, so that what has the new name is whole.
func (s *Store) copyBlob(from, to string) error {
	f, err := vfs.OpenPlain(s.fs, from)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	info, err := f.Stat()
	if err != nil {
		return err
	}
	temp := to + ".tmp"
	err = vfs.WriteNewFile(s.fs, temp, func(out vfs.File) error {
		err := copyTo(out, io.NewSectionReader(f, 0, info.Size()))
		return errors.Join(err, vfs.Chmod(s.fs, out, readOnly(info)))
	})
	if err == nil {
		err = s.fs.Rename(temp, to)
	}
	if err != nil {
		err = errors.Join(err, vfs.RemoveIfThere(s.fs, temp))
	}
	return err
}
