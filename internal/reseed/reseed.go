package reseed

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/warning"
)

// A Storage is a storage that no process has open.
type Storage struct {
	FS     vfs.FS
	Data   string // path of the Data.fs
	Blobs  string // path of the node's own blob directory; empty: there is none, or it is another node's
	Logger hclog.Logger

	held bool // by Hold
}

// Hold keeps others from opening the storage for writing, until release, which Begin and Finish otherwise do only for
// the time in which they move something. It fails where somebody has it open.
func (s *Storage) Hold() (release func() error, err error) {
	release, err = s.lock()
	s.held = err == nil
	return release, err
}

// lock takes the locks that everybody takes who writes to the storage: the lock file, and the Data.fs itself, which
// holds where somebody has removed the lock file.
func (s *Storage) lock() (release func() error, err error) {
	lock, err := s.FS.Lock(s.Data+".lock", fmt.Sprintf(" %d\n", os.Getpid()))
	if err != nil {
		return nil, open(err)
	}
	path, err := s.real("")
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	f, err := s.FS.OpenFile(path, os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return lock.Close, nil
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	claim, err := vfs.Claim(f)
	if err != nil {
		return nil, open(errors.Join(err, f.Close(), lock.Close()))
	}
	return func() error { return errors.Join(claim.Close(), f.Close(), lock.Close()) }, nil
}

func open(err error) error {
	if errors.Is(err, vfs.ErrLocked) {
		return fmt.Errorf("another process has the storage open for writing: stop it first: %w", err)
	}
	return err
}

// suffixes are what the names of the files have after that of the Data.fs that are set aside with it: beside the old
// and the half packed file no new Data.fs is made.
//
// So is the marker of the folder (package mount): the blob directory may be another one from then on.
var suffixes = []string{"", ".index", ".old", ".pack", ".mount.zrsd"}

// maxText is how many bytes of what was found are noted.
const maxText = 500

// Begin notes that everything is to be set aside, for a reason. Finish does it. keep is that of the storage, which is
// not open.
func (s *Storage) Begin(keep *state.Keeper, why, text string, auto bool, now time.Time) error {
	aside, err := s.free(fmt.Sprintf("aside-%s-%s", now.UTC().Format("20060102T150405Z"), why))
	if err != nil {
		return err
	}
	text = strings.ToValidUTF8(text[:min(len(text), maxText)], "")
	return keep.Update(func(id *state.State) error {
		if id.Reseeding() != nil {
			return nil // that one is finished first, and does the same
		}
		id.BeginReseed(state.Reseed{
			Why: why, Text: text, Had: id.Chain.Last().Tid, Aside: aside,
			At: now.UTC().Format(time.RFC3339), Auto: auto,
		})
		return nil
	})
}

// free returns a name under which nothing is set aside yet.
func (s *Storage) free(aside string) (string, error) {
	name := aside
	for n := 2; ; n++ {
		taken, err := s.taken(name)
		if err != nil || !taken {
			return name, err
		}
		name = fmt.Sprintf("%s-%d", aside, n)
	}
}

func (s *Storage) taken(aside string) (bool, error) {
	var paths []string
	for _, suffix := range suffixes {
		path, err := s.real(suffix)
		if err != nil {
			return false, err
		}
		paths = append(paths, path+"."+aside)
	}
	if s.Blobs != "" {
		paths = append(paths, filepath.Join(s.Blobs, "."+aside))
	}
	for _, path := range paths {
		if there, err := s.there(path); err != nil || there {
			return there, err
		}
	}
	return false, nil
}

// Finish sets aside what Begin noted, all of it or what an interruption has left, and returns the note; nil when there
// was nothing to do. The storage must not be used before it has returned without an error. It can be called again.
func (s *Storage) Finish(keep *state.Keeper) (*state.Reseed, error) {
	id := keep.State()
	if id == nil || id.Reseeding() == nil {
		return nil, nil //nolint:nilnil // nothing was to be done
	}
	r := *id.Reseeding()
	if err := s.move(r.Aside); err != nil {
		return nil, fmt.Errorf("setting %s aside as %s: %w", s.Data, r.Aside, err)
	}
	if err := keep.Update(func(id *state.State) error { id.EndReseed(); return nil }); err != nil {
		return nil, fmt.Errorf("noting that %s was set aside: %w", s.Data, err)
	}
	s.Logger.Warn("set the data file aside as a whole: this node takes everything anew from its primary", "file",
		s.Data, "reason", r.Why, "found", r.Text, "name", r.Aside, "had", r.Had, "warning", warning.SetAside)
	return &r, nil
}

// move does so.
func (s *Storage) move(aside string) (err error) {
	if !s.held {
		release, err := s.lock()
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, release()) }()
	}
	for _, suffix := range suffixes {
		if err := s.moveFile(suffix, aside); err != nil {
			return err
		}
	}
	return s.moveBlobs(aside)
}

// real returns the path of one of the files: where a symbolic link leads, or the name itself.
func (s *Storage) real(suffix string) (string, error) {
	path := s.Data + suffix
	to := vfs.LinkTarget(s.FS, path)
	if to == "" {
		return path, nil
	}
	if !filepath.IsAbs(to) {
		to = filepath.Join(filepath.Dir(path), to)
	}
	if vfs.LinkTarget(s.FS, to) != "" {
		return "", fmt.Errorf("%s leads to %s, which is a symbolic link, too: move the file that is meant yourself",
			path, to)
	}
	return to, nil
}

func (s *Storage) moveFile(suffix, aside string) error {
	path, err := s.real(suffix)
	if err != nil {
		return err
	}
	if there, err := s.there(path); err != nil || !there {
		return err
	}
	if there, err := s.there(path + "." + aside); err != nil || there {
		return errors.Join(err, fmt.Errorf("%s.%s is there already: move it away", path, aside))
	}
	if err := s.FS.Rename(path, path+"."+aside); err != nil {
		return err
	}
	return s.FS.SyncDir(filepath.Dir(path))
}

// moveBlobs moves the folders of blobs, and leaves those that are none: the marker of the layout, temporary files, and
// what was set aside before.
func (s *Storage) moveBlobs(aside string) error {
	if s.Blobs == "" {
		return nil
	}
	entries, err := s.FS.ReadDir(s.Blobs)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	to := filepath.Join(s.Blobs, "."+aside)
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "0x") {
			continue
		}
		if err := s.FS.Mkdir(to, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err := s.FS.Rename(filepath.Join(s.Blobs, e.Name()), filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	if there, err := s.there(to); err != nil || !there {
		return err
	}
	if err := s.FS.SyncDir(s.Blobs); err != nil { // first: otherwise a power failure may leave both names
		return err
	}
	return s.FS.SyncDir(to)
}

func (s *Storage) there(path string) (bool, error) {
	_, err := s.FS.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
