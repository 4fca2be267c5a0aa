package zeo

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/zeo/wire"
	"github.com/zrsd/zrsd/zodb"
)

// A transaction that cannot be buffered is the end of itself only: its vote fails, and the client, which cannot be told
// before, goes on with its next one.
func TestATransactionThatCannotBeBufferedFailsAtItsVoteOnly(t *testing.T) {
	for name, send := range map[string]func(p *peer){
		"many records": func(p *peer) {
			for oid := range zodb.Oid(200) {
				p.tell("storea", oidValue(oid+1), tidValue(0), pickle.Bytes(strings.Repeat("x", 10_000)), handle)
			}
		},
		"one that is large": func(p *peer) {
			p.tell("storea", oidValue(1), tidValue(0), pickle.Bytes(strings.Repeat("x", largeData)), handle)
			p.tell("storea", oidValue(2), tidValue(0), pickle.Bytes(strings.Repeat("x", largeData)), handle)
			p.tell("checkCurrentSerialInTransaction", oidValue(2), tidValue(0), handle)
		},
	} {
		for _, encoding := range []string{wire.Z5, wire.M5} {
			t.Run(name+" "+encoding, func(t *testing.T) {
				folder := filepath.Join(t.TempDir(), "gone")
				s := start(t, Options{Buffers: folder}, StorageOptions{})
				p := s.dial(t, encoding)
				p.call("register", "1", false)
				begin := func() {
					p.tell("tpc_begin", handle, pickle.Bytes(""), pickle.Bytes(""), &pickle.Dict{}, nil, " ")
				}
				begin()
				send(p)
				p.refused(classStorage, "vote", handle)
				p.refused(classStorage, "vote", handle)
				p.call("tpc_abort", handle)
				if last := s.st.LastTid(); last != 0 {
					t.Errorf("%v was committed", last)
				}
				if err := os.Mkdir(folder, 0o700); err != nil {
					t.Fatal(err)
				}
				begin()
				p.tell("storea", oidValue(1), tidValue(0), pickle.Bytes(strings.Repeat("y", largeData)), handle)
				p.call("vote", handle)
				p.call("tpc_finish", handle)
				if got, _ := p.current(1); got != strings.Repeat("y", largeData) {
					t.Errorf("%d bytes", len(got))
				}
			})
		}
	}
}
