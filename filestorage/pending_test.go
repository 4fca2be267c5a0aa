package filestorage

import (
	"reflect"
	"testing"

	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

// What a transaction of many objects needed while it was on its way is not kept: for a million it was 46 MB for good.
func TestTheRoomForManyObjectsIsGivenBack(t *testing.T) {
	s := mustOpen(t, "Data.fs", Options{FS: simdisk.New()})
	store := func(n int) (kept bool) {
		room := reflect.ValueOf(s.queue.pending).Pointer()
		txn := mustBegin(t, s, &zodb.TxnMeta{})
		for range n {
			mustStore(t, txn, s.NewOid(), 0, "data")
		}
		c, err := txn.Enqueue(t.Context())
		must(t, err)
		<-c.Done()
		must(t, c.Err())
		if n := len(s.queue.pending); n > 0 {
			t.Errorf("%d objects are on their way", n)
		}
		return reflect.ValueOf(s.queue.pending).Pointer() == room
	}
	if !store(10) {
		t.Error("a few objects made the next ones pay")
	}
	if store(manyPending + 1) {
		t.Error("it is kept")
	}
	if !store(10) {
		t.Error("a few objects made the next ones pay")
	}
	must(t, s.Close())
}
