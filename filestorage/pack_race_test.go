package filestorage

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zrsd/zrsd/zodb"
)

// While one pack follows the other, commits, undos, loads and iterators go on. Nobody sees a state that never was:
// loads never go back, both objects of a transaction are seen together, and followers, here and in another process, see
// every transaction that was committed, once and in order.
func TestPacksBesideEverything(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, filepath.Join(dir, "Data.fs"), Options{Blobs: openBlobs(t, filepath.Join(dir, "blobs"))})
	const rounds = 400
	serial := commitBoth(t, s, 0, 0)
	attached, err := Attach(t.Context(), s.Path(), AttachOptions{poll: 5 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer attached.Close()
	stop := make(chan struct{})
	var others sync.WaitGroup
	seen := [2][]zodb.Tid{}
	for i, it := range []interface {
		Iterate(zodb.Tid, bool) (zodb.Iterator, error)
	}{s, attached} {
		followed, err := it.Iterate(serial, true)
		if err != nil {
			t.Fatal(err)
		}
		others.Go(func() { seen[i] = readTids(t, followed, rounds) })
	}
	for range 2 {
		others.Go(func() { loadBoth(t, s, stop) })
	}
	packs := 0
	others.Go(func() {
		for until := s.LastTid(); ; until = s.LastTid() {
			select {
			case <-stop:
				return
			default:
			}
			r, err := s.Pack(t.Context(), until, PackOptions{KeepOld: packs%2 == 0})
			if err != nil {
				t.Error(err)
				return
			}
			if r.Packed {
				packs++
				awaitBeyond(attached, s.LastTid(), stop)
			}
		}
	})
	var tids []zodb.Tid
	for round := range rounds {
		serial = commitBoth(t, s, serial, round+1)
		tids = append(tids, serial)
	}
	close(stop)
	others.Wait()
	if packs == 0 {
		t.Error("nothing was packed")
	}
	for i, got := range seen {
		if !slices.Equal(got, tids) {
			t.Errorf("follower %d saw %d transactions of %d", i, len(got), len(tids))
		}
	}
	s = reopen(t, s)
	checkIndexAgainstFile(t, "packed", s)
	checkNoStrayBlobs(t, "packed", s)
	if got := readBlob(t, s, 2, serial); got != fmt.Sprint("content ", rounds) {
		t.Errorf("the blob is %q after %d packs", got, packs)
	}
}

// awaitBeyond returns when a follower elsewhere has a transaction of after a pack, and so the file that the pack made:
// of two packs while it has no processor it would see only what the second one has left.
func awaitBeyond(a *Attached, packed zodb.Tid, stop chan struct{}) {
	for a.LastTid() <= packed {
		select {
		case <-stop:
			return
		case <-time.After(time.Millisecond):
		}
	}
}

// commitBoth enqueues a transaction that changes two objects, one with a blob.
func commitBoth(t *testing.T, s *Storage, serial zodb.Tid, round int) zodb.Tid {
	t.Helper()
	txn := mustBegin(t, s, &zodb.TxnMeta{})
	mustStore(t, txn, 1, serial, fmt.Sprint(round))
	err := txn.StoreBlob(2, serial, []byte(withBlob), strings.NewReader(fmt.Sprint(round)))
	if err != nil {
		t.Fatal(err)
	}
	c, err := txn.Enqueue(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if round%7 == 0 {
		<-c.Done()
	}
	return txn.Tid()
}

// loadBoth loads both objects again and again.
func loadBoth(t *testing.T, s *Storage, stop chan struct{}) {
	t.Helper()
	for last := zodb.Tid(0); ; {
		select {
		case <-stop:
			return
		default:
		}
		_, first, err := s.Load(1)
		_, second, err2 := s.Load(2)
		if err = errors.Join(err, err2); err != nil && last != 0 || first < last || second < first {
			t.Errorf("after %v: %v, then %v, %v", last, first, second, err)
			return
		}
		last = first
	}
}

// readTids reads n transactions from an iterator.
func readTids(t *testing.T, it zodb.Iterator, n int) (tids []zodb.Tid) {
	t.Helper()
	defer it.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	for range n {
		txn, err := it.Next(ctx)
		if err != nil {
			t.Error(err)
			return tids
		}
		tids = append(tids, txn.Meta().Tid)
		if _, err := zodb.DigestOf(txn); err != nil {
			t.Error(err)
			return tids
		}
	}
	return tids
}
