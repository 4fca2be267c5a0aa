package zeo_test

import (
	"context"
	"os"
	"path/filepath"

	"github.com/zrsd/zrsd/zeo"
	"github.com/zrsd/zrsd/zodb"
)

// saved knows of no damage, and opens copies of blobs in a folder: what a program outside of this module may give for
// zeo.StorageOptions.DamagedBlobs.
type saved struct{ folder string }

var _ zeo.DamagedBlobs = saved{}

func (saved) Known(zodb.Oid, zodb.Tid) error { return nil }

func (saved) Unreadable(zodb.Oid, zodb.Tid, error) {}

func (s saved) Open(_ context.Context, oid zodb.Oid, tid zodb.Tid, damage error) (zeo.BlobFile, error) {
	f, err := os.Open(filepath.Join(s.folder, oid.String()+"."+tid.String()))
	if err != nil {
		return nil, damage
	}
	return f, nil
}
