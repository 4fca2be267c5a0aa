package zeo

import (
	"context"
	"errors"
	"fmt"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zeo/wire"
	"github.com/zrsd/zrsd/zodb"
)

// A storage of StorageOptions.Moment is one state of a history. It is a storage as any other, whose visible transaction
// does not move with what is committed but with Step: the same rules that hide what is committed and not announced hide
// what came after the moment.
//
//	committed      … │ 4 │ 5 │ 6 │ 7 │ 8 │ 9 │
//	                       ▲ visible       ▲ LastTid of the filestorage
//	Step to 8:             6 with all objects of 6, 7 and 8, then 8 without any

// Step has the clients of a storage of StorageOptions.Moment go on to a later moment. A name that is not served is
// ignored.
//
// Clients get two invalidations. The first is of the first transaction after the old moment and has every object that
// was written up to the new one: a client's cache then knows that each of its revisions was current at least until
// then, and asks the server for all that is later. The second makes the new moment the last transaction.
func (s *Server) Step(ctx context.Context, name string, to filestorage.Moment) error {
	st := s.storage(name)
	if st == nil {
		return nil
	}
	if err := st.step(ctx, to); err != nil {
		return fmt.Errorf("show storage %s as of %v: %w", name, to.Tid, err)
	}
	return nil
}

func (s *storage) step(ctx context.Context, to filestorage.Moment) error {
	s.telling.Lock()
	defer s.telling.Unlock()
	first, oids, ok, err := s.st.ChangesBetween(ctx, s.visible, to.Tid, maxHistory)
	if err != nil {
		return err
	}
	recent, err := s.st.InvalidationsUpTo(ctx, to.Tid, s.keep)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	from := s.visible
	s.visible, s.moment, s.recent = to.Tid, &to, recent
	close(s.moved)
	s.moved = make(chan struct{})
	switch {
	case from == to.Tid:
		return nil
	case !ok || to.Tid < from || first < from: // too much for invalidations, or a history whose tids go down
		for c := range s.clients {
			c.out.close(errStepped)
		}
		return nil
	}
	calls := []*wire.Message{wire.Call(wire.InvalidationMethod, tidValue(first), oidList(oids))}
	if first != to.Tid {
		calls = append(calls, wire.Call(wire.InvalidationMethod, tidValue(to.Tid), oidList(nil)))
	}
	s.stats.invalidations.Add(int64(len(calls) * len(s.clients)))
	var all encodings
	for c := range s.clients {
		c.add(all.of(c, calls...))
		c.out.wake()
	}
	return nil
}

// Show has the clients of a storage of StorageOptions.Moment see all that was committed up to a later moment: each
// transaction with an invalidation of its own, in the order of the file, as those of a secondary. A name that is not
// served is ignored.
func (s *Server) Show(ctx context.Context, name string, to filestorage.Moment) error {
	st := s.storage(name)
	if st == nil {
		return nil
	}
	if err := st.showUpTo(ctx, to); err != nil {
		return fmt.Errorf("show storage %s up to %v: %w", name, to.Tid, err)
	}
	return nil
}

func (s *storage) showUpTo(ctx context.Context, to filestorage.Moment) error {
	s.telling.Lock()
	defer s.telling.Unlock()
	if err := s.readUpTo(ctx, to.Tid); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.moment = &to
	return nil
}

// errStepped ends connections of clients that learn what has changed when they come again.
var errStepped = errors.New("the moment that is shown has moved too far for invalidations: reconnect")

// beforeMoment is before as of a moment: an object that did not exist then is none.
func (s *storage) beforeMoment(oid zodb.Oid, tid, visible zodb.Tid) (*filestorage.Revision, error) {
	rev, err := s.st.LoadBefore(oid, min(tid, visible+1))
	switch {
	case err != nil:
		return nil, err
	case rev != nil && rev.Next > visible:
		rev.Next = 0
	case rev == nil && tid <= visible:
		if then, err := s.st.LoadBefore(oid, visible+1); err == nil && then == nil {
			return nil, &zodb.POSKeyError{Oid: oid}
		}
	case rev == nil:
		return nil, &zodb.POSKeyError{Oid: oid}
	}
	return rev, nil
}

// length is how many objects clients hear of. It is called with mu held where there is a moment.
func (s *storage) length() int64 {
	if s.moment != nil {
		return int64(s.moment.Len)
	}
	return int64(s.st.Len())
}

// size is that of the data file for clients, as length.
func (s *storage) size() int64 {
	if s.moment != nil {
		return s.moment.Size
	}
	return s.st.Size()
}

// openBlob opens a blob that clients may see, and that is here.
func (s *storage) openBlob(oid zodb.Oid, tid zodb.Tid) (vfs.File, error) {
	if s.hidesBlob(tid) {
		return nil, &zodb.POSKeyError{Oid: oid, Tid: tid, Blob: true}
	}
	return s.st.BlobHere(oid, tid)
}

// hidesBlob reports whether clients may not see the blobs of a transaction.
func (s *storage) hidesBlob(tid zodb.Tid) (hidden bool) {
	if s.opt.Moment != nil {
		s.view(func(visible zodb.Tid) { hidden = s.hides(tid, visible) })
	}
	return hidden
}

// Expect says that a storage of this name will be offered: clients that ask for it before wait.
func (s *Server) Expect(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names[name] = struct{}{}
}

// End says why a storage that was withdrawn does not come back: clients that ask for it hear this.
func (s *Server) End(name string, why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over[name] = why
}

// ended returns what End was called with; nil: nothing.
func (s *Server) ended(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.over[name]
}
