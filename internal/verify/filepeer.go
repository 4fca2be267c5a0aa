package verify

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/zrsd/zrsd/internal/hashchain"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// FilePeer is the copy in another file, which is read to its end when it is asked. Nothing is written.
func FilePeer(disk vfs.FS, path string) Peer {
	return Peer{Name: path, Ask: func(ctx context.Context, _ *atomic.Int64) (Remote, error) {
		opt := Options{FS: disk, Path: path, Dry: true}
		opt.fill()
		p := &pass{opt: opt, pace: &pace{}}
		if err := p.run(ctx); err != nil {
			return nil, err
		}
		h := p.ownHistory()
		switch {
		case p.result.Kinds[KindChain] > 0 || !p.whole:
			return nil, fmt.Errorf("%s is damaged itself: run zrsd verify on it", path)
		case p.result.Transactions > 0 && !h.known:
			return nil, errors.New("all of it was packed: nothing can be compared")
		}
		return &fileHistory{h}, nil
	}}
}

// A fileHistory is a Remote that is a file.
type fileHistory struct{ *history }

// Span is hashchain.Chain.
func (f *fileHistory) Span(context.Context) (hashchain.Span, error) {
	return hashchain.Span{Base: f.base, Last: f.head.Tid}, nil
}

// At is hashchain.Chain.
func (f *fileHistory) At(ctx context.Context, base, tid zodb.Tid) (hashchain.Point, error) {
	if base != f.base {
		later, err := f.from(ctx, base)
		if err != nil {
			return hashchain.Point{}, err
		}
		f.history = later
	}
	at, err := f.at(ctx, tid)
	return at.Point, err
}

// Blobs is Remote: a file has none.
func (f *fileHistory) Blobs(context.Context, *protocol.BlobQuery) (*protocol.BlobAnswer, error) {
	return nil, hashchain.ErrNoBlobs
}

// Close is Remote.
func (f *fileHistory) Close() error { return nil }
