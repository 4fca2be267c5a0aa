package zeoload

import (
	"testing"
	"time"

	"github.com/zrsd/zrsd/zodb"
)

func TestAPackHasEndedWhenItReturns(t *testing.T) {
	inBoth(t, func(t *testing.T, s *site) {
		t.Helper()
		ctx := within(t)
		c := s.clients(ctx, t, 1)[0]
		w := NewWriter(c, first, 1000)
		var tids []zodb.Tid
		for range 2 {
			if err := w.Commit(); err != nil {
				t.Fatal(err)
			}
			tids = append(tids, w.Tid())
		}
		if err := c.Pack(tids[1].Time().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.storage.LoadSerial(first, tids[0]); err == nil {
			t.Error("the first revision is still there")
		}
	})
}
