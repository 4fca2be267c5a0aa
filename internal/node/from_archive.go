package node

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/archive"
	"github.com/zrsd/zrsd/internal/blobcache"
	"github.com/zrsd/zrsd/internal/objectstore"
	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zeo"
	"github.com/zrsd/zrsd/zodb"
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

// errOtherGeneration says that a moment is to be read from another data file of the archive.
var errOtherGeneration = errors.New("the moment is in another generation of the archive")

// sessionFromArchive serves the one moment of the storage from an archive until ctx ends.
func (c *StandaloneConfig) sessionFromArchive(ctx context.Context, f *nodeStatus) error {
	f.waits("opening the archive " + c.From.URL)
	a, end, err := c.openArchive(ctx)
	if err != nil {
		return &StartError{Err: err}
	}
	defer end()
	for {
		err := c.serveFromArchive(ctx, f, a)
		if !errors.Is(err, errOtherGeneration) {
			return err
		}
		c.Logger.Info("the moment has gone on to another generation of the archive: clients connect again")
	}
}

func (c *StandaloneConfig) openArchive(ctx context.Context) (a *archive.Archive, end func(), err error) {
	url, err := ArchiveURL(c.From.URL)
	if err != nil {
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

// A viewSession is the time for which one generation of an archive is served.
type viewSession struct {
	c    *StandaloneConfig
	a    *archive.Archive
	view *archive.View
	st   *filestorage.Storage
	tid  zodb.Tid // up to which the moment went when its generation was looked for

	newest  uint64 // generation of the archive
	settled bool   // the moment is in this generation for good

	mu      sync.Mutex
	trouble error // what the last look at the archive has met
}

// serveFromArchive serves the moment from one generation.
func (c *StandaloneConfig) serveFromArchive(ctx context.Context, f *nodeStatus, a *archive.Archive) (err error) {
	s := &viewSession{c: c, a: a}
	if s.view, err = s.openView(ctx, f); err != nil {
		return &StartError{Err: err}
	}
	defer func() { err = errors.Join(err, s.view.Close()) }()
	blobs, err := c.openBlobs(false)
	if err != nil {
		return err
	}
	life, over := context.WithCancel(ctx)
	var beside sync.WaitGroup
	defer beside.Wait()
	defer over()
	if blobs.own != nil {
		source := &archive.ViewBlobs{View: s.view, Locate: func(oid zodb.Oid, tid zodb.Tid) (int64, error) {
			return s.st.OffsetOf(oid, tid)
		}}
		cache := blobcache.New(life, blobcache.Options{
			Store: blobs.own, Target: c.BlobPlaces.CacheSize, Check: DefaultBlobCheck, Expect: s.hasBlob,
			Sources: func() []blobcache.Source { return []blobcache.Source{source} }, Logger: c.Logger.Named("blobs"),
		})
		blobs.places = &blobPlaces{c: &c.Config, cache: cache}
	}
	if err := s.openStorage(ctx, f, blobs); err != nil {
		return &StartError{Err: err}
	}
	defer func() {
		f.waits("the storage is closing")
		err = errors.Join(err, s.close())
	}()
	if cache := blobs.places; cache != nil {
		beside.Go(func() { cache.cache.Run(life) })
	}
	defer c.handle.put(s.st)()
	defer c.serveMoments(s.st, zeo.StorageOptions{Watch: c.board})()
	f.opened(func(out *admin.Status) { s.show(out, blobs) })
	return s.follow(ctx)
}

// openView finds the generation of the moment. Of one that goes on, all is there; else only what the moment has.
func (s *viewSession) openView(ctx context.Context, f *nodeStatus) (v *archive.View, err error) {
	at := s.c.Moments[0].At
	if s.tid, _, err = at.At(time.Now()); err != nil {
		return nil, err
	}
	if s.newest, err = s.a.Newest(ctx); err != nil {
		return nil, err
	}
	g, tid, settled, err := s.a.GenerationAt(ctx, s.tid)
	if err != nil {
		return nil, err
	}
	size := int64(0)
	if s.settled = settled && at.Fixed(); s.settled {
		m, err := g.MomentIn(ctx, tid)
		if err != nil {
			return nil, err
		}
		size = m.Size
	}
	s.c.Logger.Info("serving a moment from an archive", "archive", s.a.String(), "generation", g.Generation)
	return s.a.OpenView(ctx, g, size, archive.ViewOptions{
		FS: s.c.FS, Data: s.c.Data, Size: s.c.From.Size, AtOnce: archiveAtOnce, Logger: s.c.Logger.Named("archive"),
		Progress: s.c.tellProgress(f, "reading what the archive has"),
	})
}

// openStorage opens the data file. Without an index of before, all of it is read.
func (s *viewSession) openStorage(ctx context.Context, f *nodeStatus, blobs blobDir) (err error) {
	f.waits("opening the storage")
	opt := s.c.storageOptions(f, blobs)
	opt.FS, opt.ReadOnly, opt.MustExist, opt.Damaged = s.view.FS(), true, true, nil
	opt.Progress = s.c.tellProgress(f, "reading the data file from the archive, for the index")
	if s.st, err = filestorage.Open(ctx, s.c.Data, opt); err != nil {
		return err
	}
	s.saveIndex()
	s.c.Logger.Info("the storage is open for reading", "archive", s.a.String(), "size", s.st.Size(), "last_tid",
		s.st.LastTid())
	return nil
}

// saveIndex keeps the index, so that the next start does not read everything.
func (s *viewSession) saveIndex() {
	path := s.c.Data + ".index"
	if _, end, err := filestorage.SavedIndex(s.c.FS, path); err == nil && end == s.st.Size() {
		return
	}
	if err := s.st.SaveIndexTo(s.c.FS, path); err != nil {
		s.c.Logger.Info("the index cannot be kept: the next start takes as long as this one", "error", err)
	}
}

func (s *viewSession) close() error {
	s.saveIndex()
	return s.st.Close()
}

// hasBlob reports whether there is a record of this blob. Where that cannot be read, it may be.
func (s *viewSession) hasBlob(oid zodb.Oid, tid zodb.Tid) bool {
	data, err := s.st.LoadSerial(oid, tid)
	if missing := (*zodb.POSKeyError)(nil); errors.As(err, &missing) {
		return false
	}
	return err != nil || zodb.IsBlobRecord(data)
}

// follow looks for what is archived meanwhile, until ctx ends or the moment is in another generation.
func (s *viewSession) follow(ctx context.Context) error {
	looked := time.Now()
	for ctx.Err() == nil {
		pause.For(ctx, archiveGrows)
		err := s.view.Look(ctx)
		if err == nil && !s.settled {
			err = s.view.Grow(ctx)
		}
		if err == nil && !s.settled && time.Since(looked) >= archiveNewlyMade {
			looked = time.Now()
			err = s.stays(ctx)
		}
		if errors.Is(err, errOtherGeneration) {
			return err
		}
		s.mu.Lock()
		s.trouble = err
		s.mu.Unlock()
	}
	return nil
}

// stays returns errOtherGeneration when the moment is in another generation.
func (s *viewSession) stays(ctx context.Context) error {
	tid, _, err := s.c.Moments[0].At.At(time.Now())
	if err != nil {
		return err
	}
	newest, err := s.a.Newest(ctx)
	if err != nil || newest == s.newest && tid == s.tid && newest == s.view.Generation() {
		return err
	}
	g, _, _, err := s.a.GenerationAt(ctx, tid)
	if err != nil {
		return err
	}
	if s.newest, s.tid = newest, tid; g.Generation != s.view.Generation() {
		return errOtherGeneration
	}
	return nil
}

// show fills in a status.
func (s *viewSession) show(out *admin.Status, blobs blobDir) {
	showStorage(&out.Storage, s.st, time.Now())
	blobs.places.show(&out.Storage)
	out.ReadOnly, out.Ready = true, true
	why := s.view.Trouble()
	if why == nil {
		s.mu.Lock()
		why = s.trouble
		s.mu.Unlock()
	}
	if why != nil {
		out.Ready, out.NotReady = false, admin.Known("the archive cannot be read: "+why.Error())
	}
}
