package zeo

import (
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/zeo/wire"
	"github.com/zrsd/zrsd/zodb"
)

const largeData = 3 << 20

func TestALargeRecordIsStoredAsOthersAre(t *testing.T) {
	s := start(t, Options{}, StorageOptions{})
	for i, encoding := range []string{wire.Z5, wire.M5} {
		p := s.dial(t, encoding)
		p.call("register", "1", false)
		oid, data := zodb.Oid(i+1), strings.Repeat("x", largeData)+encoding
		p.stored(oid, 0, data)
		p.call("vote", handle)
		first := tidIn(t, p.call("tpc_finish", handle))
		if got, tid := p.current(oid); got != data || tid != first {
			t.Errorf("%s: %d bytes of %v", encoding, len(got), tid)
		}
		p.stored(oid, first, data+"again") // twice in one transaction: the second counts
		p.tell("storea", oidValue(oid), tidValue(first), pickle.Bytes(data+"last"), handle)
		p.call("vote", handle)
		second := tidIn(t, p.call("tpc_finish", handle))
		if got, tid := p.current(oid); got != data+"last" || tid != second {
			t.Errorf("%s: %d bytes of %v", encoding, len(got), tid)
		}
	}
}

func TestAConflictOfALargeRecordIsToldWithIt(t *testing.T) {
	s := start(t, Options{}, StorageOptions{})
	p, _ := s.register(t)
	first := p.commit(1, 0, "one")
	second := p.commit(1, first, "two")
	data := strings.Repeat("x", largeData)
	p.stored(1, first, data)
	conflicts := p.call("vote", handle).(*pickle.List).Items
	if len(conflicts) != 1 {
		t.Fatalf("%d conflicts", len(conflicts))
	}
	p.tell("storea", oidValue(1), tidValue(second), pickle.Bytes(data), handle) // resolved by the client
	p.call("vote", handle)
	p.call("tpc_finish", handle)
	if got, _ := p.current(1); got != data {
		t.Errorf("%d bytes", len(got))
	}
}

func TestALargeRecordIsRestored(t *testing.T) {
	s := start(t, Options{}, StorageOptions{})
	p, _ := s.register(t)
	tid, err := zodb.TidFromTime(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	data := strings.Repeat("x", largeData)
	p.tell("tpc_begin", handle, pickle.Bytes("u"), pickle.Bytes("d"), &pickle.Dict{}, tidValue(tid), " ")
	p.tell("restorea", oidValue(1), tidValue(tid), pickle.Bytes(data), nil, handle)
	p.call("vote", handle)
	p.call("tpc_finish", handle)
	if got, at := p.current(1); got != data || at != tid {
		t.Errorf("%d bytes of %v", len(got), at)
	}
}

func TestALargeRecordWithoutATransactionIsRefused(t *testing.T) {
	s := start(t, Options{}, StorageOptions{})
	p, _ := s.register(t)
	p.refused(
		classTransaction,
		"storea",
		oidValue(1),
		tidValue(0),
		pickle.Bytes(strings.Repeat("x", largeData)),
		handle,
	)
	p.call("ping")
	p.stored(1, 0, "x")
	p.refused(
		classTransaction,
		"storea",
		oidValue(1),
		tidValue(0),
		pickle.Bytes(strings.Repeat("x", largeData)),
		handle+1,
	)
}

// A record goes to the disk while it is read. The test's side is written in parts, so that it has no copy either.
func TestALargeRecordIsNotInMemory(t *testing.T) {
	s := start(t, Options{}, StorageOptions{})
	p, _ := s.register(t)
	p.tell("tpc_begin", handle, pickle.Bytes("u"), pickle.Bytes("d"), &pickle.Dict{}, nil, " ")
	const parts = 64
	head := "\x80\x03(K\x00\x88X\x06\x00\x00\x00storea(C\x08" + string(oidValue(1)) + "C\x08" + string(tidValue(0)) +
		"B\x00\x00\x00\x04" // 64 MiB
	tail := "\x8a\x06\x00\x00\x00\x00\x00\x01tt."
	part := make([]byte, 1<<20)
	runtime.GC()
	var most uint64
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	write := func(b []byte) {
		if _, err := p.conn.Write(b); err != nil {
			t.Fatal(err)
		}
		var now runtime.MemStats
		runtime.ReadMemStats(&now)
		most = max(most, now.TotalAlloc-before.TotalAlloc)
	}
	size := len(head) + parts<<20 + len(tail)
	write(append([]byte{byte(size >> 24), byte(size >> 16), byte(size >> 8), byte(size)}, head...))
	for range parts {
		write(part)
	}
	write([]byte(tail))
	p.call("vote", handle)
	write(nil)
	p.call("tpc_finish", handle)
	if mb := most >> 20; mb >= parts {
		t.Errorf("%d MB were allocated for a record of %d", mb, parts)
	}
	if rev, err := s.st.LoadBefore(1, maxTid); err != nil || len(rev.Data) != parts<<20 {
		t.Errorf("it is not there: %v", err)
	}
}
