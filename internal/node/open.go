package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/conflict"
	"github.com/zrsd/zrsd/internal/recovered"
	"github.com/zrsd/zrsd/internal/rewind"
)

// reportEvery is how often a long scan is logged.
const reportEvery = 5 * time.Second

// storageOptions returns how to open the storage.
func (c *Config) storageOptions(f *nodeStatus, blobs blobDir) filestorage.Options {
	opt := filestorage.Options{FS: c.FS, Blobs: blobs.storage(), Logger: c.Logger.Named("storage"),
		Progress: c.progress(f), Resolve: c.resolve, Watch: c.board}
	if c.healer != nil {
		opt.Damaged, opt.DamagedBlob = c.healer.meets, c.healer.streamBlob
	}
	return opt
}

// resolve merges what an undo and a later transaction made of an object.
func (c *Config) resolve(f *filestorage.Conflict) (merged []byte, err error) {
	err = recovered.Do(c.Logger, "resolving the conflict of an undo", func() (err error) {
		merged, err = conflict.Resolve(f.Old, f.Committed, f.New)
		return err
	})
	return merged, err
}

// progress shows how far a scan of the data file is.
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
	if _, err := c.rewound().Finish(ctx); err != nil {
		return &StartError{Err: err}
	}
	return nil
}

// rewound is the storage as a rewind needs it. Blobs of the primary's are not for this node to set aside.
func (c *Config) rewound() *rewind.Storage {
	s := &rewind.Storage{FS: c.FS, Data: c.Data, Logger: c.Logger, BlobsElsewhere: c.SharedBlobs}
	if !c.SharedBlobs {
		s.Blobs = c.Blobs
	}
	return s
}

// ErrNoData says why a primary does not begin with an empty storage: a mistyped path would be one.
var ErrNoData = errors.New("a primary makes no Data.fs")

// openStorage opens the storage that this node owns.
func (c *Config) openStorage(ctx context.Context, f *nodeStatus, blobs blobDir, mustExist bool) (*filestorage.Storage,
	error) {
	f.waits("opening the storage")
	opt := c.storageOptions(f, blobs)
	opt.MustExist = mustExist
	st, err := filestorage.Open(ctx, c.Data, opt)
	if mustExist && errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w (%w)", err, ErrNoData)
	}
	if err != nil {
		return nil, &StartError{Err: err}
	}
	c.Logger.Info("the storage is open", "file", c.Data, "size", st.Size(), "objects", st.Len(), "last_tid",
		st.LastTid())
	return st, nil
}
