package integration

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/zodb"
)

// openHistory opens the storage in a folder, with a clock that goes a second for each transaction.
func openHistory(t *testing.T, dir string, withBlobs bool, now func() time.Time) *filestorage.Storage {
	t.Helper()
	opt := filestorage.Options{Now: now}
	if withBlobs {
		blobs, err := blobstore.Open(filepath.Join(dir, "blobs"), blobstore.Options{})
		if err != nil {
			t.Fatal(err)
		}
		opt.Blobs = blobs
	}
	s, err := filestorage.Open(t.Context(), filepath.Join(dir, "Data.fs"), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// A historian writes a random history.
type historian struct {
	t      *testing.T
	s      *filestorage.Storage
	random *rand.Rand
	blobs  bool
	tids   []zodb.Tid
	calls  []call
}

// A call is one of those that make a history, as replay.py takes it.
type call struct {
	Op     string   `json:"op"`
	Tid    zodb.Tid `json:"tid"`
	Oid    zodb.Oid `json:"oid"`
	Serial zodb.Tid `json:"serial"`
	Data   string   `json:"data"` // in hexadecimal
}

func (h *historian) note(c call) { h.calls = append(h.calls, c) }

const historyObjects = 8

// randomHistory writes one and chooses how to pack it.
func randomHistory(t *testing.T, seed uint64) (*packJob, []call) {
	t.Helper()
	dir := t.TempDir()
	clock := time.Date(2024, 5, 6, 8, 0, 0, 0, time.UTC)
	begun := clock
	now := func() time.Time {
		clock = clock.Add(time.Second)
		return clock
	}
	h := &historian{t: t, random: rand.New(rand.NewPCG(seed, 1)), blobs: seed%2 == 1}
	h.s = openHistory(t, dir, h.blobs, now)
	h.first()
	for range 10 + h.random.IntN(25) {
		h.step()
	}
	if err := h.s.Close(); err != nil {
		t.Fatal(err)
	}
	seconds := clock.Sub(begun).Seconds()
	job := &packJob{Data: filepath.Join(dir, "Data.fs"), GC: seed%4 < 3}
	job.Time = float64(begun.Unix()) + 1.5 + float64(h.random.IntN(int(seconds)))
	if h.blobs {
		job.Blobs = filepath.Join(dir, "blobs")
	}
	return job, h.calls
}

// first stores all objects at once, the root with references to most of them.
func (h *historian) first() {
	h.commit(func(txn *filestorage.Txn) error {
		for oid := range zodb.Oid(historyObjects) {
			if err := h.store(txn, oid); err != nil {
				return err
			}
		}
		return nil
	})
}

// step does one transaction of a random kind; one that cannot be is aborted.
func (h *historian) step() {
	switch n := h.random.IntN(20); {
	case n < 12:
		h.commit(func(txn *filestorage.Txn) error {
			for _, oid := range h.random.Perm(historyObjects + 2)[:1+h.random.IntN(3)] {
				if err := h.store(txn, zodb.Oid(oid)); err != nil {
					return err
				}
			}
			return nil
		})
	case n < 19:
		h.commit(h.undo)
	default:
		h.commit(func(txn *filestorage.Txn) error {
			oid := zodb.Oid(historyObjects - 1)
			serial, err := h.s.GetTid(oid)
			if err != nil {
				return err
			}
			h.note(call{Op: "delete", Oid: oid, Serial: serial})
			return txn.Delete(oid, serial)
		})
	}
}

// errTwice says that a transaction would have two records of an object. An undo that points back to the second one
// becomes an undo that points back to the first one in a pack by ZODB, and so to other data.
var errTwice = errors.New("an object is changed twice")

// undo undoes one or two of the last transactions.
func (h *historian) undo(txn *filestorage.Txn) error {
	changed := map[zodb.Oid]bool{}
	for i := range 1 + h.random.IntN(2) {
		back := min(len(h.tids), 1+i+h.random.IntN(4))
		tid := h.tids[len(h.tids)-back]
		oids, err := txn.Undo(h.t.Context(), tid)
		if err != nil {
			h.note(call{Op: "refused", Tid: tid})
			return err
		}
		h.note(call{Op: "undo", Tid: tid})
		for _, oid := range oids {
			if changed[oid] {
				return errTwice
			}
			changed[oid] = true
		}
	}
	return nil
}

func (h *historian) commit(do func(*filestorage.Txn) error) {
	h.t.Helper()
	txn, err := h.s.Begin(h.t.Context(), &zodb.TxnMeta{User: []byte("u"), Description: []byte("step")})
	if err != nil {
		h.t.Fatal(err)
	}
	h.note(call{Op: "begin", Tid: txn.Tid()})
	if err := do(txn); err != nil {
		h.note(call{Op: "abort"})
		if err := txn.Abort(); err != nil {
			h.t.Fatal(err)
		}
		return
	}
	tid, err := txn.Finish(h.t.Context(), nil)
	if err != nil {
		h.t.Fatal(err)
	}
	h.note(call{Op: "finish"})
	h.tids = append(h.tids, tid)
}

// store writes a new state of an object, with random references. Oids 3 and 4 are blobs where there are some.
func (h *historian) store(txn *filestorage.Txn, oid zodb.Oid) error {
	entries, err := h.s.History(oid, 1)
	serial := zodb.Tid(0)
	if err == nil {
		serial = entries[0].Tid
	}
	if h.blobs && (oid == 3 || oid == 4) {
		content := strings.NewReader(fmt.Sprint("blob ", h.random.Uint64()))
		return txn.StoreBlob(oid, serial, []byte("\x80\x03cZODB.blob\nBlob\nq\x00.\x80\x03N."), content)
	}
	saved := "\x80\x03cpersistent.list\nPersistentList\nq\x00.\x80\x03}q\x01X\x04\x00\x00\x00dataq\x02](K" +
		string(rune('0'+h.random.IntN(10)))
	for range h.random.IntN(4) {
		to := zodb.Oid(1 + h.random.IntN(historyObjects-1)).Bytes()
		saved += "(C\x08" + string(to[:]) + "cpersistent.list\nPersistentList\ntQ"
	}
	saved += "es."
	h.note(call{Op: "store", Oid: oid, Serial: serial, Data: hex.EncodeToString([]byte(saved))})
	return txn.Store(oid, serial, []byte(saved))
}
