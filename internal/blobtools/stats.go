package blobtools

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"time"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// StatsOptions say what is counted. Path and Blobs are required.
type StatsOptions struct {
	FS       vfs.FS // nil: the real disk
	Path     string
	Blobs    *blobstore.Store
	Now      time.Time // from which ages are counted
	Progress func(done, total int64)
	// Owner returns the class of the object that has a blob; nil: owners are not counted.
	Owner func(zodb.Oid) string
	// Dropped tells which blobs the next pack drops, in the order of oids and tids; nil: that is not counted.
	Dropped func(ctx context.Context, drop func(zodb.Oid, zodb.Tid)) error
}

// A Count is of revisions of blobs, and of the bytes that their files have here.
type Count struct {
	Blobs int64 `json:"blobs"`
	Bytes int64 `json:"bytes"`
}

func (c *Count) add(bytes int64) {
	c.Blobs++
	c.Bytes += bytes
}

// A Share is a part of the blobs.
type Share struct {
	Name string `json:"name"`
	Count
}

// Stats count the blobs of a storage. Each has one place in Ages, Sizes and Owners.
type Stats struct {
	Path    string   `json:"path"`
	Dir     string   `json:"blob_dir"`
	Layout  string   `json:"layout"`
	LastTid zodb.Tid `json:"last_tid"`
	All     Count    `json:"all"`      // that have a file here
	Current Count    `json:"current"`  // of these: the last revisions of their objects
	NotHere int64    `json:"not_here"` // that have none: zrsd blobs audit says why
	Unowned Count    `json:"unowned"`  // files that no revision has
	Ages    []Share  `json:"ages"`     // by the time of the transaction
	Sizes   []Share  `json:"sizes"`    // by the size of the file
	Owners  []Share  `json:"owners"`   // by the class of the object that refers to the blob; the largest first
	Pack    *Count   `json:"next_pack_frees"`
}

// A limit is what a share goes up to.
type limit struct {
	name string
	most int64
}

var ages = []limit{
	{"up to 1 day", day}, {"up to 7 days", 7 * day}, {"up to 30 days", 30 * day}, {"up to 365 days", 365 * day},
	{"up to 5 years", 5 * 365 * day}, {"older", math.MaxInt64},
}

const day = int64(24 * time.Hour)

var sizes = []limit{
	{"up to 4 KiB", 4 << 10}, {"up to 64 KiB", 64 << 10}, {"up to 1 MiB", 1 << 20}, {"up to 16 MiB", 16 << 20},
	{"up to 256 MiB", 256 << 20}, {"larger", math.MaxInt64},
}

// shares returns an empty share for each limit.
func shares(limits []limit) (list []Share) {
	for _, l := range limits {
		list = append(list, Share{Name: l.name})
	}
	return list
}

// of returns the share in which a value is.
func of(list []Share, limits []limit, value int64) *Share {
	return &list[slices.IndexFunc(limits, func(l limit) bool { return value <= l.most })]
}

// CountBlobs counts the blobs of a storage. It changes nothing, takes no lock, and needs 8 bytes for each revision in
// addition to what the records need.
func CountBlobs(ctx context.Context, opt StatsOptions) (*Stats, error) {
	opt.FS = vfs.OrOS(opt.FS)
	rec, err := ReadRecords(ctx, opt.FS, opt.Path, opt.Progress)
	if err != nil {
		return nil, err
	}
	c := &counting{opt: opt, rec: rec, sizes: make([]int64, len(rec.Blobs)), owners: map[string]*Count{}}
	c.stats = Stats{Path: opt.Path, Dir: opt.Blobs.Dir(), Layout: opt.Blobs.Layout(), LastTid: rec.Last}
	err = c.run(ctx)
	if err = errors.Join(err, rec.Close()); err != nil {
		return nil, fmt.Errorf("count the blobs of %s: %w", opt.Path, err)
	}
	return &c.stats, nil
}

// A counting is one run.
type counting struct {
	opt    StatsOptions
	rec    *Records
	sizes  []int64 // of each revision; absent: it has no file
	owners map[string]*Count
	stats  Stats
}

const absent = -1

func (c *counting) run(ctx context.Context) error {
	for i := range c.sizes {
		c.sizes[i] = absent
	}
	err := c.opt.Blobs.Survey(blobstore.Surveyor{
		Blob: func(oid zodb.Oid, tid zodb.Tid, _ string, info fs.FileInfo) error {
			c.file(oid, tid, info)
			return context.Cause(ctx)
		},
	})
	if err == nil {
		err = c.rec.unchanged()
	}
	if err != nil {
		return err
	}
	c.count()
	if c.opt.Dropped == nil {
		return nil
	}
	c.stats.Pack = &Count{}
	err = c.opt.Dropped(ctx, func(oid zodb.Oid, tid zodb.Tid) {
		if i := c.rec.find(oid, tid); i >= 0 && c.sizes[i] != absent {
			c.stats.Pack.add(c.sizes[i])
		}
	})
	return errors.Join(err, c.rec.unchanged())
}

func (c *counting) file(oid zodb.Oid, tid zodb.Tid, info fs.FileInfo) {
	i := c.rec.find(oid, tid)
	switch {
	case !info.Mode().IsRegular():
	case i >= 0:
		c.sizes[i] = info.Size()
	case tid <= c.rec.Last: // else it is of a commit since the records were read
		c.stats.Unowned.add(info.Size())
	}
}

// count goes through the revisions.
func (c *counting) count() {
	s := &c.stats
	s.Ages, s.Sizes, s.Owners = shares(ages), shares(sizes), []Share{}
	for i := range c.rec.Blobs {
		size := c.sizes[i]
		if size == absent {
			s.NotHere++
			continue
		}
		r := &c.rec.Blobs[i]
		s.All.add(size)
		if c.rec.now.Get(r.Oid) == r.Pos {
			s.Current.add(size)
		}
		of(s.Ages, ages, int64(c.opt.Now.Sub(r.Tid.Time()))).add(size)
		of(s.Sizes, sizes, size).add(size)
		c.own(r.Oid, size)
	}
	for name, n := range c.owners {
		s.Owners = append(s.Owners, Share{name, *n})
	}
	slices.SortFunc(s.Owners, func(a, b Share) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Name, b.Name))
	})
}

func (c *counting) own(oid zodb.Oid, size int64) {
	if c.opt.Owner == nil {
		return
	}
	name := c.opt.Owner(oid)
	if c.owners[name] == nil {
		c.owners[name] = &Count{}
	}
	c.owners[name].add(size)
}
