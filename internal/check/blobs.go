package check

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/zodb"
)

// A blobRevision is a revision that should have a blob file.
type blobRevision struct {
	oid   zodb.Oid
	tid   zodb.Tid
	pos   int64
	found bool
}

func (b *blobRevision) compare(oid zodb.Oid, tid zodb.Tid) int {
	return cmp.Or(cmp.Compare(b.oid, oid), cmp.Compare(b.tid, tid))
}

// noteBlob remembers rec if it is a revision of a blob.
func (c *checker) noteBlob(rec *filestorage.RawRecord) error {
	blob, err := c.in.IsBlob(rec)
	if _, corrupt := errors.AsType[*zodb.CorruptError](err); corrupt { // in a record further back, and reported there
		return nil
	}
	if err != nil || !blob {
		return err
	}
	c.sum.BlobRecords++
	if c.opt.Blobs != nil {
		c.blobs = append(c.blobs, blobRevision{oid: rec.Oid, tid: rec.Tid, pos: rec.Pos})
	}
	return nil
}

// checkBlobs compares the revisions with the files.
func (c *checker) checkBlobs(ctx context.Context) error {
	if c.opt.Blobs == nil {
		return nil
	}
	slices.SortFunc(c.blobs, func(a, b blobRevision) int { return a.compare(b.oid, b.tid) })
	var files int64
	c.sum.BlobFiles = &files
	for file, err := range c.opt.Blobs {
		if err := errors.Join(err, context.Cause(ctx)); err != nil {
			return err
		}
		if file.Unreadable != nil {
			c.blobFolder(file)
			continue
		}
		files++
		c.blobFile(file)
	}
	if c.later != 0 {
		c.endMissing(&c.later, "there is a blob of this transaction, and the file ends before it, or it was never "+
			"committed, or it has still to come to this copy")
	}
	for i := range c.blobs {
		b := &c.blobs[i]
		switch {
		case b.found || c.isUnreadable(b):
		case c.opt.Partial:
			c.sum.BlobsEvicted++
		default:
			c.report(Finding{Damage, KindBlobMissing, at(b.pos), at(b.tid), at(b.oid),
				"this blob has no file: restore it from a backup or copy it from a secondary"})
		}
	}
	return nil
}

// blobFolder reports a folder that cannot be read. It is one finding, whatever is in it.
func (c *checker) blobFolder(folder BlobFile) {
	c.unreadable.Add(folder.Path)
	c.report(Finding{Damage, KindBlobFolder, nil, nil, nil, fmt.Sprintf("which blobs are in a folder is not known, "+
		"for it cannot be read: %v: give it to the user of the server, or look at the disk", folder.Unreadable)})
}

// isUnreadable reports whether a blob belongs into a folder that cannot be read.
func (c *checker) isUnreadable(b *blobRevision) bool {
	return len(c.unreadable) > 0 && c.opt.BlobPath != nil && c.unreadable.Contain(c.opt.BlobPath(b.oid, b.tid))
}

func (c *checker) blobFile(file BlobFile) {
	i, found := slices.BinarySearchFunc(c.blobs, file, func(b blobRevision, f BlobFile) int {
		return b.compare(f.Oid,
			f.Tid)
	})
	switch {
	case found:
		for ; i < len(c.blobs) && c.blobs[i].compare(file.Oid,
			file.Tid) == 0; i++ { // an oid can stand twice in a transaction
			c.blobs[i].found = true
		}
	case file.Tid <= c.highest: // a later one is of a transaction that was committed since the check began
		c.report(Finding{Warning, KindBlobOrphaned, nil, at(file.Tid), at(file.Oid),
			fmt.Sprintf("no revision has the file %s: it only takes up space, move it away", file.Path)})
	case c.opt.LaterBlobs && file.Tid < c.before:
		c.later = max(c.later, file.Tid)
	}
}
