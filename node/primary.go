package node

import (
	"context"
	"errors"
	"io"

	"github.com/zrsd/zrsd/admin"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/primary"
	"github.com/zrsd/zrsd/protocol"
)

// RunPrimary runs a primary until ctx ends, drains it and returns nil. Otherwise it returns why it could not start
// or go on: *ConfigError, *StartError, or what failed.
func RunPrimary(ctx context.Context, cfg PrimaryConfig) error {
	if err := cfg.check(); err != nil {
		return err
	}
	f := newFace(rolePrimary, &cfg.Config)
	f.base.Storage.Attached = cfg.Attach
	return run(ctx, &cfg.Config, f, func(ctx context.Context) error { return cfg.session(ctx, f) })
}

func (c *PrimaryConfig) session(ctx context.Context, f *face) (err error) {
	ln, err := c.listenForServers(ctx)
	if err != nil {
		return err
	}
	blobs, err := c.openBlobs(c.Attach)
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	src, err := c.source(ctx, f, blobs)
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	defer func() {
		f.waits("the storage is closing")
		err = errors.Join(err, src.Close())
	}()
	keep, err := c.loadIdentity()
	if err == nil {
		err = c.makeIdentity(keep)
	}
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	fed := c.feed(src, ln, blobs, func() (string, []protocol.Epoch) {
		id := keep.State()
		return id.StorageID, id.Epochs
	})
	f.opened(func(st *admin.Status) { showPrimary(st, src, fed.Status()) })
	select {
	case <-ctx.Done():
		fed.drain()
		return <-fed.served
	case err := <-fed.served:
		fed.drain()
		return err
	}
}

// A source is a storage that can be streamed and is ours to close.
type source interface {
	primary.Source
	io.Closer
}

// openOffered opens the data file and offers it to the front until it is closed.
func (c *PrimaryConfig) openOffered(ctx context.Context, f *face, blobs blobDir) (source, error) {
	st, err := c.openStorage(ctx, f, blobs, !c.Create)
	if err != nil {
		return nil, err
	}
	return &offeredStorage{st, c.offered(st)}, nil
}

// An offeredStorage is withdrawn from the front before it closes.
type offeredStorage struct {
	*filestorage.Storage
	withdraw func()
}

func (s *offeredStorage) Close() error {
	s.withdraw()
	return s.Storage.Close()
}

// source opens the data file, or attaches to that of another process.
func (c *PrimaryConfig) source(ctx context.Context, f *face, blobs blobDir) (source, error) {
	if !c.Attach {
		return c.openOffered(ctx, f, blobs)
	}
	f.waits("attaching to the storage")
	src, err := filestorage.Attach(ctx, c.Data, c.storageOptions(f, blobs))
	if err != nil {
		return nil, &StartError{err}
	}
	c.Logger.Info("attached to the storage", "file", c.Data, "size", src.Size(), "last", src.LastTid())
	return &attachedStorage{src, c.desk.put(src)}, nil
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
