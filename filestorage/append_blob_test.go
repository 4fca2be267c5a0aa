package filestorage

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/zrsd/zrsd/zodb"
)

// Who does not know which revisions have blobs is asked for all that may have one: those whose data are of a blob, and
// those that have the data of an earlier record. All blobs are among them.
func TestAppendFindsWhatMayHaveABlob(t *testing.T) {
	forFixtures(t, func(t *testing.T, dir string, want *expectation) {
		t.Helper()
		name := filepath.Base(dir)
		if damaged[name] {
			return
		}
		from := openFixture(t, name, Options{ReadOnly: true})
		data := mustRead(t, filepath.Join(dir, "Data.fs"))[:want.End]
		for _, n := range []int{7, len(data)} {
			to := emptyLike(t, from)
			opt := blobsFrom(from, to)
			if stage := opt.Blobs; stage != nil {
				opt.HasBlob = nil
				opt.Blobs = func(ctx context.Context, revisions []BlobID) (all []zodb.StagedBlob, err error) {
					for _, r := range revisions {
						one, err := stage(ctx, []BlobID{r})
						var missing *zodb.POSKeyError
						if err != nil && !errors.As(err, &missing) {
							return all, err
						}
						all = append(all, one...)
					}
					return all, nil
				}
			}
			if err := appendBytesOf(t, to, data, n, opt); err != nil {
				t.Fatalf("%d bytes at a time: %v", n, err)
			}
			checkCopy(t, to, from, data, nil)
		}
	})
}
