package filestorage

import (
	"errors"
	"fmt"
	"slices"
	"syscall"
	"testing"

	"github.com/zrsd/zrsd/zodb"
)

// Whichever operation of a pack fails, the storage has the old file or the new one and says which; it goes on, unless
// it cannot know what the disk has; and when it is opened again everything is as it was, with nothing left over.
func TestPackOnAFailingDisk(t *testing.T) {
	for n := 1; ; n++ {
		when := fmt.Sprintf("operation %d fails", n)
		st := newStage(t, story{prepare: packable})
		old := contents(t, st.s)
		before := len(st.disk.Ops())
		st.disk.FailAt(before+n, syscall.EIO)
		r, err := st.s.Pack(t.Context(), 10000, PackOptions{GC: true, KeepOld: n%2 == 0, References: toyReferences})
		st.disk.Heal()
		all := len(st.disk.Ops()) < before+n
		found := contents(t, st.s)
		if r.Packed == slices.Equal(old, found) {
			t.Errorf("%s: packed %v, %v, and it has\n%s", when, r.Packed, err, lines(found))
		}
		var failed *FailedError
		if errors.As(err, &failed) {
			if _, err := st.s.Begin(t.Context(), &zodb.TxnMeta{}); !errors.As(err, &failed) {
				t.Errorf("%s: a transaction begins: %v", when, err)
			}
		} else {
			st.commit(2, "goes on", "")
			mustPack(t, st.s, 10000, PackOptions{GC: true, References: toyReferences})
			found = contents(t, st.s)
			checkNoStrayBlobs(t, when, st.s)
		}
		st.close()
		st.open()
		if st.err != nil {
			t.Fatalf("%s: %v", when, st.err)
		}
		if !slices.Equal(found, contents(t, st.s)) {
			t.Errorf("%s: opened again it has\n%s", when, lines(contents(t, st.s)))
		}
		checkNoStrayBlobs(t, when, st.s)
		checkIndexAgainstFile(t, when, st.s)
		for _, name := range []string{"Data.fs.pack", "blobs/.removed.zrsd"} {
			if _, err := st.disk.Stat("db/" + name); err == nil {
				t.Errorf("%s: there is %s", when, name)
			}
		}
		st.end()
		if all || t.Failed() {
			return
		}
	}
}
