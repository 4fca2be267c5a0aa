package filestorage

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/zodb"
)

// Arbitrary bytes as a Data.fs make a storage or a typed error, and change nothing where they make an error. What opens
// can be read throughout, opens again without a change, and takes another transaction.
func FuzzOpen(f *testing.F) {
	files, err := filepath.Glob(filepath.Join(fixtures, "*/Data.fs"))
	if err != nil || len(files) == 0 {
		f.Fatalf("no fixtures: %v", err)
	}
	for _, file := range files {
		if data := mustRead(f, file); len(data) < 3000 {
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		disk := simdisk.New()
		file, err := disk.OpenFile("Data.fs", os.O_RDWR|os.O_CREATE, 0o666)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteAt(data, 0); err != nil {
			t.Fatal(err)
		}
		s, err := openIdle(t, disk)
		if err != nil {
			if !isTyped(err) {
				t.Errorf("error without a type: %v", err)
			}
			if n := len(disk.Ops()); n > 2 {
				t.Errorf("an error after %v", disk.Ops()[2:])
			}
			return
		}
		readThroughout(t, s)
		end := s.Size()
		txn, err := s.Begin(t.Context(), &zodb.TxnMeta{Tid: max(s.LastTid(), 1<<63) + 1})
		if err != nil {
			return // no tid is left
		}
		if err := txn.Restore(&zodb.Record{Oid: 5, Tid: txn.Tid(), Size: zodb.NoData}); err != nil {
			t.Fatal(err)
		}
		mustFinish(t, txn)
		s.indexSaver.finish(s)
		if err := s.release(); err != nil {
			t.Fatal(err)
		}
		s, err = openIdle(t, disk)
		if err != nil || s.Size() <= end || s.LastTid() != txn.Tid() {
			t.Fatalf("opened again: %v", err)
		}
		s.release()
	})
}

// openIdle opens a storage without its syncer, so that nothing depends on which goroutine runs first.
func openIdle(t *testing.T, disk *simdisk.Disk) (*Storage, error) {
	t.Helper()
	s := newStorage("Data.fs", Options{FS: disk})
	if err := s.open(t.Context(), Options{}); err != nil {
		return nil, errors.Join(err, s.release())
	}
	return s, nil
}

func isTyped(err error) bool {
	var corrupt *zodb.CorruptError
	var key *zodb.POSKeyError
	return errors.As(err, &corrupt) || errors.As(err, &key) || errors.Is(err, ErrVersions)
}

// readThroughout calls all read methods; whatever they find is a typed error.
func readThroughout(t *testing.T, s *Storage) {
	t.Helper()
	for oid := range s.index.all() {
		_, tid, err := s.Load(oid)
		_, errBefore := s.LoadBefore(oid, tid)
		_, errSerial := s.LoadSerial(oid, tid-1)
		_, errHistory := s.History(oid, 10)
		for _, err := range []error{err, errBefore, errSerial, errHistory} {
			if err != nil && !isTyped(err) {
				t.Errorf("error without a type: %v", err)
			}
		}
	}
	if _, err := s.LastInvalidations(10); err != nil && !isTyped(err) {
		t.Errorf("error without a type: %v", err)
	}
}

// A transaction header and a record header are what they were after encoding and decoding.
func FuzzHeaders(f *testing.F) {
	data := mustRead(f, filepath.Join(fixtures, "undo/Data.fs"))
	f.Add(data[4:27], data[27:69])
	f.Fuzz(func(t *testing.T, txn, rec []byte) {
		if len(txn) < txnHeaderLen || len(rec) < recHeaderLen {
			return
		}
		var h txnHeader
		h.decode(txn)
		var b [recHeaderLen]byte
		if h.encode(b[:]); string(b[:txnHeaderLen]) != string(txn[:txnHeaderLen]) {
			t.Errorf("%x became %x", txn[:txnHeaderLen], b[:txnHeaderLen])
		}
		var r recHeader
		r.decode(rec)
		if r.encode(b[:]); string(b[:]) != string(rec[:recHeaderLen]) {
			t.Errorf("%x became %x", rec[:recHeaderLen], b)
		}
	})
}
