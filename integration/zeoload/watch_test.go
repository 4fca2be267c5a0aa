package zeoload

import "testing"

func TestInvalidationsArriveInTheOrderOfTheCommits(t *testing.T) {
	inBoth(t, func(t *testing.T, s *site) {
		t.Helper()
		ctx := within(t)
		conns := s.clients(ctx, t, 2)
		w := NewWriter(conns[0], first, 100)
		for range 3 {
			if err := w.Commit(); err != nil {
				t.Fatal(err)
			}
			if tid, err := conns[1].Invalidation(); err != nil || tid != w.Tid() {
				t.Errorf("invalidation of %v, want %v: %v", tid, w.Tid(), err)
			}
		}
	})
}
