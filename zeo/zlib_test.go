package zeo

import (
	"strings"
	"testing"

	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/internal/zlibrecord"
	"github.com/zrsd/zrsd/zeo/wire"
	"github.com/zrsd/zrsd/zodb"
)

// Clients of a storage that compresses get what they sent, whatever a record's size and the way of loading it; the file
// has it compressed.
func TestRecordsAreCompressedInTheFileOnly(t *testing.T) {
	for name, opt := range map[string]StorageOptions{
		"compressing": {Decompress: true, Compress: true},
		"not":         {Decompress: true},
	} {
		s := start(t, Options{}, opt)
		for i, encoding := range []string{wire.Z5, wire.M5} {
			p := s.dial(t, encoding)
			p.call("register", "1", false)
			for j, data := range []string{"short", strings.Repeat("x", 1000), strings.Repeat("y", largeData)} {
				oid := zodb.Oid(100*i + j + 1)
				p.stored(oid, 0, data)
				p.call("vote", handle)
				first := tidIn(t, p.call("tpc_finish", handle))
				if got, tid := p.current(oid); got != data || tid != first {
					t.Errorf("%s, %s: %d bytes of %v, want %d", name, encoding, len(got), tid, len(data))
				}
				if got := p.call("loadSerial", oidValue(oid), tidValue(first)).(pickle.Bytes); string(got) != data {
					t.Errorf("%s, %s: loadSerial has other bytes", name, encoding)
				}
				rev, err := s.st.LoadBefore(oid, maxTid)
				if err != nil {
					t.Fatal(err)
				}
				if packed := zlibrecord.Is(rev.Data); packed != (opt.Compress && len(data) > 100) {
					t.Errorf("%s, %s: a record of %d bytes is compressed: %v", name, encoding, len(data), packed)
				}
			}
		}
	}
}

// What unpacks to more than may be in memory, and what cannot be unpacked, is an error of the call that asks for it.
func TestARecordThatCannotBeUnpackedCostsItsCallOnly(t *testing.T) {
	s := start(t, Options{MaxMessage: 1 << 20}, StorageOptions{Decompress: true})
	p, _ := s.register(t)
	bomb := p.commit(1, 0, string(zlibrecord.Pack(make([]byte, 2<<20))))
	broken := p.commit(2, 0, ".z is no stream")
	p.commit(3, 0, "another")
	for oid, tid := range map[zodb.Oid]zodb.Tid{1: bomb, 2: broken} {
		for _, method := range []string{"loadBefore", "loadSerial"} {
			at := tid
			if method == "loadBefore" {
				at++
			}
			if m := p.answer(p.send(0, method, oidValue(oid), tidValue(at))); m.Flag == 0 {
				t.Errorf("%s of object %v is answered", method, oid)
			}
		}
	}
	if got, _ := p.current(3); got != "another" {
		t.Errorf("after that it answers %q", got)
	}
}
