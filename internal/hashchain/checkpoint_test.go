package hashchain

import (
	"encoding/binary"
	"testing"

	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/zodb"
)

// However long a storage, and however its transactions are, the marks are bounded and none is far from the next.
func TestMarksAreBounded(t *testing.T) {
	for name, bytes := range map[string]int64{"small": 1, "large": strideBytes} {
		tr := chainWriter{based: true, scale: 1}
		n := 5 * maxMarks
		if bytes == 1 {
			n = 2*maxMarks*strideTxns/16 + 7
			tr.scale = 1
		}
		for i := range n {
			var d zodb.Digest
			binary.BigEndian.PutUint64(d[:], uint64(i))
			tr.take(zodb.Tid(i+1), d, bytes)
			if len(tr.checkpoints) >= maxMarks {
				t.Fatalf("%s: %d marks", name, len(tr.checkpoints))
			}
		}
		before := checkpoint{}
		for _, m := range append(tr.checkpoints, tr.head) {
			if far := int64(m.Count - before.Count); far > tr.scale*max(1, strideTxns/bytes) {
				t.Errorf("%s: %d transactions between two marks", name, far)
			}
			before = m
		}
		c := tr.durable()
		if len(c.Checkpoints) > state.MaxCheckpoints || c.Last() != tr.head || len(c.Checkpoints) < 30 {
			t.Errorf("%s: %d of %d marks are kept", name, len(c.Checkpoints), len(tr.checkpoints))
		}
	}
}
