package filestorage

import (
	"slices"
	"testing"

	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

// What is after the anchor is after it in the order of the file and in that of the tids.
func TestAnAnchorIsBelowAllAfterIt(t *testing.T) {
	for _, c := range []struct {
		tids, after []zodb.Tid
		anchor      zodb.Tid
	}{
		{nil, nil, 0},
		{[]zodb.Tid{10}, []zodb.Tid{10}, 0},
		{[]zodb.Tid{10, 20, 30}, []zodb.Tid{30}, 20},
		{[]zodb.Tid{10, 20, 15}, []zodb.Tid{20, 15}, 10},
		{[]zodb.Tid{10, 20, 15, 16}, []zodb.Tid{16}, 15},
		{[]zodb.Tid{10, 30, 40, 20, 35, 25}, []zodb.Tid{35, 25}, 20},
		{[]zodb.Tid{30, 20, 10}, []zodb.Tid{30, 20, 10}, 0},
	} {
		s := mustOpen(t, "Data.fs", Options{FS: simdisk.New()})
		for _, tid := range c.tids {
			txn, err := s.Replay(t.Context(), &zodb.TxnMeta{Tid: tid})
			must(t, err)
			_, err = txn.Finish(t.Context(), nil)
			must(t, err)
		}
		anchor, after, err := s.Anchor(t.Context())
		must(t, err)
		var tids []zodb.Tid
		for _, n := range after {
			tids = append(tids, n.Tid)
		}
		if anchor != c.anchor || !slices.Equal(tids, c.after) {
			t.Errorf("%v: after %v are %v, want %v and %v", c.tids, anchor, tids, c.anchor, c.after)
		}
		must(t, s.Close())
	}
}
