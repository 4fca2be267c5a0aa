package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/archive"
	"github.com/zrsd/zrsd/internal/hashchain"
	"github.com/zrsd/zrsd/internal/objectstore"
	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/internal/plural"
	"github.com/zrsd/zrsd/internal/recovered"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/internal/warning"
)

// Defaults of an archive.
const (
	DefaultArchiveInterval = archive.DefaultInterval
	DefaultArchiveBytes    = archive.DefaultBytes
)

// An ArchiveConfig says where and how a storage is archived.
type ArchiveConfig struct {
	URL        string        // empty: it is not
	Interval   time.Duration // after which what was committed is archived
	Bytes      int64         // likewise, with how much
	Rate       int64         // bytes per second; 0: no limit
	Recipients []string      // of age, for whom the content is encrypted; none: it is not
}

// ArchiveURL returns the URL of an archive: a path is that of a folder.
func ArchiveURL(text string) (string, error) {
	if strings.Contains(text, "://") {
		return text, nil
	}
	if text == "" {
		return "", errors.New("the URL of the archive is missing: give a folder, or s3://bucket/folder")
	}
	path, err := filepath.Abs(text)
	return "file://" + path, err
}

// Check reports the first setting that makes no sense.
func (a *ArchiveConfig) Check() error {
	if a.URL == "" {
		return nil
	}
	if _, err := ArchiveURL(a.URL); err != nil {
		return &ConfigError{"--archive: " + err.Error()}
	}
	if a.Interval == 0 {
		a.Interval = DefaultArchiveInterval
	}
	if a.Bytes == 0 {
		a.Bytes = DefaultArchiveBytes
	}
	switch {
	case a.Interval < time.Second:
		return &ConfigError{fmt.Sprintf("--archive-interval %v: give at least 1s", a.Interval)}
	case a.Bytes < 1<<16:
		return &ConfigError{fmt.Sprintf("--archive-bytes %d: give at least 65536", a.Bytes)}
	case a.Rate < 0:
		return &ConfigError{fmt.Sprintf("--archive-rate %d: give bytes per second, or 0 for no limit", a.Rate)}
	}
	if _, err := archive.ReadKeys(a.Recipients, ""); err != nil {
		return &ConfigError{"--archive-recipients: " + err.Error()}
	}
	return nil
}

// Options returns how a writer writes. It does not connect. The caller ends it.
func (a *ArchiveConfig) Options(ctx context.Context, log hclog.Logger) (opt archive.Options, end func(), err error) {
	url, err := ArchiveURL(a.URL)
	if err != nil {
		return opt, nil, err
	}
	keys, err := archive.ReadKeys(a.Recipients, "")
	if err != nil {
		return opt, nil, err
	}
	store, err := objectstore.Open(ctx, url, objectstore.Options{Rate: a.Rate})
	if err != nil {
		return opt, nil, err
	}
	return archive.Options{
		Store: store, Keys: keys, Recipients: a.Recipients, Interval: a.Interval, Bytes: a.Bytes,
		Logger: log.Named("archive"), Now: time.Now,
	}, func() { _ = store.Close() }, nil
}

// An archived storage is one that is open.
type archived struct {
	storage archive.Storage
	keep    *state.Keeper
	chain   *hashchain.Local
	blobs   blobDir
	primary func() bool
}

// archives has the storage archived until done is called, which waits.
func (c *Config) archives(a archived) (done func()) {
	if c.Archive.URL == "" {
		return func() {}
	}
	ctx, end := context.WithCancel(context.Background())
	var writing sync.WaitGroup
	writing.Go(func() {
		for ctx.Err() == nil {
			err := recovered.Do(c.Logger, "archiving", func() error { return c.archive(ctx, a) })
			if err != nil && ctx.Err() == nil {
				c.archiveFailed.Store(&err)
				c.Logger.Error(
					"the storage is not archived",
					"archive",
					c.Archive.URL,
					"error",
					err,
					"retry_in",
					reopenPause, "warning", warning.ArchiveAway,
				)
				pause.For(ctx, reopenPause)
			}
		}
	})
	return func() {
		end()
		writing.Wait()
		c.archiver.Store(nil)
	}
}

