package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/zrsd/zrsd/internal/archive"
	"github.com/zrsd/zrsd/internal/objectstore"
	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/warning"
)

// DefaultViewSize is how much of an archive is kept on the local disk.
const DefaultViewSize = 10 << 30

// A FromArchive says from which archive the moments of a storage are served. Nothing of the storage is here: what
// clients read is fetched, and a part is kept beside the path of the Data.fs.
type FromArchive struct {
	URL      string // empty: the storage is here
	Identity string // a file with age identities, for an archive that is encrypted
	Size     int64  // bytes of the data file that are kept; 0: the default
	Rate     int64  // bytes per second; 0: no limit
	// Patient says that an archive that cannot be opened is tried again, for other storages of the process go on.
	Patient bool
}

// Check reports the first setting that makes no sense, and fills in the defaults.
func (a *FromArchive) Check() error {
	if a.URL == "" {
		return nil
	}
	if _, err := ArchiveURL(a.URL); err != nil {
		return &ConfigError{"--from-archive: " + err.Error()}
	}
	if a.Size == 0 {
		a.Size = DefaultViewSize
	}
	switch {
	case a.Size < archive.MinViewSize:
		return &ConfigError{fmt.Sprintf("--cache-size %d: give at least %d", a.Size, archive.MinViewSize)}
	case a.Rate < 0:
		return &ConfigError{fmt.Sprintf("--rate %d: give bytes per second, or 0 for no limit", a.Rate)}
	}
	return nil
}

// How often an archive is looked at for what a moment has not reached yet.
const (
	archiveGrows     = 10 * time.Second
	archiveNewlyMade = time.Minute // for generations
)

// archiveAgain is how long an archive that cannot be opened is left alone.
const archiveAgain = 30 * time.Second

// sessionFromArchive serves the moments of the storage from an archive until ctx ends.
func (c *StandaloneConfig) sessionFromArchive(ctx context.Context, f *nodeStatus) error {
	for {
		err := c.onceFromArchive(ctx, f)
		var start *StartError
		switch {
		case !c.From.Patient || !errors.As(err, &start):
			return err
		case ctx.Err() != nil:
			return nil //nolint:nilerr // it was not opened before that: no failure
		}
		f.waits("the archive cannot be opened, and is tried again: " + err.Error())
		c.Logger.Error("the archive cannot be opened: it is tried again", "archive", c.From.URL, "error", err, "in",
			archiveAgain, "warning", warning.ArchiveUnread)
		pause.For(ctx, archiveAgain)
	}
}

// onceFromArchive does so until something fails.
func (c *StandaloneConfig) onceFromArchive(ctx context.Context, f *nodeStatus) (err error) {
	f.waits("opening the archive " + c.From.URL)
	a, end, err := c.openArchive(ctx)
	if err != nil {
		return &StartError{Err: err}
	}
	defer end()
	s := newViewSession(c, f, a)
	s.cache, err = archive.OpenViewCache(c.FS, filepath.Dir(c.Data), c.From.Size, c.Logger.Named("archive"))
	if err != nil {
		return &StartError{Err: err}
	}
	defer func() { err = errors.Join(err, s.cache.Close()) }()
	return s.run(ctx)
}

func (c *StandaloneConfig) openArchive(ctx context.Context) (a *archive.Archive, end func(), err error) {
	url, err := ArchiveURL(c.From.URL)
	if err != nil {
		return nil, nil, err
	}
	if err := c.FS.Mkdir(filepath.Dir(c.Data), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, nil, err
	}
	keys, err := archive.ReadKeys(nil, c.From.Identity)
	if err != nil {
		return nil, nil, err
	}
	store, err := objectstore.Open(ctx, url, objectstore.Options{Rate: c.From.Rate, AtOnce: archiveAtOnce})
	if err != nil {
		return nil, nil, err
	}
	end = func() { _ = store.Close() }
	if a, err = archive.Open(ctx, store, keys); err == nil && c.From.Identity != "" {
		err = ownersOnly(c.FS, filepath.Dir(c.Data))
	}
	if err != nil {
		end()
		return nil, nil, err
	}
	return a, end, nil
}

// ownersOnly refuses a folder that others than its owner can enter: what is kept there of an encrypted archive is not
// encrypted.
func ownersOnly(disk vfs.FS, dir string) error {
	info, err := disk.Stat(dir)
	if err != nil {
		return err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("others can enter the folder %s (mode %#o), where what is kept of an encrypted archive is "+
			"not encrypted: chmod 700 %s", dir, mode, dir)
	}
	return nil
}
