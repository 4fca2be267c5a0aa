package main

import (
	"errors"
	"iter"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/internal/check"
	"github.com/zrsd/zrsd/zodb"
)

// openBlobs opens a blob directory for looking at it only; nil for an empty path.
func openBlobs(dir string) (*blobstore.Store, error) {
	if dir == "" {
		return nil, nil //nolint:nilnil // no directory was asked for
	}
	blobs, err := blobstore.Open(dir, blobstore.Options{ReadOnly: true})
	return blobs, cannotOpen(err)
}

// blobFiles yields the files of a blob directory as a check wants them.
func blobFiles(blobs *blobstore.Store) iter.Seq2[check.BlobFile, error] {
	return func(yield func(check.BlobFile, error) bool) {
		err := blobs.Walk(func(oid zodb.Oid, tid zodb.Tid, _ int64, path string) error {
			if !yield(check.BlobFile{Oid: oid, Tid: tid, Path: path}, nil) {
				return errEnough
			}
			return nil
		})
		if err != nil && !errors.Is(err, errEnough) {
			yield(check.BlobFile{}, err)
		}
	}
}

// errEnough ends a walk whose caller has seen enough.
var errEnough = errors.New("enough")
