package rewind

import (
	"testing"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

// Empty is what never had a record: one that a pack has written may have had some.
func TestOnlyWhatNeverHadARecordIsEmpty(t *testing.T) {
	for _, c := range []struct {
		name   string
		status zodb.Status
		record bool
		empty  bool
	}{
		{"without records", zodb.StatusCommitted, false, true},
		{"with a record", zodb.StatusCommitted, true, false},
		{"written by a pack", zodb.StatusPacked, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			st, err := filestorage.Open(t.Context(), "Data.fs", filestorage.Options{FS: simdisk.New()})
			if err != nil {
				t.Fatal(err)
			}
			defer st.Close()
			for i := range 3 {
				meta := &zodb.TxnMeta{Tid: zodb.Tid(10 + i), Status: zodb.StatusCommitted}
				if i == 1 {
					meta.Status = c.status
				}
				txn, err := st.Begin(t.Context(), meta)
				if err != nil {
					t.Fatal(err)
				}
				if i == 0 || i == 1 && c.record {
					if err := txn.Store(zodb.Oid(i), 0, []byte("state")); err != nil {
						t.Fatal(err)
					}
				}
				if _, err := txn.Finish(t.Context(), nil); err != nil {
					t.Fatal(err)
				}
			}
			if empty, err := Empty(t.Context(), st, 10); err != nil || empty != c.empty {
				t.Errorf("after the first one: %v, %v", empty, err)
			}
			if empty, err := Empty(t.Context(), st, 9); err != nil || empty {
				t.Errorf("with the first one, which has a record: %v, %v", empty, err)
			}
		})
	}
}
