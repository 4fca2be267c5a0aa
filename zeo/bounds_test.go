package zeo

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/zeo/wire"
	"github.com/zrsd/zrsd/zodb"
)

func TestAClientHasAFewCallsAnsweredAtATimeBesideItsConnection(t *testing.T) {
	s := start(t, Options{}, StorageOptions{})
	c := &client{slots: make(chan struct{}, maxBackground)}
	log := hclog.NewNullLogger()
	c.log.Store(&log)
	var running, most atomic.Int64
	release := make(chan struct{})
	var asked sync.WaitGroup
	asked.Go(func() {
		for range 3 * maxBackground {
			c.background(&wire.Message{Flag: 1}, func() (pickle.Value, error) {
				if n := running.Add(1); n > most.Load() {
					most.Store(n)
				}
				<-release
				running.Add(-1)
				return nil, nil
			})
		}
	})
	s.until(t, "as many as may are under way", func() bool { return running.Load() >= maxBackground })
	close(release)
	asked.Wait()
	c.helpers.Wait()
	if n := most.Load(); n > maxBackground {
		t.Errorf("%d at a time", n)
	}
}

// The storage may have more than clients know of.
func TestAHistoryEndsWhereClientsKnowOfAndHasNoFewerRevisionsForThat(t *testing.T) {
	s := start(t, Options{}, StorageOptions{})
	p, _ := s.register(t)
	var tids []zodb.Tid
	var last zodb.Tid
	for range 5 {
		last = p.commit(1, last, "x")
		tids = append(tids, last)
	}
	st := s.storage("1")
	for visible := range 5 {
		for size := 1; size < 7; size++ {
			got, err := st.revisions(1, size, tids[visible])
			if want := min(size, visible+1); err != nil || len(got) != want || got[0].Tid != tids[visible] {
				t.Errorf("%d revisions as of transaction %d: got %d, %v", size, visible, len(got), err)
			}
		}
	}
	if got, err := st.revisions(1, 3, tids[0]-1); err == nil {
		t.Errorf("before the first transaction: %d revisions", len(got))
	}
	if got, err := st.revisions(1, 0, last); err != nil || len(got) != 0 {
		t.Errorf("of 0 revisions: %d, %v", len(got), err)
	}
}
