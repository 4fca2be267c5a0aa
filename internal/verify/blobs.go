package verify

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"time"

	"github.com/zrsd/zrsd/internal/check"
	"github.com/zrsd/zrsd/internal/plural"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// A BlobDir is a blob directory that this node owns; *blobstore.Store is one.
type BlobDir interface {
	WalkPast(visit func(oid zodb.Oid, tid zodb.Tid, size int64, path string) error,
		unreadable func(dir string, err error) error) error
	BlobPath(oid zodb.Oid, tid zodb.Tid) string
	OpenBlob(oid zodb.Oid, tid zodb.Tid) (vfs.File, error)
}

// A blobCheck looks at the blobs of a pass, one after the other.
type blobCheck struct {
	p   *pass
	log *digestLog
	due int64 // blobs that were last read before this time are read
	err error // why nothing more is noted
	buf []byte
}

// newBlobCheck reads what is noted of blobs.
func newBlobCheck(p *pass) *blobCheck {
	c := &blobCheck{p: p, due: p.opt.Now().Add(-p.opt.BlobAge).Unix(), buf: make([]byte, chunkLen)}
	var err error
	notes := p.opt.Notes
	if notes == nil {
		notes = notesAt(p.opt.FS, p.opt.Path)
	}
	c.log, err = notes.read()
	if err == nil && c.log.damaged > 0 {
		err = fmt.Errorf("%s: %s damaged", notes.path, plural.Or(c.log.damaged, "record is", "records are"))
	}
	if err != nil {
		p.found(check.Finding{Severity: check.Warning, Kind: KindOwnFile,
			Text: fmt.Sprintf("%v; these blobs are read again", err)})
	}
	return c
}

// files yields the blobs as a check wants them, each after it was looked at.
func (c *blobCheck) files(ctx context.Context) iter.Seq2[check.BlobFile, error] {
	if c == nil {
		return nil
	}
	return func(yield func(check.BlobFile, error) bool) {
		tell := func(f check.BlobFile) error {
			if !yield(f, nil) {
				return errEnough
			}
			return nil
		}
		all := true
		err := c.p.opt.Blobs.WalkPast(func(oid zodb.Oid, tid zodb.Tid, size int64, path string) error {
			if err := c.file(ctx, oid, tid, size); err != nil {
				return err
			}
			return tell(check.BlobFile{Oid: oid, Tid: tid, Path: path})
		}, func(dir string, err error) error {
			all = false
			return tell(check.BlobFile{Path: dir, Unreadable: err})
		})
		c.log.walked = all && err == nil // else what is noted of the others stays
		if err != nil && !errors.Is(err, errEnough) {
			yield(check.BlobFile{}, err)
		}
	}
}

// errEnough ends a walk of which the caller has seen enough.
var errEnough = errors.New("enough")

// file looks at one blob. One that a pack has removed meanwhile is none any more.
func (c *blobCheck) file(ctx context.Context, oid zodb.Oid, tid zodb.Tid, size int64) error {
	r := c.p.result
	r.Blobs++
	r.BlobSize += size
	was := c.log.find(oid, tid)
	if was != nil && was.size != size {
		c.found(KindBlobSize, oid, tid, fmt.Sprintf("it has %d bytes, and had %d %s", size, was.size,
			was.origin.when()))
		return nil
	}
	if was != nil && was.read > c.due {
		return nil
	}
	is, err := c.read(ctx, oid, tid)
	var gone *zodb.POSKeyError
	switch {
	case errors.As(err, &gone), errors.Is(err, fs.ErrNotExist):
		r.Blobs--
		r.BlobSize -= size
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		c.found(KindUnreadable, oid, tid, fmt.Sprintf("its blob cannot be read: %v", err))
		return nil
	}
	r.BlobsRead++
	r.BlobBytes += is.size
	if was != nil && is.digest != was.digest {
		text := "it has other content than " + was.origin.when()
		if was.read > 0 {
			text += fmt.Sprintf(", until %s at the latest", time.Unix(was.read, 0).UTC().Format(time.RFC3339))
		}
		c.found(KindBlobDigest, oid, tid, text)
		return nil
	}
	if was != nil {
		is.origin = was.origin
	}
	c.note(is)
	return nil
}

func (c *blobCheck) found(kind check.Kind, oid zodb.Oid, tid zodb.Tid, text string) {
	c.p.found(check.Finding{Severity: check.Damage, Kind: kind, Tid: &tid, Oid: &oid,
		Text: text + ": fetch the blob from another node or from a backup"})
	c.p.suspect(Suspect{Tid: &tid, Oid: &oid, Blob: true, Found: text})
}

// read reads a blob.
func (c *blobCheck) read(ctx context.Context, oid zodb.Oid, tid zodb.Tid) (d blobDigest, err error) {
	f, err := c.p.opt.Blobs.OpenBlob(oid, tid)
	if err != nil {
		return d, err
	}
	defer f.Close() //nolint:errcheck // only read
	info, err := f.Stat()
	if err != nil {
		return d, err
	}
	d = blobDigest{oid: oid, tid: tid, size: info.Size(), read: c.p.opt.Now().Unix(), origin: originFound}
	sum := sha256.New()
	for at := int64(0); at < d.size; {
		b := c.buf[:min(int64(len(c.buf)), d.size-at)]
		if err := c.p.pace.spend(ctx, int64(len(b))); err != nil {
			return d, err
		}
		if err := readAll(f, b, at); err != nil {
			return d, err
		}
		sum.Write(b)
		at += int64(len(b))
	}
	sum.Sum(d.digest[:0])
	return d, nil
}

// when says it in words.
func (o origin) when() string {
	switch o {
	case originCommit:
		return "when it was committed"
	case originReceived:
		return "when it was received"
	}
	return "when it was first verified"
}

// note keeps what was read for the passes to come. After a failure nothing more is noted.
func (c *blobCheck) note(d blobDigest) {
	if c.err == nil && !c.p.opt.Dry {
		c.err = c.log.add(d)
	}
}

// close makes durable what was noted.
func (c *blobCheck) close() {
	if c == nil || c.p.opt.Dry {
		return
	}
	if c.err == nil {
		c.err = c.log.close()
	}
	c.p.noted("the digests of blobs", c.err)
}
