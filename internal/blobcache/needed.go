package blobcache

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"slices"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// A neededList has the revisions of blobs that data files have, 16 bytes for each.
type neededList struct {
	all  []revision
	last zodb.Tid // of the data file
}

func (r revision) compare(o revision) int {
	return cmp.Or(cmp.Compare(r.oid, o.oid), cmp.Compare(r.tid, o.tid))
}

// readNeeded reads the data file, and the one of before the last pack, where it was kept. What was undone or has not
// been committed yet counts, too.
func readNeeded(ctx context.Context, disk vfs.FS, data string) (*neededList, error) {
	n := new(neededList)
	if err := n.read(ctx, disk, data+".old"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	n.last = 0
	if err := n.read(ctx, disk, data); err != nil {
		return nil, err
	}
	slices.SortFunc(n.all, revision.compare)
	n.all = slices.Compact(n.all)
	return n, nil
}

func (n *neededList) read(ctx context.Context, disk vfs.FS, path string) (err error) {
	in, err := filestorage.Inspect(disk, path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	for txn, err := range in.Transactions() {
		if err := errors.Join(err, context.Cause(ctx)); err != nil {
			return err
		}
		n.last = max(n.last, txn.Meta.Tid)
		for rec, err := range in.Records() {
			if err != nil {
				return err
			}
			blob, err := in.IsBlob(rec)
			if err != nil {
				return err
			}
			if blob {
				n.all = append(n.all, revision{rec.Oid, txn.Meta.Tid})
			}
		}
	}
	return nil
}

func (n *neededList) has(r revision) bool {
	_, found := slices.BinarySearchFunc(n.all, r, revision.compare)
	return found
}
