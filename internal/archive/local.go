package archive

import (
	"context"
	"errors"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/hashchain"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/zodb"
)

// A Storage is an open storage of this process: a *filestorage.Storage or a *filestorage.Attached.
type Storage interface {
	Snapshot() (*filestorage.Snapshot, error)
	Find(ctx context.Context, tid zodb.Tid) (filestorage.Found, error)
}

// A Local is the source of a storage that this process has open.
type Local struct {
	Storage Storage
	Who     func() (Node, error)
	// Chain is the hash chain of the storage. Nil: there is none.
	Chain *hashchain.Local
	// OpenBlob opens a blob. Nil: there are none.
	OpenBlob func(zodb.Oid, zodb.Tid) (vfs.File, error)
}

// Node is Source.
func (l *Local) Node(context.Context) (Node, error) { return l.Who() }

// File is Source.
func (l *Local) File(context.Context) (File, error) {
	n, err := l.Storage.Snapshot()
	if err != nil {
		return nil, err
	}
	number, err := n.Number()
	if err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return &localFile{n, number}, nil
}

// History is Source. Of its own base it tells what is known already.
func (l *Local) History(ctx context.Context, base, tid zodb.Tid) (History, error) {
	if l.Chain == nil {
		return History{}, &UnknownError{tid, errors.New("no hash chain is kept")}
	}
	var at hashchain.Point
	if base == 0 {
		var ok bool
		if base, at, ok = l.Chain.Near(ctx, tid); !ok {
			return History{}, &UnknownError{tid, errors.New("it is being computed")}
		}
	} else {
		var err error
		if at, err = l.Chain.At(ctx, base, tid); err != nil {
			return History{}, unknownIfSo(tid, err)
		}
	}
	if at.Tid != tid {
		return History{}, &UnknownError{tid, errors.New("there is no such transaction")}
	}
	return History{base, at.Count, Digest(at.Value)}, nil
}

// unknownIfSo gives an error of package hashchain the type of this one.
func unknownIfSo(tid zodb.Tid, err error) error {
	var unknown *hashchain.UnknownError
	if errors.As(err, &unknown) {
		return &UnknownError{tid, err}
	}
	return err
}

// Content is Source.
func (l *Local) Content(ctx context.Context, tid zodb.Tid) (Digest, error) {
	found, err := l.Storage.Find(ctx, tid)
	if errors.Is(err, zodb.ErrNoTid) && found.After.Status == zodb.StatusPacked {
		return Digest{}, nil
	}
	if err != nil || found.Status == zodb.StatusPacked {
		return Digest{}, err
	}
	return Digest(found.Digest), nil
}

// Blob is Source.
func (l *Local) Blob(_ context.Context, oid zodb.Oid, tid zodb.Tid) (Blob, error) {
	if l.OpenBlob == nil {
		return nil, &zodb.POSKeyError{Oid: oid, Tid: tid, Blob: true}
	}
	f, err := l.OpenBlob(oid, tid)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &localBlob{f, info.Size()}, nil
}

type localFile struct {
	*filestorage.Snapshot
	number uint64
}

func (f *localFile) Number() uint64 { return f.number }

func (f *localFile) Renew(context.Context) (bool, error) { return f.Snapshot.Renew() }

type localBlob struct {
	vfs.File
	size int64
}

func (b *localBlob) Size() int64 { return b.size }
