package hashchain

import (
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/state"
	"github.com/zrsd/zrsd/zodb"
)

// What a process that was killed has to read again of a seed is bounded by bytes, not by time.
func TestTheChainIsKeptWhenMuchHasBeenAppended(t *testing.T) {
	kept := make(chan state.Chain, 10)
	l := &Local{due: make(chan struct{}, 1), log: hclog.NewNullLogger(), opt: Options{
		every: time.Hour, Save: func(c state.Chain) error {
			kept <- c
			return nil
		},
	}}
	l.chain.based = true
	ended := make(chan struct{})
	var saving sync.WaitGroup
	saving.Go(func() { l.keepSaving(ended) })
	last, pos := zodb.Tid(0), int64(0)
	for i := range 3 {
		next, end := zodb.Tid(i+1), pos+saveBytes
		l.Appended(last, pos, []filestorage.Appended{{Tid: next, Status: zodb.StatusCommitted, End: end}})
		last, pos = next, end
		if c := <-kept; c.Last().Tid != next {
			t.Errorf("kept up to %v, want %v", c.Last().Tid, next)
		}
	}
	close(ended)
	saving.Wait()
}
