package zeo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/zodb"
)

// news are the transactions that the storage has made visible and that are not announced yet. Those of clients come
// with the objects that they changed. Of others, and of too many, it is only known that there are some: they are read.
type news struct {
	mu     sync.Mutex
	told   []filestorage.Invalidation // the oldest first
	oids   int                        // in told
	unread bool                       // there are others before those in told
	there  chan struct{}              // one slot
}

// The most that is kept in told: a client waits for each of its transactions, so that no more come where all is well.
const maxTold, maxToldOids = 10_000, 1_000_000

// add is what filestorage.Storage.Watch calls. A committer on this goroutine announces the transaction itself.
func (n *news) add(told []filestorage.Invalidation, here bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.told = append(n.told, told...)
	for i := range told {
		n.oids += len(told[i].Oids)
	}
	if told == nil || len(n.told) > maxTold || n.oids > maxToldOids {
		n.told, n.oids, n.unread = nil, 0, true
	}
	if !here {
		n.wake()
	}
}

// wake has the follower look.
func (n *news) wake() {
	select {
	case n.there <- struct{}{}:
	default:
	}
}

// maxBatch bounds how many transactions, and how many of their objects, are announced at once.
const maxBatch, maxBatchOids = 256, 100_000

// next returns the transactions to announce next, none when there are none. unread says that the storage is to be read
// up to its end first, which may then be after what next returns.
func (n *news) next() (batch []filestorage.Invalidation, unread bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	oids, k := 0, 0
	for k < min(len(n.told), maxBatch) && oids < maxBatchOids {
		oids += len(n.told[k].Oids)
		k++
	}
	return n.told[:k:k], n.unread
}

// done drops transactions up to tid, which are announced.
func (n *news) done(tid zodb.Tid) {
	n.mu.Lock()
	defer n.mu.Unlock()
	k := 0
	for k < len(n.told) && n.told[k].Tid <= tid {
		n.oids -= len(n.told[k].Oids)
		k++
	}
	if n.told = n.told[k:]; len(n.told) == 0 {
		n.told = nil
	}
}

// read notes that the storage is going to be read up to its end, or, when that has failed, that it is still to be.
func (n *news) read(failed bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.unread = failed; failed {
		n.wake()
	}
}

// follow announces what the storage commits, until ctx ends.
func (s *storage) follow(ctx context.Context) {
	var broken trouble
	watched := s.opt.Watch.Entry("the invalidations to ZEO clients")
	defer watched.Remove()
	for {
		select {
		case <-s.news.there:
		case <-ctx.Done():
			return
		}
		err := s.announceNews(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			watched.Done()
			if broken.ended() {
				s.log.Info("reading committed transactions works again", "storage", s.name)
			}
			continue
		}
		watched.Waits("the storage: it cannot be read")
		if broken.worthTelling(err, time.Now()) {
			s.log.Error(
				"reading committed transactions failed, retrying: clients are disconnected and get no "+
					"invalidations until it works",
				"storage",
				s.name,
				"interval",
				clearPause,
				"error",
				err, "warning", warning.StorageFailed,
			)
		}
		s.disconnect(errUnreadable)
		pause.For(ctx, clearPause)
	}
}

// errUnreadable ends the connections of clients that cannot get invalidations.
var errUnreadable = errors.New("what was committed cannot be read")

// disconnect ends the connections of all clients; they may come again.
func (s *storage) disconnect(why error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for c := range s.clients {
		c.out.close(why)
	}
}

// announceNews announces all that there is. One goroutine does so at a time.
func (s *storage) announceNews(ctx context.Context) error {
	s.telling.Lock()
	defer s.telling.Unlock()
	for {
		batch, unread := s.news.next()
		var err error
		switch {
		case unread:
			s.news.read(false)
			if err = s.readNews(ctx); err != nil {
				s.news.read(true)
			}
		case len(batch) == 0:
			return nil
		default:
			err = s.tell(ctx, batch)
		}
		if err != nil {
			return err
		}
	}
}

// announceHere announces what there is in the goroutine of c, which has just committed and flushes its own outbox next.
// What would have to be waited for is left to the follower.
func (s *storage) announceHere(c *client) {
	if !s.telling.TryLock() {
		s.news.wake()
		return
	}
	defer s.telling.Unlock()
	for {
		batch, unread := s.news.next()
		if len(batch) == 0 && !unread {
			return
		}
		if unread || !s.stillCleared(batch[len(batch)-1].Tid) || !s.announce(batch, c) {
			s.news.wake()
			return
		}
	}
}

// tell announces transactions as soon as clients may see them.
func (s *storage) tell(ctx context.Context, batch []filestorage.Invalidation) error {
	for {
		if err := s.awaitCommitted(ctx, batch[len(batch)-1].Tid); err != nil {
			return err
		}
		if s.announce(batch, nil) {
			return nil
		}
	}
}

// readNews announces what is in the storage after the last transaction that was announced.
func (s *storage) readNews(ctx context.Context) error { return s.readUpTo(ctx, maxTid) }

// readUpTo is readNews up to the first transaction above last.
func (s *storage) readUpTo(ctx context.Context, last zodb.Tid) error {
	it, err := s.st.IterateRecords(s.visible, false)
	if err != nil {
		return err
	}
	defer it.Close() //nolint:errcheck // read only
	for {
		batch, err := gather(ctx, it, last)
		if len(batch) > 0 {
			if err := s.tell(ctx, batch); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading what was committed since %v: %w", s.visible, err)
		}
	}
}

// gather returns the next transactions, as many as are announced at once. An error, io.EOF at the end and before the
// first transaction above last, comes with what was read before it.
func gather(ctx context.Context, it zodb.Iterator, last zodb.Tid) (batch []filestorage.Invalidation, err error) {
	for oids := 0; len(batch) < maxBatch && oids < maxBatchOids; {
		txn, err := it.Next(ctx)
		if err != nil {
			return batch, err
		}
		tid := txn.Meta().Tid
		if tid > last {
			return batch, io.EOF
		}
		if txn.Meta().Status == zodb.StatusUndone {
			continue
		}
		written, err := oidsOf(txn)
		if err != nil {
			return batch, err
		}
		batch = append(batch, filestorage.Invalidation{Tid: tid, Oids: written})
		oids += len(written)
	}
	return batch, nil
}
