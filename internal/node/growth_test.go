package node

import (
	"testing"
	"time"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/zodb"
)

// The transactions of a data file say how long it was when.
func TestHowTheDataFileGrewIsInIt(t *testing.T) {
	now := time.Date(2026, 3, 15, 12, 0, 0, 0, time.UTC)
	clock := now.Add(-growthFor / 2)
	st, err := filestorage.Open(t.Context(), t.TempDir()+"/Data.fs", filestorage.Options{
		Now: func() time.Time { return clock },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	var sizes []int64
	for range 3 {
		txn, err := st.Begin(t.Context(), &zodb.TxnMeta{})
		if err != nil {
			t.Fatal(err)
		}
		if err := txn.Store(zodb.Oid(len(sizes)), 0, make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
		if _, err := txn.Finish(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, st.Size())
		clock = clock.Add(2 * growthStep)
	}
	list := growth(t.Context(), st, now)
	if len(list) < 5 || list[0].Bytes != sizes[0] || list[2].Bytes != sizes[1] || list[len(list)-1].Bytes != sizes[2] ||
		!list[len(list)-1].At.Equal(now) {
		t.Errorf("after %v it grew like this: %+v", sizes, list)
	}
}
