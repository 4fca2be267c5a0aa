package filestorage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/internal/plural"
	"github.com/zrsd/zrsd/internal/warning"
	"github.com/zrsd/zrsd/zodb"
)

// How soon left-over work is retried, and how often an unchanged reason is logged.
const (
	leftPause = time.Minute
	leftTold  = time.Hour
)

// A leftovers is work that a recovery or a pack could not do: blobs to be removed or set aside, names to be removed. It
// has no effect on service. It is retried until it is done, and reported until then.
type leftovers struct {
	log hclog.Logger
	now func() time.Time

	mu    sync.Mutex
	aside []lostBlob
	first error     // why the first of them could not be set aside
	why   error     // nil: nothing is left
	since time.Time // when it was left
	told  time.Time // when it was logged last

	tending sync.WaitGroup
	tended  bool // somebody tries again
	over    bool // nobody does any more
}

// A lostBlob is that of a transaction that a recovery has cut off.
type lostBlob struct {
	oid   zodb.Oid
	tid   zodb.Tid
	label string
}

// leave notes the result of the work: err is why some is left, nil that none is. The rest is retried.
func (s *Storage) leave(err error) {
	l := s.left
	l.mu.Lock()
	defer l.mu.Unlock()
	l.note(err)
	if l.why != nil && !l.tended && !l.over {
		l.tended = true
		l.tending.Go(s.tendLeft)
	}
}

// end returns when nobody tries any more. The storage is being closed.
func (l *leftovers) end() {
	l.mu.Lock()
	l.over = true
	l.mu.Unlock()
	l.tending.Wait()
}

// note is called with mu held.
func (l *leftovers) note(err error) {
	now := l.now()
	switch {
	case err == nil && l.why != nil:
		l.log.Info("finished the cleanup that a recovery or a pack had left", "since", l.since)
	case err != nil && l.why == nil:
		l.since = now
		fallthrough
	case err != nil && (l.why.Error() != err.Error() || now.Sub(l.told) >= leftTold):
		l.told = now
		l.log.Error("cannot finish the cleanup after a recovery or a pack, retrying; commits continue",
			"in", leftPause, "error", err, "warning", warning.CleanupLeft)
	}
	l.why = err
}

func (l *leftovers) lost(b lostBlob, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.aside = append(l.aside, b)
	l.first = cmp.Or(l.first, err)
}

func (l *leftovers) get() (since time.Time, why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.since, l.why
}

// Leftovers returns why work of a recovery or a pack is still to be done, and since when; nil when there is none.
// Nothing waits for it.
func (s *Storage) Leftovers() (since time.Time, why error) { return s.left.get() }

// tendLeft tries again until all is done or the storage is closed.
func (s *Storage) tendLeft() {
	ctx, cancel := s.whileOpen(context.Background())
	defer cancel()
	again := time.NewTicker(leftPause)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-again.C:
			s.tryLeft(ctx)
		}
		if s.left.rest() {
			return
		}
	}
}

// rest reports whether there is nothing to tend any more.
func (l *leftovers) rest() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tended = l.why != nil
	return !l.tended
}

// tryLeft does what is left, unless a pack is at it.
func (s *Storage) tryLeft(ctx context.Context) {
	select {
	case s.packing <- struct{}{}:
	default:
		return
	}
	defer func() { <-s.packing }()
	if err := s.doLeft(ctx); ctx.Err() == nil {
		s.leave(err)
	}
}

func (s *Storage) doLeft(ctx context.Context) error {
	return errors.Join(s.finishPack(ctx), s.setLostAside(ctx))
}

// setLostAside sets aside what could not be when the storage was opened, while nothing is on its way to the disk: the
// same transaction may have come again.
func (s *Storage) setLostAside(ctx context.Context) error {
	l := s.left
	l.mu.Lock()
	list := l.aside
	l.mu.Unlock()
	if len(list) == 0 {
		return nil
	}
	release, err := s.Hold(ctx)
	if err != nil {
		return err
	}
	defer release()
	var rest []lostBlob
	var first error
	for _, b := range list {
		again, err := s.hasRevision(b.oid, b.tid)
		if err == nil && !again {
			err = s.blobs.SetAside(b.oid, b.tid, b.label)
		}
		if err != nil {
			rest = append(rest, b)
			first = cmp.Or(first, err)
		}
	}
	l.mu.Lock()
	l.aside = rest
	l.mu.Unlock()
	if len(rest) > 0 {
		return lostAsideError(len(rest), rest[0], first)
	}
	return nil
}

func lostAsideError(n int, b lostBlob, err error) error {
	return fmt.Errorf(
		"%s still in the blob directory, the first is oid %v tid %v: %w",
		plural.Or(n, "blob of a cut-off transaction is", "blobs of cut-off transactions are"),
		b.oid,
		b.tid,
		err,
	)
}
