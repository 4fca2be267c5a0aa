package zeo

import (
	"encoding/binary"
	"runtime"
	"testing"

	"github.com/zrsd/zrsd/zeo/wire"
)

func TestALargeMessageThatIsOnlyAnnouncedCostsNoMemory(t *testing.T) {
	s := start(t, Options{}, StorageOptions{})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, size := range []uint32{1<<32 - 1, 500 << 20} { // more than is allowed, and nearly as much
		for range 10 {
			p := s.dial(t, wire.M5)
			p.call("register", "1", false)
			if _, err := p.conn.Write(append(binary.BigEndian.AppendUint32(nil, size), "only this"...)); err != nil {
				t.Fatal(err)
			}
			if size < 1<<30 {
				if err := p.conn.Close(); err != nil {
					t.Fatal(err)
				}
			} else {
				p.cut()
			}
		}
	}
	s.until(t, "all clients are gone", func() bool { return len(s.Clients()) == 0 })
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 100<<20 {
		t.Errorf("%d bytes were allocated for messages that never came", n)
	}
}
