package filestorage

import (
	"encoding/binary"
	"fmt"

	"github.com/zrsd/zrsd/zodb"
)

// A revision is where a back pointer leads.
type revision struct {
	tid  zodb.Tid // of the record one hop away, 0 for a zero back pointer
	pos  int64    // offset of the data at the end of the chain
	size int64    // of these data, zodb.NoData when the chain ends without
}

// resolve follows the back pointer of the record of oid at pos to the end of the chain. Each hop must lead to an
// earlier record of the same oid, so a chain always ends. The window stays where it is.
func (s *source) resolve(win *window, oid zodb.Oid, pos, back int64) (r revision, err error) {
	r.size = zodb.NoData
	for hop := 0; back != 0; hop++ {
		if back < magicLen || back > pos-recHeaderLen-backLen {
			return r, s.corrupt(pos+recHeaderLen, "a pointer to an earlier record", fmt.Sprint(back))
		}
		var b [recHeaderLen + backLen]byte
		if err := win.peek(b[:], back); err != nil {
			return r, readError(err)
		}
		var h recHeader
		h.decode(b[:])
		if h.Oid != oid {
			return r, s.corrupt(back, "a record of oid "+oid.String(), h.Oid.String())
		}
		if hop == 0 {
			r.tid = h.Tid
		}
		if h.PLen > 0 {
			room := pos - back - recHeaderLen
			if h.PLen > uint64(room) {
				return r, s.corrupt(back+34, fmt.Sprintf("at most %d bytes of data", room), fmt.Sprint(h.PLen))
			}
			r.pos, r.size = back+recHeaderLen, int64(h.PLen)
			return r, nil
		}
		pos, back = back, int64(binary.BigEndian.Uint64(b[recHeaderLen:]))
	}
	return r, nil
}
