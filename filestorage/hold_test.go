package filestorage

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

func TestNothingBeginsWhileCommitsAreHeld(t *testing.T) {
	s, err := Open(t.Context(), "Data.fs", Options{FS: simdisk.New()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	txn, err := s.Begin(t.Context(), &zodb.TxnMeta{})
	if err != nil {
		t.Fatal(err)
	}
	if err := txn.Store(1, 0, []byte("data")); err != nil {
		t.Fatal(err)
	}
	soon, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Hold(soon); !errors.Is(err, context.Canceled) {
		t.Errorf("beside a transaction: %v", err)
	}
	commit, err := txn.Enqueue(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	release, err := s.Hold(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-commit.Done():
	default:
		t.Error("held before everything was durable")
	}
	if last := s.LastTid(); last != txn.Tid() {
		t.Errorf("last %v, want %v", last, txn.Tid())
	}
	if _, err := s.Begin(soon, &zodb.TxnMeta{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a transaction began: %v", err)
	}
	release()
	release()
	next, err := s.Begin(t.Context(), &zodb.TxnMeta{})
	if err != nil {
		t.Fatal(err)
	}
	if err := next.Abort(); err != nil {
		t.Error(err)
	}
}

func TestAFailedStorageIsNotHeld(t *testing.T) {
	disk := simdisk.New()
	s, err := Open(t.Context(), "Data.fs", Options{FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	txn, err := s.Begin(t.Context(), &zodb.TxnMeta{})
	if err != nil {
		t.Fatal(err)
	}
	if err := txn.Store(1, 0, []byte("data")); err != nil {
		t.Fatal(err)
	}
	disk.PowerOffAt(len(disk.Ops()) + 1)
	if _, err := txn.Enqueue(t.Context()); err != nil {
		_ = txn.Abort() // which the disk refuses as well
	}
	var failed *FailedError
	if _, err := s.Hold(t.Context()); !errors.As(err, &failed) {
		t.Errorf("got %v", err)
	}
}

func TestSkippedOidsAreGivenToNobody(t *testing.T) {
	s, err := Open(t.Context(), "Data.fs", Options{FS: simdisk.New()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	before := s.NewOid()
	s.SkipOids(1000)
	if after := s.NewOid(); after != before+1001 {
		t.Errorf("%v came after %v", after, before)
	}
}

func TestSkippedTidsAreOfNoTransaction(t *testing.T) {
	behind := func() time.Time { return time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC) } // a clock that was set back
	s, err := Open(t.Context(), "Data.fs", Options{FS: simdisk.New(), Now: behind})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	commit := func(tid zodb.Tid) zodb.Tid {
		txn, err := s.Begin(t.Context(), &zodb.TxnMeta{Tid: tid})
		if err != nil {
			t.Fatal(err)
		}
		if tid, err = txn.Finish(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		return tid
	}
	last := commit(0x0500000000000000)
	if err := s.SkipTids(t.Context(), 1000); err != nil {
		t.Fatal(err)
	}
	if next := commit(0); next != last+1001 {
		t.Errorf("%v came after %v", next, last)
	}
}

// One transaction that is too large does not make a disk full; several in a row do, and the first that finds room ends
// it.
func TestADiskIsFullWhenNoTransactionFindsRoom(t *testing.T) {
	disk := simdisk.New()
	now := time.Now()
	st, err := Open(t.Context(), "Data.fs", Options{FS: disk, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	try := func() error {
		now = now.Add(time.Second)
		txn, err := st.Begin(t.Context(), &zodb.TxnMeta{})
		if err != nil {
			return err
		}
		if err := txn.Store(zodb.Oid(now.Unix()), 0, []byte("state")); err != nil {
			return errors.Join(err, txn.Abort())
		}
		if _, err := txn.Finish(t.Context(), nil); err != nil {
			return errors.Join(err, txn.Abort())
		}
		return nil
	}
	disk.FailWhen(func(op simdisk.Op) error {
		if op.Kind == simdisk.Write {
			return syscall.ENOSPC
		}
		return nil
	})
	for n := 1; n <= 4; n++ {
		if err := try(); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("got %v", err)
		}
		var full *FullError
		if got := errors.As(st.Ailment(), &full); got != (n >= 3) {
			t.Errorf("after %d in a row: %v", n, st.Ailment())
		}
	}
	disk.Heal()
	if err := try(); err != nil || st.Ailment() != nil {
		t.Errorf("with room again: %v, %v", err, st.Ailment())
	}
	disk.FailWhen(func(op simdisk.Op) error {
		if op.Kind == simdisk.Sync {
			return syscall.EIO
		}
		return nil
	})
	_ = try()
	var failed *FailedError
	if !errors.As(st.Ailment(), &failed) {
		t.Errorf("after a failed sync: %v", st.Ailment())
	}
	disk.Heal()
}
