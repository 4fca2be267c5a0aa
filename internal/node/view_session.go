package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/archive"
	"github.com/zrsd/zrsd/internal/blobcache"
	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/zeo"
	"github.com/zrsd/zrsd/zodb"
)

// A viewSession is the time for which the moments of a storage are served from an archive.
//
//	moment ──┐
//	moment ──┼──▶ the data file of a generation ──▶ its index, its view ──┐
//	moment ──┘                                                            ├──▶ one cache of segments, one of blobs
//	moment ─────▶ the data file of another one ──▶ its index, its view ──┘
//
// A moment that moves on to another generation is served from the old one until the new one is open.
type viewSession struct {
	c     *StandaloneConfig
	a     *archive.Archive
	f     *nodeStatus
	cache *archive.ViewCache
	blobs blobDir

	newest  uint64 // generation when it was looked for those of the moments
	moments []*archivedMoment
	opening sync.WaitGroup // of files
	held    *archivedFile  // that commands get: the newest one
	release func()

	mu      sync.Mutex
	files   map[uint64]*archivedFile // by generation: open ones, and those that are being opened
	trouble error                    // what the last look at the archive has met
}

// An archivedMoment is one of the moments, and where it is.
type archivedMoment struct {
	view  *momentView
	tid   zodb.Tid            // for which it was looked
	in    *archive.Generation // nil: it is in none
	size  int64               // of the file with the moment; 0: it is not known yet
	fixed bool                // it is there for good
	why   error               // why it is in none
	told  error               // likewise, as clients were told

	on  *archivedFile // from which it is served; nil: it is not
	end func()
}

func newViewSession(c *StandaloneConfig, f *nodeStatus, a *archive.Archive) *viewSession {
	s := &viewSession{c: c, f: f, a: a, files: map[uint64]*archivedFile{}}
	var views []*momentView
	for _, one := range c.Moments {
		v := newMomentView(&c.Config, one)
		views = append(views, v)
		s.moments = append(s.moments, &archivedMoment{view: v})
	}
	c.views.Store(&views)
	return s
}

// run serves the moments until ctx ends.
func (s *viewSession) run(ctx context.Context) (err error) {
	defer s.c.views.Store(nil)
	if s.blobs, err = s.c.openBlobs(false); err != nil {
		return err
	}
	life, over := context.WithCancel(ctx)
	var beside sync.WaitGroup
	defer beside.Wait()
	defer over()
	if s.blobs.own != nil {
		cache := blobcache.New(life, blobcache.Options{
			Store: s.blobs.own, Target: s.c.BlobPlaces.CacheSize, Check: DefaultBlobCheck, Expect: s.hasBlob,
			Sources: func() []blobcache.Source { return []blobcache.Source{archivedBlobs{s}} },
			Logger:  s.c.Logger.Named("blobs"),
		})
		s.blobs.places = &blobPlaces{c: &s.c.Config, cache: cache}
	}
	defer func() {
		s.f.waits("the storage is closing")
		err = errors.Join(err, s.close())
	}()
	if err := s.begin(life); err != nil {
		return &StartError{Err: err}
	}
	if cache := s.blobs.places; cache != nil {
		beside.Go(func() { cache.cache.Run(life) })
	}
	s.f.opened(s.show)
	s.follow(life)
	return nil
}

// begin opens what the moments need, and serves those that there are.
func (s *viewSession) begin(ctx context.Context) error {
	if err := s.place(ctx); err != nil {
		return err
	}
	var whys []error
	for _, m := range s.moments {
		if m.why != nil {
			whys = append(whys, fmt.Errorf("%s, as of %s: %w", m.view.cfg.Name, m.view.cfg.At, m.why))
		}
	}
	s.open(ctx)
	if len(s.files) == 0 {
		return errors.Join(whys...)
	}
	if err := s.forgetOthers(); err != nil {
		return err
	}
	s.opening.Wait()
	for _, file := range s.files {
		if file.err != nil {
			return file.err
		}
	}
	return s.serve(ctx)
}

// place finds the generation of each moment, where that may be another one now.
func (s *viewSession) place(ctx context.Context) error {
	newest, err := s.a.Newest(ctx)
	if err != nil {
		return err
	}
	for _, m := range s.moments {
		if err := s.placeOne(ctx, m, newest); err != nil {
			return err
		}
	}
	s.newest = newest
	return nil
}

func (s *viewSession) placeOne(ctx context.Context, m *archivedMoment, newest uint64) error {
	tid, _, err := m.view.cfg.At.At(m.view.now())
	if err != nil {
		return err
	}
	if m.fixed || m.in != nil && tid == m.tid && newest == s.newest && newest == m.in.Generation {
		return nil
	}
	err = s.find(ctx, m, tid)
	if none := (*archive.NoMomentError)(nil); errors.As(err, &none) {
		m.in, m.why = nil, err
		return nil
	}
	return err
}