func (c *Config) archive(ctx context.Context, a archived) error {
	opt, end, err := c.Archive.Options(ctx, c.Logger)
	if err != nil {
		return err
	}
	defer end()
	if opt.Saved, err = c.savedArchive(); err != nil {
		c.Logger.Info("what is known of the archive cannot be read: the data file is read once more", "error", err)
	}
	opt.Save = c.saveArchive
	src := &archive.Local{
		Storage: a.storage,
		Chain:   a.chain,
		Who:     func() (archive.Node, error) { return c.archiveNode(a), nil },
	}
	if blobs := a.blobs.storage(); blobs != nil {
		src.OpenBlob = blobs.OpenBlob
	}
	w := archive.NewWriter(src, opt)
	c.archiver.Store(w)
	c.archiveFailed.Store(nil)
	return w.Run(ctx, false)
}

// archiveNode is who archives.
func (c *Config) archiveNode(a archived) archive.Node {
	n := archive.Node{Name: c.name(), Primary: a.primary(), ID: a.keep.Node()}
	if id := a.keep.State(); id != nil {
		n.Storage, n.Epochs, n.External = id.StorageID, id.Epochs, id.ExternalHistory
	}
	return n
}

// maxSaved is how long the file is at most in which it is kept how far the archive is.
const maxSaved = 64 << 10

func (c *Config) savedArchive() (*archive.Saved, error) {
	b, err := vfs.ReadFile(c.FS, c.Data+archive.SavedSuffix, maxSaved)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // nothing is known
	}
	if err != nil {
		return nil, err
	}
	s := new(archive.Saved)
	if err := json.Unmarshal(b, s); err != nil {
		return nil, fmt.Errorf("%s%s: %w", c.Data, archive.SavedSuffix, err)
	}
	return s, nil
}

func (c *Config) saveArchive(s *archive.Saved) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return vfs.WriteFileAtomic(c.FS, c.Data+archive.SavedSuffix, ".tmp", func(f vfs.File) error {
		_, err := f.WriteAt(append(b, '\n'), 0)
		return err
	})
}

// showArchive fills in how far the archive is.
func (f *nodeStatus) showArchive(st *admin.Status) {
	if len(f.configs) == 0 || f.configs[0].Archive.URL == "" {
		return
	}
	c := f.configs[0]
	out := &admin.Archive{State: archive.StateConnecting, URL: c.Archive.URL}
	st.Archive = out
	w := c.archiver.Load()
	if w == nil {
		if err := c.archiveFailed.Load(); err != nil {
			out.State, out.LastError = archive.StateAway, admin.Known((*err).Error())
		}
		return
	}
	s := w.Status(st.Now)
	*out = admin.Archive{
		URL: s.Place, State: s.State, Complete: s.Complete, LastTid: s.Last, Archived: s.Archived,
		LagBytes: s.LagBytes, LagSeconds: s.LagSeconds, Segments: s.Segments, Bytes: s.Bytes, Blobs: s.Blobs,
		BlobBytes: s.BlobBytes, BlobsMissing: s.Missing, Failures: s.Failures, LastError: s.LastError,
	}
	if s.Generation != 0 {
		out.Generation = &s.Generation
	}
	out.LagTransactions = lagTransactions(st.Storage.Chain, &s)
	out.Made, out.Verified = s.Made, s.Proved
	if v := s.Verified; v != nil && v.Problems > 0 {
		out.VerifyProblem = admin.Known(fmt.Sprintf("%s at %s on %s, the first: %s", plural.Of(v.Problems, "problem"),
			v.Ended.Format(time.RFC3339), v.By, v.Problem))
	}
}

// lagTransactions is how many transactions are not archived; nil: the hash chain over transactions does not tell.
func lagTransactions(chain *admin.Chain, s *archive.Status) *int64 {
	switch {
	case s.LagBytes == 0 && s.Archived != nil:
		return admin.Known[int64](0)
	case chain == nil || chain.Count == nil || chain.Behind > 0, s.History.Count == 0, s.History.Base != *chain.Base:
		return nil
	}
	return admin.Known(max(0, int64(*chain.Count)-int64(s.History.Count)))
}
