package node

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/archive"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/primary"
	"github.com/zrsd/zrsd/protocol"
)

// attach streams a data file that another process writes, until ctx ends.
func (c *PrimaryConfig) attach(ctx context.Context, f *nodeStatus) (err error) {
	ln, err := c.listenForServers(ctx)
	if err != nil {
		return err
	}
	src, blobs, err := c.source(ctx, f)
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	defer func() {
		f.waits("the storage is closing")
		err = errors.Join(err, src.Close())
	}()
	keep, err := c.ownIdentity(ctx, src)
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	chain := c.chain(src, keep)
	defer chain.Close()
	server := c.serveReplication(src, ln, blobs, chain, func() (string, []protocol.Epoch) {
		id := keep.State()
		return id.StorageID, id.Epochs
	}, nil, protocol.SyncRule{})
	files := &files{c: &c.Config, keep: keep, blobs: blobs}
	f.opened(func(st *admin.Status) {
		showPrimary(st, src, server.Status())
		showChain(&st.Storage, chain)
		files.show(st)
	})
	defer c.archives(archived{src, keep, chain, blobs, func() bool { return true }})()
	defer c.verifies(&verifiable{committed: src.Size, chain: chain, blobs: blobs,
		peers: func() []string { return followers(server.Status(), false) }})()
	watching, end := context.WithCancel(ctx)
	var looking sync.WaitGroup
	looking.Go(func() { files.watch(watching) })
	defer looking.Wait()
	defer end()
	select {
	case <-ctx.Done():
		server.drain()
		return <-server.served
	case err := <-server.served:
		server.drain()
		return err
	}
}

// ownIdentity reads the state file, or makes one, for a node that has no role to claim.
func (c *Config) ownIdentity(ctx context.Context, src source) (*state.Keeper, error) {
	id := c.identity()
	keep, err := id.Load()
	if err != nil {
		return nil, err
	}
	upTo, err := id.Compare(ctx, src, keep)
	if err != nil {
		return nil, err
	}
	if err := id.BeginOwnEpoch(keep, upTo); err != nil {
		return nil, &StartError{Err: err}
	}
	return keep, nil
}

// A source is a storage that can be streamed and is ours to close.
type source interface {
	primary.Source
	archive.Storage
	io.Closer
}

// source attaches to the data file of another process.
func (c *PrimaryConfig) source(ctx context.Context, f *nodeStatus) (source, blobDir, error) {
	if err := c.missesBlobs(ctx, f); err != nil {
		return nil, blobDir{}, err
	}
	blobs, err := c.openBlobs(true)
	if err != nil {
		return nil, blobs, err
	}
	f.waits("attaching to the storage")
	opt := filestorage.AttachOptions{FS: c.FS, Blobs: blobs.storage(), Logger: c.Logger.Named("storage")}
	src, err := filestorage.Attach(ctx, c.Data, opt)
	if err != nil {
		return nil, blobs, &StartError{Err: err}
	}
	c.Logger.Info("attached to the storage", "file", c.Data, "size", src.Size(), "last_tid", src.LastTid())
	return &attachedStorage{src, c.handle.put(src)}, blobs, nil
}

// An attachedStorage is out of the reach of commands before it closes.
type attachedStorage struct {
	*filestorage.Attached
	remove func()
}

func (s *attachedStorage) Close() error {
	s.remove()
	return s.Attached.Close()
}
