package node

import (
	"context"
	"fmt"
	"time"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/conflict"
	"github.com/zrsd/zrsd/internal/recovered"
	"github.com/zrsd/zrsd/internal/rewind"
	"github.com/zrsd/zrsd/internal/state"
)

// reportEvery is how often a long scan is logged.
const reportEvery = 5 * time.Second

// storageOptions returns how to open the storage.
func (c *Config) storageOptions(f *nodeStatus, blobs blobDir) filestorage.Options {
	return filestorage.Options{FS: c.FS, Blobs: blobs.storage(), Logger: c.Logger.Named("storage"),
		Progress: c.progress(f), Resolve: c.resolve, Watch: c.board}
}

// resolve merges what an undo and a later transaction made of an object.
func (c *Config) resolve(f *filestorage.Conflict) (merged []byte, err error) {
	err = recovered.Do(c.Logger, "resolving the conflict of an undo", func() (err error) {
		merged, err = conflict.Resolve(f.Old, f.Committed, f.New)
		return err
	})
	return merged, err
}

// progress tells how far a scan of the data file is.
func (c *Config) progress(f *nodeStatus) func(done, total int64) {
	return c.tellProgress(f, "rebuilding the index")
}

func (c *Config) tellProgress(f *nodeStatus, what string) func(done, total int64) {
	next := time.Now().Add(reportEvery)
	return func(done, total int64) {
		if now := time.Now(); now.After(next) && total > 0 {
			next = now.Add(reportEvery)
			text := fmt.Sprintf("%s: %d %% of %d MiB", what, done*100/total, total>>20)
			f.waits(text)
			c.Logger.Info(text)
		}
	}
}

// finishRewind does what an interrupted zrsd rewind has left to do: until then the storage must not be used.
func (c *Config) finishRewind(ctx context.Context, f *nodeStatus) error {
	f.waits("finishing an interrupted rewind")
	site := rewind.Storage{FS: c.FS, Data: c.Data, Logger: c.Logger}
	if site.Foreign = c.SharedBlobs; !site.Foreign {
		site.Blobs = c.Blobs
	}
	if _, err := site.Finish(ctx); err != nil {
		return &StartError{err}
	}
	return nil
}

// openStorage opens the storage that this node owns.
func (c *Config) openStorage(ctx context.Context, f *nodeStatus, blobs blobDir, mustExist bool) (*filestorage.Storage,
	error) {
	f.waits("opening the storage")
	opt := c.storageOptions(f, blobs)
	opt.MustExist = mustExist
	st, err := filestorage.Open(ctx, c.Data, opt)
	if err != nil {
		return nil, &StartError{err}
	}
	c.Logger.Info("the storage is open", "file", c.Data, "size", st.Size(), "objects", st.Len(), "last_tid",
		st.LastTid())
	return st, nil
}

// loadIdentity returns who keeps the storage's identity; it may have none yet.
func (c *Config) loadIdentity() (*state.Keeper, error) {
	keep, err := state.Open(c.FS, c.Data)
	if err != nil {
		return nil, &StartError{err}
	}
	if id := keep.State(); id != nil && id.Copied {
		c.Logger.Warn("the state file is a copy, or was moved to another disk: this node has a new node id", "file",
			id.Path(), "storage", id.StorageID, "node", id.Node, "was", id.Was)
	}
	if err := c.forgetImpossible(keep); err != nil {
		return nil, &StartError{err}
	}
	return keep, nil
}

// forgetImpossible drops a promise of an epoch that cannot be. Versions that believed any number wrote it down, and
// nobody could be promoted any more.
func (c *Config) forgetImpossible(keep *state.Keeper) error {
	id := keep.State()
	if id == nil {
		return nil
	}
	err := state.Believe(id.Highest(), id.Epoch().Number)
	if err == nil {
		return nil
	}
	c.Logger.Warn("the state file has a vote for an implausible epoch: the vote is dropped", "file", id.Path(),
		"error", err)
	return keep.Update(func(id *state.State) error {
		id.MaxEpochSeen, id.MaxEpochBegun = 0, 0
		return nil
	})
}

// makeIdentity gives the storage an identity, if it has none: at the first start of a primary.
func (c *Config) makeIdentity(keep *state.Keeper) error {
	if keep.State() != nil {
		return nil
	}
	if err := keep.Create(); err != nil {
		return &StartError{err}
	}
	id := keep.State()
	c.Logger.Info("gave the storage an identity", "storage", id.StorageID, "file", id.Path())
	return nil
}
