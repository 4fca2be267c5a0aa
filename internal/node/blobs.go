package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/verify"
	"github.com/zrsd/zrsd/primary"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/secondary"
	"github.com/zrsd/zrsd/zodb"
)

// A blobDir is the blob directory of a node: its own, that of its primary, or none.
type blobDir struct {
	own    *blobstore.Store
	shared *blobstore.Shared
	places *blobPlaces       // nil: the directory is all there is
	notes  *verify.BlobNotes // of own, while its storage is open; nil: nothing is noted
	// partial says that own is, or was, a blob cache, and that nobody can be asked for what is not there.
	partial bool
}

// A noBlobsError says that the blob directory is missing or empty, and the data file has blobs.
type noBlobsError struct {
	Dir string
	Oid zodb.Oid
	Tid zodb.Tid
}

func (e *noBlobsError) Error() string {
	return fmt.Sprintf(
		"the data file has blobs (such as that of oid %v in transaction %v), and blob directory %s is missing or "+
			"empty: check that it is mounted, and name the right one; if its blobs are lost, or were left out of a "+
			"copy on purpose, say so with: mkdir -p %s && echo bushy > %[3]s/.layout",
		e.Oid,
		e.Tid,
		e.Dir,
		e.Dir,
	)
}

// missesBlobs refuses to start with a blob directory that was never used beside a data file that has blobs: what is
// mounted there is away. New blobs would go where nobody finds them later, and secondaries would get the records of old
// ones without them. The data file is looked through for that only then.
func (c *Config) missesBlobs(ctx context.Context, f *nodeStatus) error {
	if c.Blobs == "" || c.SharedBlobs || c.BlobPlaces.CacheSize > 0 {
		return nil
	}
	if blank, err := blobstore.Blank(c.FS, c.Blobs); err != nil || !blank {
		return nil //nolint:nilerr // opening the directory reports it
	}
	f.waits("looking for blobs in the data file, because the blob directory is empty")
	rec, err := filestorage.FirstBlob(ctx, c.FS, c.Data, c.tellProgress(f, "looking for blobs"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && rec != nil {
		err = &noBlobsError{c.Blobs, rec.Oid, rec.Tid}
	}
	if err != nil {
		return &StartError{Err: err}
	}
	return nil
}

// A partialBlobsError says that a blob directory was a blob cache, and would be taken for one with all blobs.
type partialBlobsError struct{ Dir string }

func (e *partialBlobsError) Error() string {
	return fmt.Sprintf("blob directory %s was a blob cache: blobs that were evicted are not in it, and clients would "+
		"hear that they do not exist; give --blob-cache-size as before, or bring all blobs back with zrsd blobs pull "+
		"or zrsd blobs recover, and then remove %s", e.Dir, blobstore.PartialMarker(e.Dir))
}

// whole refuses a blob cache where all blobs are expected, and notes that a directory becomes a cache. Who only reads
// for clients says of what is not there that it was evicted.
func (c *Config) whole(d *blobDir, readOnly bool) error {
	if c.BlobPlaces.CacheSize > 0 && !readOnly {
		return d.own.MarkPartial()
	}
	is, err := d.own.Partial()
	switch {
	case err != nil || !is:
	case c.onlyRead:
		d.partial = true
		c.Logger.Info("the blob directory is, or was, a blob cache: clients get errors for the blobs that are not "+
			"there", "dir", d.own.Dir())
	default:
		err = &partialBlobsError{d.own.Dir()}
	}
	return err
}

// openBlobs opens the blob directory, if there is to be one.
func (c *Config) openBlobs(readOnly bool) (d blobDir, err error) {
	switch {
	case c.Blobs == "":
		return d, nil
	case c.SharedBlobs:
		d.shared, err = blobstore.OpenShared(c.Blobs, c.FS)
	default:
		d.own, err = blobstore.Open(c.Blobs, blobstore.Options{FS: c.FS, ReadOnly: readOnly,
			Logger: c.Logger.Named("blobs")})
		if err == nil {
			err = c.whole(&d, readOnly)
		}
	}
	if err != nil {
		return d, &StartError{Err: err}
	}
	return d, nil
}

// noteBlobs has the content of blobs noted as they come. The caller calls Begin when the storage is open, and runs the
// notes.
func (c *Config) noteBlobs(d *blobDir) {
	if d.own == nil {
		return
	}
	d.notes = verify.OpenBlobNotes(verify.BlobNotesOptions{FS: c.FS, Path: c.Data, Logger: c.Logger.Named("blobs"),
		Open: d.own.OpenAsIs})
	d.own.Notes = d.notes
	if c.healer != nil && !d.cached() {
		d.own.Damaged = c.healer.shortBlob
	}
}

// begin notes what follows of a storage that was just opened and ends with a transaction.
func (d blobDir) begin(last zodb.Tid) {
	if d.notes != nil {
		d.notes.Begin(last)
	}
}

// run writes notes until ctx ends.
func (d blobDir) run(ctx context.Context) {
	if d.notes != nil {
		d.notes.Run(ctx)
	}
}

// written has all that was noted in the file.
func (d blobDir) written() {
	if d.notes != nil {
		d.notes.Write()
	}
}

// storage is the directory as a storage needs it.
func (d blobDir) storage() filestorage.Blobs {
	switch {
	case d.partial:
		return d.own.AsCache()
	case d.cached():
		return d.places.cache
	case d.own != nil:
		return d.own
	case d.shared != nil:
		return d.shared
	}
	return nil
}

// cached reports whether only a part of the blobs is here.
func (d blobDir) cached() bool { return d.partial || d.places != nil && d.places.cache != nil }

// lend opens blobs that are here for nodes that ask for some; nil: as for others.
func (d blobDir) lend() func(zodb.Oid, zodb.Tid) (primary.BlobFile, error) {
	if !d.cached() {
		return nil
	}
	return func(oid zodb.Oid, tid zodb.Tid) (primary.BlobFile, error) { return d.own.OpenBlob(oid, tid) }
}

// following is the directory as a secondary verifies it; nil when blobs are sent.
func (d blobDir) following() secondary.SharedBlobs {
	if d.shared == nil {
		return nil
	}
	return d.shared
}

// openForSeed opens blobs for secondaries that take the data file as it is; nil where there are none.
func (d blobDir) openForSeed() func(zodb.Oid, zodb.Tid) (primary.BlobFile, error) {
	dir := d.storage()
	if dir == nil {
		return nil
	}
	return func(oid zodb.Oid, tid zodb.Tid) (primary.BlobFile, error) { return dir.OpenBlob(oid, tid) }
}

// putToken proves the directory to secondaries that share it; nil when only its owner can.
func (d blobDir) putToken() func() (protocol.Token, func() error, error) {
	if d.own == nil {
		return nil
	}
	return func() (protocol.Token, func() error, error) {
		token, err := d.own.PutToken()
		if err != nil {
			return protocol.Token{}, nil, err
		}
		return protocol.Token{Name: token.Name, Digest: token.Digest}, token.Remove, nil
	}
}
