package integration

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zrsd/zrsd/integration/workload"
	"github.com/zrsd/zrsd/integration/zeoload"
	"github.com/zrsd/zrsd/internal/admin"
	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/zeo/client"
	"github.com/zrsd/zrsd/zodb"
)

// busyCommits bounds what busy writers commit: a seed that has not ended by then does not end.
const busyCommits = 200_000

var errEndless = errors.New("the seed has not ended while the writers have committed all that they may")

// busy has clients commit as fast as they can until stop is called, which returns the last transaction. newest returns
// one that was committed a moment ago.
func busy(t *testing.T, addr string, clients int) (newest func() zodb.Tid, stop func() zodb.Tid) {
	t.Helper()
	ctx, cancel := context.WithCancel(within(t))
	var last, left atomic.Uint64
	left.Store(busyCommits)
	var g sync.WaitGroup
	for i := range clients {
		conn := dialed(t, addr)
		w, err := zeoload.NewWriter(conn, zodb.Oid(1<<40+2*i), 2000)
		if err != nil {
			t.Fatal(err)
		}
		g.Go(func() {
			for ctx.Err() == nil {
				if left.Add(^uint64(0)) == 0 {
					t.Error(errEndless)
					return
				}
				if err := w.Commit(within(t)); err != nil {
					t.Error(err)
					return
				}
				for tid := uint64(w.Tid()); ; {
					if was := last.Load(); was >= tid || last.CompareAndSwap(was, tid) {
						break
					}
				}
			}
		})
	}
	newest = func() zodb.Tid { return zodb.Tid(last.Load()) }
	stop = sync.OnceValue(func() zodb.Tid {
		cancel()
		g.Wait()
		return newest()
	})
	t.Cleanup(func() { stop() })
	return newest, stop
}

// dialed returns a client of a server that is about to listen.
func dialed(t *testing.T, addr string) *client.Conn {
	t.Helper()
	conn, err := client.Dial(within(t), []string{addr}, client.Options{})
	for ctx := within(t); err != nil && pause.For(ctx, 20*time.Millisecond); {
		conn, err = client.Dial(ctx, []string{addr}, client.Options{})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

// A seed from a primary whose clients commit as fast as they can comes to its end: the secondary goes over to the live
// stream, and has what was committed a moment ago, again and again, while they go on.
func TestASeedOfABusyPrimaryComesToItsEnd(t *testing.T) {
	source, target := newSite(t, true), newSite(t, true)
	storage := source.open(t)
	for i, set := range []workload.Set{
		{Transactions: 2000, Records: 5, RecordSize: 5000},
		{Transactions: 100, Records: 1, BlobMin: 1, BlobMax: 200 << 10},
	} {
		if err := workload.Fill(t.Context(), storage, set, uint64(i)); err != nil {
			t.Fatal(err)
		}
	}
	before := storage.LastTid()
	if err := storage.Close(); err != nil {
		t.Fatal(err)
	}
	to, at := freeAddress(t), freeAddress(t)
	primary := start(t, "primary", source, "--replicate-to", to, "--zeo", at)
	newest, stopped := busy(t, at, 4)
	mustReach(t, primary, before+1)
	secondary := start(t, "secondary", target, append(asItIs, "--replicate-from", to)...)
	st, err := primary.Await(within(t), "the secondary follows the live stream", func(st *admin.Status) bool {
		return len(st.Secondaries) == 1 && st.Secondaries[0].State == "live"
	})
	if err != nil {
		t.Fatal(err)
	}
	if st.Totals.CatchUps.Seed == 0 {
		t.Error("it was not seeded")
	}
	for range 3 {
		mustReach(t, secondary, newest())
	}
	last := stopped()
	mustReach(t, secondary, last)
	seeds := st.Totals.CatchUps.Seed
	if st, err = secondary.Status(within(t)); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d seeds, then %d transactions one by one", seeds, st.Totals.Applied.Transactions)
	if st.Totals.Applied.Transactions == 0 {
		t.Error("no transaction came one by one")
	}
	stop(t, secondary)
	stop(t, primary)
	mustBeIdentical(t, source, target)
	mustBeSound(t, target)
}
