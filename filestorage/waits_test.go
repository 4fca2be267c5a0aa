package filestorage

import (
	"context"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/vfs/simdisk"
	"github.com/zrsd/zrsd/internal/watchdog"
	"github.com/zrsd/zrsd/zodb"
)

// stallsOn are what a board says when every wait of now has become too long.
func stallsOn(b *watchdog.Board) (list []string) {
	for _, s := range b.Stalls(time.Now().Add(watchdog.Limit)) {
		list = append(list, s.String())
	}
	return list
}

// A commit on a disk that does not answer is a stall until the disk answers, whichever operation it is that hangs; so
// is whoever wants the commit lock meanwhile.
func TestACommitThatTheDiskKeepsIsAStall(t *testing.T) {
	for kind, what := range map[simdisk.Kind]string{simdisk.Sync: waitSync, simdisk.Rename: waitNames} {
		t.Run(string(kind), func(t *testing.T) {
			st := newStage(t, story{prepare: func(*stage) {}})
			opt := st.options()
			opt.Watch = new(watchdog.Board)
			s, err := Open(t.Context(), crashPath, opt)
			if err != nil {
				t.Fatal(err)
			}
			txn := mustBegin(t, s, &zodb.TxnMeta{})
			if err := txn.StoreBlob(1, 0, []byte(withBlob), strings.NewReader("content")); err != nil {
				t.Fatal(err)
			}
			met, gate := make(chan struct{}), make(chan struct{})
			var first sync.Once
			st.disk.FailWhen(func(op simdisk.Op) error {
				if op.Kind == kind {
					first.Do(func() { close(met); <-gate })
				}
				return nil
			})
			done, next := make(chan error, 1), make(chan error, 1)
			go func() {
				_, err := txn.Finish(t.Context(), nil)
				done <- err
			}()
			<-met
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				_, err := s.Begin(ctx, &zodb.TxnMeta{})
				next <- err
			}()
			for s.waiting.Load() == 0 {
				runtime.Gosched()
			}
			found := stallsOn(opt.Watch)
			if len(found) != 2 || !slices.Contains(found, "a commit waits for "+what) ||
				!strings.HasPrefix(found[0], "beginning a transaction waits for the commit lock") {
				t.Errorf("while the disk does not answer: %q", found)
			}
			cancel()
			<-next
			close(gate)
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			if found := stallsOn(opt.Watch); len(found) > 0 {
				t.Errorf("when it has answered: %q", found)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}
