package archive

import (
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/zrsd/zrsd/internal/objectstore"
	"github.com/zrsd/zrsd/internal/objectstore/objectstoretest"
	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

// A life is that of a cluster with an archive: transactions, undo, packs, promotions that leave transactions behind,
// and restarts of what archives.
type life struct {
	t     *testing.T
	store Store
	node  *site
	nodes int
	w     *Writer
	was   map[zodb.Tid][]look // what there was at moments of the history that leads to the present
}

func (l *life) note(tid zodb.Tid) {
	if tid != 0 {
		l.was[tid] = append(l.was[tid], l.node.look()) // before a pack and after it
	}
}

// step lets one thing happen.
func (l *life) step() {
	l.t.Helper()
	n := l.node
	switch x := n.rand.IntN(100); {
	case x < 60:
		l.note(n.commit(1+n.rand.IntN(5), 1+n.rand.IntN(3000), n.rand.IntN(3) == 0))
	case x < 65:
		l.note(n.undo(n.st.LastTid()))
	case x < 85:
		n.archive(l.w)
	case x < 90: // another process archives, from where the archive ends
		n.archive(l.w)
		l.w = n.writer(l.store, smallSegments)
		n.archive(l.w)
	case x < 94:
		n.archive(l.w)
		if n.pack(n.st.LastTid() - zodb.Tid(n.rand.IntN(20)<<26)) {
			l.note(n.st.LastTid())
		}
	case x < 97:
		l.promote()
	}
}

func smallSegments(o *Options) { o.Bytes = 16 << 10 }

// promote makes another node primary, which has not the last transactions.
func (l *life) promote() {
	l.nodes++
	next := l.node.promoted(l.nodes)
	common := next.st.LastTid()
	for range l.node.rand.IntN(4) { // the next one has none of these
		l.node.commit(2, 500, l.node.rand.IntN(2) == 0)
	}
	if l.node.rand.IntN(2) == 0 {
		l.node.archive(l.w)
	}
	l.node.close()
	l.node, l.w = next, next.writer(l.store, smallSegments)
	l.was[common] = append(l.was[common], next.look())
	next.archive(l.w)
}

// Every moment of the history that leads to the present is restored byte for byte, with the blobs that there were.
func TestEveryMomentIsRestoredAsItWas(t *testing.T) {
	steps, moments := 150, 25
	if os.Getenv("ZRSD_LONG") != "" {
		steps, moments = 1500, 200
	}
	lives(t, newStore(t, simdisk.New()), steps, moments)
}

// The same on a real S3 server.
func TestEveryMomentIsRestoredFromS3(t *testing.T) {
	server := objectstoretest.Start(t)
	store, err := objectstore.Open(t.Context(), server.URL(server.Address, "archive"), objectstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	lives(t, store, 60, 6)
}

func lives(t *testing.T, store Store, steps, moments int) {
	t.Helper()
	l := &life{t: t, store: store, node: newSite(t, 1), nodes: 1, was: map[zodb.Tid][]look{}}
	l.w = l.node.writer(l.store, smallSegments)
	for range steps {
		l.step()
	}
	l.note(l.node.commit(1, 10, true))
	l.node.archive(l.w)
	defer l.node.close()
	a := open(t, l.store, Keys{})
	report, err := a.Verify(t.Context(), 2, nil)
	if err != nil || len(report.Problems) > 0 {
		t.Fatalf("verify: %v, %+v", err, report)
	}
	t.Logf("%d generations, %d segments, %d bytes, %d blobs", len(report.Generations), report.Segments, report.Bytes,
		report.Blobs)
	same(t, "the latest moment", mustRestore(t, a, Latest), l.node.look())
	tids := slices.Sorted(maps.Keys(l.was))
	for range moments {
		tid := tids[l.node.rand.IntN(len(tids))]
		got, want := mustRestore(t, a, tid), l.was[tid]
		i := max(slices.IndexFunc(want, func(w look) bool { return w.data == got.data }), 0)
		same(t, "the moment of "+tid.String(), got, want[i])
	}
}