// find finds where a moment is that goes up to a tid.
func (s *viewSession) find(ctx context.Context, m *archivedMoment, tid zodb.Tid) error {
	g, at, settled, err := s.a.GenerationAt(ctx, tid)
	if err != nil {
		return err
	}
	size := int64(0)
	fixed := settled && m.view.cfg.At.Fixed()
	if fixed {
		one, err := g.MomentIn(ctx, at)
		if err != nil {
			return err
		}
		size = one.Size
	}
	m.tid, m.in, m.size, m.fixed, m.why = tid, g, size, fixed, nil
	return nil
}

// open begins to open the files that moments need.
func (s *viewSession) open(ctx context.Context) {
	needed := map[uint64]*archivedFile{}
	for _, m := range s.moments {
		if m.in == nil {
			continue
		}
		n := m.in.Generation
		if s.file(n) != nil {
			continue
		}
		file := needed[n]
		if file == nil {
			file = &archivedFile{s: s, in: m.in, ready: make(chan struct{})}
			needed[n] = file
		}
		file.grows = file.grows || m.size == 0
		file.size = max(file.size, m.size)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for n, file := range needed {
		s.files[n] = file
		s.opening.Go(func() {
			defer close(file.ready)
			file.err = file.open(ctx)
		})
	}
}

// serve has each moment served from where it is, as far as that is open.
func (s *viewSession) serve(ctx context.Context) error {
	var errs []error
	for _, m := range s.moments {
		if m.in == nil {
			if s.leave(m); m.told == nil || m.told.Error() != m.why.Error() {
				m.view.nowhere(m.why)
				m.told = m.why
			}
			continue
		}
		m.told = nil
		file := s.file(m.in.Generation)
		if file == nil || !file.isOpen() || file == m.on {
			continue
		}
		if err := file.reach(ctx, m.size); err != nil {
			errs = append(errs, err)
			continue
		}
		if m.on != nil {
			s.c.Logger.Info("a moment has gone on to another generation of the archive: its clients connect again",
				"as_of", m.view.cfg.Name, "generation", m.in.Generation)
		}
		s.leave(m)
		m.on, m.end = file, m.view.begin(ctx, file.st, zeo.StorageOptions{Access: zeo.ReadOnly, Watch: s.c.board})
	}
	return errors.Join(append(errs, s.closeUnused())...)
}

// leave ends to serve a moment.
func (s *viewSession) leave(m *archivedMoment) {
	if m.on != nil {
		m.end()
		m.on, m.end = nil, nil
	}
}

// follow looks for what is archived meanwhile, until ctx ends.
func (s *viewSession) follow(ctx context.Context) {
	looked := time.Now()
	for {
		if pause.For(ctx, archiveGrows); ctx.Err() != nil {
			return
		}
		err := s.grow(ctx)
		if err == nil && time.Since(looked) >= archiveNewlyMade {
			looked = time.Now()
			err = s.place(ctx)
		}
		s.open(ctx)
		err = errors.Join(err, s.serve(ctx))
		s.mu.Lock()
		s.trouble = err
		s.mu.Unlock()
	}
}

// hold has commands get the newest file that is open.
func (s *viewSession) hold() {
	var newest *archivedFile
	if files := s.opened(); len(files) > 0 {
		newest = files[0]
	}
	if newest == s.held {
		return
	}
	if s.held != nil {
		s.release()
	}
	if s.held = newest; newest != nil {
		s.release = s.c.handle.put(newest.st)
	}
}

// grow has the files go on that do.
func (s *viewSession) grow(ctx context.Context) error {
	for _, file := range s.opened() {
		if err := file.view.Look(ctx); err != nil {
			return err
		}
		if !file.grows {
			continue
		}
		if err := file.view.Grow(ctx); err != nil {
			return err
		}
	}
	return nil
}

// close ends everything.
func (s *viewSession) close() error {
	for _, m := range s.moments {
		s.leave(m)
	}
	s.opening.Wait()
	if s.held != nil {
		s.release()
	}
	var errs []error
	for _, file := range s.opened() {
		errs = append(errs, file.close())
	}
	return errors.Join(errs...)
}

// show fills in a status: that of the newest data file.
func (s *viewSession) show(out *admin.Status) {
	files := s.opened()
	if len(files) > 0 {
		showStorage(&out.Storage, files[0].st, time.Now())
	}
	s.blobs.places.show(&out.Storage)
	out.ReadOnly, out.Ready = true, true
	s.mu.Lock()
	why := s.trouble
	s.mu.Unlock()
	for _, file := range files {
		if err := file.view.Trouble(); err != nil {
			why = err
		}
	}
	if why != nil {
		out.Ready, out.NotReady = false, admin.Known("the archive cannot be read: "+why.Error())
	}
}
