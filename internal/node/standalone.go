package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/zeo"
)

// check needs nothing of what is about replication.
func (c *StandaloneConfig) check() error {
	c.fill()
	if c.Data == "" {
		return errNoData
	}
	c.onlyRead, c.onlyMoments = c.ReadOnly, c.OnlyMoments
	if c.Archive.URL != "" && c.ReadOnly {
		return &ConfigError{"--archive: files that are only read are archived where they are written: leave it out"}
	}
	return errors.Join(c.checkHeal(), c.Verify.check(), c.Archive.Check(), c.checkPacks(), c.From.Check())
}

// session keeps the storage open for the front until ctx ends.
func (c *StandaloneConfig) session(ctx context.Context, f *nodeStatus) (err error) {
	if c.From.URL != "" {
		return c.sessionFromArchive(ctx, f)
	}
	if err := c.missesBlobs(ctx, f); err != nil {
		return err
	}
	blobs, err := c.openBlobs(false)
	if err != nil {
		return err
	}
	c.noteBlobs(&blobs)
	st, err := c.open(ctx, f, blobs)
	if err != nil {
		return err
	}
	var noting sync.WaitGroup
	defer func() {
		f.waits("the storage is closing")
		noting.Wait()
		err = errors.Join(err, st.Close())
		blobs.written()
	}()
	if !c.ReadOnly {
		blobs.begin(st.LastTid())
		noting.Go(func() { blobs.run(ctx) })
	}
	access := zeo.Writable
	if c.ReadOnly {
		access = zeo.ReadOnly
	}
	defer c.offered(st, zeo.StorageOptions{Access: access})()
	files := &files{c: &c.Config, st: st, blobs: blobs, tries: func() bool { return !c.ReadOnly }}
	a, done, err := c.archived(ctx, st, blobs)
	if err != nil {
		return err
	}
	defer done()
	f.opened(func(out *admin.Status) {
		showStorage(&out.Storage, st, time.Now())
		if a.chain != nil {
			showChain(&out.Storage, a.chain)
		}
		out.ReadOnly = c.ReadOnly
		showLeft(out, st)
		if err := st.Ailment(); err != nil {
			out.NotReady, out.Fault = admin.Known("it takes no transactions: "+err.Error()), admin.Known(err.Error())
		}
		out.Ready = out.NotReady == nil
		files.show(out)
	})
	defer c.verifies(&verifiable{committed: st.Size, blobs: blobs})()
	files.watch(ctx)
	return nil
}

// archived has the storage archived until done is called, if that is wanted. It gets an identity then, as the only node
// of its history: by that an archive tells it from others.
func (c *StandaloneConfig) archived(ctx context.Context, st *filestorage.Storage, blobs blobDir) (a archived,
	done func(), err error) {
	if c.Archive.URL == "" {
		return a, func() {}, nil
	}
	keep, err := c.ownIdentity(ctx, st)
	if err != nil {
		return a, nil, err
	}
	if !keep.State().Own() {
		return a, nil, &StartError{Err: fmt.Errorf("--archive: %s belongs to a cluster, and another node began its "+
			"last epoch: archive from the primary; or, to go on with these files as a database of its own, move %s "+
			"away", c.Data, keep.State().Path())}
	}
	a = archived{st, keep, c.chain(st, keep), blobs, func() bool { return true }}
	stop := c.archives(a)
	return a, func() { stop(); a.chain.Close() }, nil
}

// forgetWaits is for a node that serves clients without replicating: all commits are acknowledged at once. The state
// file of a copy is not changed: what commits waited for is dropped when it is used.
func (c *Config) forgetWaits() error {
	s, err := state.Load(c.FS, c.Data)
	if err != nil || s.Copied || s.Waits == nil {
		return nil //nolint:nilerr // without a state that can be read no node takes part
	}
	s.Waits = nil
	if err := s.Save(); err != nil {
		return &StartError{Err: err}
	}
	return nil
}

func (c *StandaloneConfig) open(ctx context.Context, f *nodeStatus, blobs blobDir) (*filestorage.Storage, error) {
	if !c.ReadOnly {
		st, err := c.openStorage(ctx, f, blobs, false)
		if err != nil {
			return nil, err
		}
		if err := c.forgetWaits(); err != nil {
			return nil, errors.Join(err, st.Close())
		}
		return st, nil
	}
	f.waits("opening the storage")
	opt := c.storageOptions(f, blobs)
	opt.ReadOnly, opt.MustExist = true, true
	st, err := filestorage.Open(ctx, c.Data, opt)
	if err != nil {
		return nil, &StartError{Err: err}
	}
	c.Logger.Info("the storage is open for reading", "file", c.Data, "size", st.Size(), "last_tid", st.LastTid())
	return st, nil
}
