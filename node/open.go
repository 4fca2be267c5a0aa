package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/zrsd/zrsd/conflict"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/identity"
)

// reportEvery is how often a long scan is logged.
const reportEvery = 5 * time.Second

// storageOptions returns how to open the storage.
func (c *Config) storageOptions(f *face, blobs blobDir) filestorage.Options {
	return filestorage.Options{FS: c.FS, Blobs: blobs.storage(), Logger: c.Logger.Named("storage"),
		Progress: c.progress(f), Resolve: resolve}
}

// resolve merges what an undo and a later transaction made of an object.
func resolve(c *filestorage.Conflict) ([]byte, error) {
	return conflict.Resolve(c.Old, c.Committed, c.New)
}

// progress tells how far a scan of the data file is.
func (c *Config) progress(f *face) func(done, total int64) {
	next := time.Now().Add(reportEvery)
	return func(done, total int64) {
		if now := time.Now(); now.After(next) && total > 0 {
			next = now.Add(reportEvery)
			text := fmt.Sprintf("rebuilding the index: %d %% of %d MiB", done*100/total, total>>20)
			f.waits(text)
			c.Logger.Info(text)
		}
	}
}

// openStorage opens the storage that this node owns.
func (c *Config) openStorage(ctx context.Context, f *face, blobs blobDir, mustExist bool) (*filestorage.Storage,
	error) {
	f.waits("opening the storage")
	opt := c.storageOptions(f, blobs)
	opt.MustExist = mustExist
	st, err := filestorage.Open(ctx, c.Data, opt)
	if err != nil {
		return nil, &StartError{err}
	}
	c.Logger.Info("storage is open", "file", c.Data, "size", st.Size(), "objects", st.Len(), "last", st.LastTid())
	return st, nil
}

// loadIdentity returns the storage's identity, nil when it has none yet.
func (c *Config) loadIdentity() (*identity.State, error) {
	id, err := identity.Load(c.FS, c.Data)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // having none is what a new secondary begins with
	}
	if err != nil {
		return nil, &StartError{err}
	}
	return id, nil
}

// makeIdentity returns the storage's identity, which is created at the first start of a primary.
func (c *Config) makeIdentity() (*identity.State, error) {
	id, err := c.loadIdentity()
	if id != nil || err != nil {
		return id, err
	}
	if id, err = identity.Create(c.FS, c.Data); err != nil {
		return nil, &StartError{err}
	}
	c.Logger.Info("gave the storage an identity", "storage", id.StorageID, "file", id.Path())
	return id, nil
}
