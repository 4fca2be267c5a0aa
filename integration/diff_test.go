package integration

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/internal/inside"
	"github.com/zrsd/zrsd/zodb"
)

// TestDiffFindsWhatTheRealZODBSees compares all moments of databases that Python wrote: with undo of a creation and of
// changes, deleted objects, garbage, blobs and objects that lose their last reference.
func TestDiffFindsWhatTheRealZODBSees(t *testing.T) {
	t.Parallel()
	paths := []string{"../internal/inside/testdata/site.fs"}
	for _, name := range []string{"undo", "undo-creation", "deleted-object", "blobs-bushy", "same-oid"} {
		paths = append(paths, "../testdata/filestorage/"+name+"/Data.fs")
	}
	var want [][]struct {
		From    zodb.Tid    `json:"from"`
		To      zodb.Tid    `json:"to"`
		Changes [][3]string `json:"changes"`
	}
	ask(t, &want, "moments.py", paths...)
	for i, path := range paths {
		all := 0
		for _, w := range want[i] {
			got := [][3]string{}
			opt := inside.DiffOptions{From: w.From, To: w.To}
			_, err := inside.Diff(t.Context(), path, opt, func(c *inside.ObjectChange) error {
				got = append(got, [3]string{c.Oid.String(), c.Change, c.Why})
				return nil
			})
			if err != nil {
				t.Fatalf("%s from %v to %v: %v", path, w.From, w.To, err)
			}
			if diff := cmp.Diff(w.Changes, got); diff != "" {
				t.Errorf("%s from %v to %v: -want +got\n%s", path, w.From, w.To, diff)
			}
			all += len(got)
		}
		if all == 0 {
			t.Errorf("%s has no changes: that compares nothing", path)
		}
	}
}
