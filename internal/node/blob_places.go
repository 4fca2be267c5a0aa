package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/blobcache"
	"github.com/zrsd/zrsd/internal/hashchain"
	"github.com/zrsd/zrsd/internal/objectstore"
	"github.com/zrsd/zrsd/internal/priority"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zeo"
	"github.com/zrsd/zrsd/zodb"
)

// When blobs are put into the object store.
const (
	UploadNow   = "now"   // before clients hear of the commit
	UploadLater = "later" // before they may leave this node
)

// DefaultBlobCheck is how many percent of the target size of a blob cache come between two looks at it.
const DefaultBlobCheck = 10

// A BlobConfig says where blobs are beside the blob directory.
type BlobConfig struct {
	CacheSize  int64  // the target of the blob directory, which is a cache then; 0: it has all blobs
	CacheCheck int    // percent of it; 0: the default
	Store      string // URL of an object store that has all blobs; empty: there is none
	Upload     string // UploadNow or UploadLater; empty: UploadNow
	// Grace is how long an object must have been unneeded to be removed from the store by the primary; 0: none is.
	Grace time.Duration
}

// checkBlobs reports what makes no sense, and fills in the defaults.
func (c *Config) checkBlobs() error {
	b := &c.BlobPlaces
	if b.CacheCheck == 0 {
		b.CacheCheck = DefaultBlobCheck
	}
	if b.Upload == "" {
		b.Upload = UploadNow
	}
	switch {
	case b.CacheSize < 0:
		return &ConfigError{"--blob-cache-size: give a number of bytes, or 0 for all blobs"}
	case b.CacheCheck < 1 || b.CacheCheck > 99:
		return &ConfigError{fmt.Sprintf("--blob-cache-size-check %d: give a percentage from 1 to 99", b.CacheCheck)}
	case b.Upload != UploadNow && b.Upload != UploadLater:
		return &ConfigError{fmt.Sprintf("--blobs-upload %q: give now or later", b.Upload)}
	case b.Grace != 0 && b.Store == "":
		return &ConfigError{"--blobs-store-grace: there is no object store: give --blobs-store, or leave it out"}
	case b.Grace < 0 || b.Grace > 0 && b.Grace < time.Second:
		return &ConfigError{fmt.Sprintf("--blobs-store-grace %v: give a duration such as 720h, or 0 for never",
			b.Grace)}
	case (b.CacheSize > 0 || b.Store != "") && c.Blobs == "":
		return &ConfigError{"--blob-cache-size and --blobs-store need a blob directory: give one with --blobs DIR"}
	case (b.CacheSize > 0 || b.Store != "") && c.SharedBlobs:
		return &ConfigError{"--blobs-shared: the directory is the primary's own: its --blob-cache-size and " +
			"--blobs-store count; leave them out here"}
	}
	return nil
}

// blobPlaces are where blobs of an open storage are, beside its directory.
type blobPlaces struct {
	c       *Config
	objects *blobcache.Objects // nil: there is no object store
	cache   *blobcache.Dir     // nil: the directory has all blobs
	upload  *blobcache.Uploader
	clean   *blobcache.Cleaner // nil: nothing is removed from the object store

	leads func() bool

	mu    sync.Mutex
	peers map[string]*blobcache.Peer
}

// openPlaces opens what the configuration says.
func (s *session) openPlaces(ctx context.Context) error {
	b := &s.c.BlobPlaces
	if s.blobs.own == nil {
		return nil
	}
	if b.CacheSize == 0 && b.Store == "" {
		return nil
	}
	p := &blobPlaces{c: s.c, peers: map[string]*blobcache.Peer{}}
	p.leads = func() bool { return s.node != nil && s.node.IsPrimary() }
	s.blobs.places = p
	if b.Store != "" {
		store, err := objectstore.Open(ctx, b.Store, objectstore.Options{FS: s.c.FS})
		if err != nil {
			return &StartError{Err: err}
		}
		p.objects = &blobcache.Objects{Store: store}
	}
	if b.CacheSize > 0 {
		p.cache = blobcache.New(ctx, blobcache.Options{
			Store: s.blobs.own, Target: b.CacheSize, Check: b.CacheCheck, Sources: p.sources, Expect: s.hasBlob,
			Logger: s.c.Logger.Named("blobs"),
		})
	}
	if p.objects != nil {
		p.upload = s.uploader(p)
		if b.Grace > 0 {
			p.clean = s.cleaner(p)
		}
	}
	return nil
}

// uploader puts what is committed here into the object store.
func (s *session) uploader(p *blobPlaces) *blobcache.Uploader {
	opt := blobcache.UploadOptions{
		Objects: *p.objects, FS: vfs.OrOS(s.c.FS), Data: s.c.Data, Later: s.c.BlobPlaces.Upload == UploadLater,
		Open: s.blobs.own.OpenBlob, Leads: p.leads, Claim: s.claim,
		Records: func(after zodb.Tid) (zodb.Iterator, error) { return s.st.IterateRecords(after, false) },
		Last:    func() zodb.Tid { return s.st.LastTid() }, Logger: s.c.Logger.Named("blobs"),
	}
	before := s.blobs.own.Published
	u := blobcache.NewUploader(opt)
	s.blobs.own.Published = func(oid zodb.Oid, tid zodb.Tid, size int64) {
		if before != nil {
			before(oid, tid, size)
		}
		if p.cache == nil || !p.cache.Fetching(oid, tid) {
			u.Published(oid, tid, size)
		}
	}
	return u
}

// hasBlob reports whether there is a record of this blob. Where that cannot be read, it may be.
func (s *session) hasBlob(oid zodb.Oid, tid zodb.Tid) bool {
	data, err := s.st.LoadSerial(oid, tid)
	if missing := (*zodb.POSKeyError)(nil); errors.As(err, &missing) {
		return false
	}
	return err != nil || zodb.IsBlobRecord(data)
}

// sources are where blobs are fetched from: nodes first, which are near.
func (p *blobPlaces) sources() (list []blobcache.Source) {
	if v := p.c.verifiable.Load(); v != nil && v.peers != nil {
		for _, addr := range append(v.peers(), v.others()...) {
			list = append(list, p.peer(addr))
		}
	}
	if p.objects != nil {
		list = append(list, *p.objects)
	}
	return unique(list)
}

// unique leaves out what is there twice.
func unique(list []blobcache.Source) (once []blobcache.Source) {
	seen := map[string]bool{}
	for _, s := range list {
		if !seen[s.String()] {
			seen[s.String()] = true
			once = append(once, s)
		}
	}
	return once
}

func (p *blobPlaces) peer(addr string) *blobcache.Peer {
	p.mu.Lock()
	defer p.mu.Unlock()
	peer := p.peers[addr]
	if peer == nil {
		peer = blobcache.NewPeer(addr, func(ctx context.Context) (*hashchain.Remote, error) {
			dial := func(ctx context.Context) (net.Conn, error) { return p.c.dialServer(ctx, addr) }
			return hashchain.Dial(ctx, dial, p.c.read.secret, p.c.name()+" (blobs)")
		}, p.storageID)
		p.peers[addr] = peer
	}
	return peer
}

// storageID is that of the storage; empty where the state file cannot be read, which is that of no node.
func (p *blobPlaces) storageID() string {
	s, err := state.Load(p.c.FS, p.c.Data)
	if err != nil {
		return ""
	}
	return s.StorageID
}

// run keeps the target of the cache and uploads, until ctx ends.
func (p *blobPlaces) run(ctx context.Context) {
	if p == nil {
		return
	}
	var all sync.WaitGroup
	if p.cache != nil {
		all.Go(func() { p.cache.Run(ctx) })
		all.Go(func() { p.tellPromotions(ctx) })
	}
	if p.upload != nil {
		all.Go(func() { p.upload.Run(ctx) })
	}
	if p.clean != nil {
		all.Go(func() {
			priority.Lower(priority.Idle)
			p.clean.Run(ctx)
		})
	}
	all.Wait()
}

// leadsLook is how often it is looked whether the node has become primary.
const leadsLook = time.Second

// tellPromotions has an operator know that a primary has a part of the blobs, and where the others are.
func (p *blobPlaces) tellPromotions(ctx context.Context) {
	tick := time.NewTicker(leadsLook)
	defer tick.Stop()
	for led := false; ; {
		if leads := p.leads(); leads != led {
			led = leads
			if led {
				p.tellPromotion()
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (p *blobPlaces) tellPromotion() {
	var others []string
	for _, s := range p.sources() {
		others = append(others, s.String())
	}
	have := p.cache.Stats()
	p.c.Logger.Info("this primary has a part of the blobs only; others have to stay where they are",
		"blobs", have.Blobs, "size", have.Bytes, "others", others)
}

// close closes connections, after the storage.
func (p *blobPlaces) close() error {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, peer := range p.peers {
		peer.Close()
	}
	if p.objects == nil {
		return nil
	}
	return p.objects.Store.Close()
}

// awaits has clients hear of commits when their blobs are in the object store, too.
func (p *blobPlaces) awaits(opt zeo.StorageOptions) zeo.StorageOptions {
	if p == nil || p.upload == nil {
		return opt
	}
	before := opt.AwaitCommitted
	opt.AwaitCommitted = func(ctx context.Context, tid zodb.Tid) error {
		err := p.upload.Await(ctx, tid)
		if err == nil && before != nil {
			err = before(ctx, tid)
		}
		return err
	}
	return opt
}

// show adds what is known of them to a status.
func (p *blobPlaces) show(out *admin.Storage) {
	if p == nil {
		return
	}
	if p.cache != nil {
		s := p.cache.Stats()
		out.BlobCache = &admin.BlobCache{Target: s.Target, Bytes: s.Bytes, Blobs: s.Blobs, Hits: s.Hits,
			Misses: s.Misses, Fetched: s.Fetched, Failed: s.Failed, Evicted: s.Evicted, Stuck: s.Stuck}
	}
	if p.upload == nil {
		return
	}
	s := p.upload.Stats()
	out.BlobStore = &admin.BlobStore{Store: p.objects.Store.String(), Upload: p.c.BlobPlaces.Upload,
		Waiting: s.Waiting, Uploaded: s.Done, Bytes: s.Bytes, Tid: admin.NonZero(s.Uploaded)}
	if s.Trouble != nil {
		out.BlobStore.LastError, out.BlobStore.LastErrorAt = admin.Known(s.Trouble.Error()), admin.Known(s.Since.UTC())
	}
	p.showCleaning(out.BlobStore)
}

var _ filestorage.Blobs = (*blobcache.Dir)(nil)
