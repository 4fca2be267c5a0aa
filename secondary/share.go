package secondary

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/zrsd/zrsd/blobstore"
	"github.com/zrsd/zrsd/internal/pause"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// SharedBlobs is the primary's own blob directory, seen from here: a *blobstore.Shared. It may be used concurrently.
type SharedBlobs interface {
	Dir() string
	// Verify is blobstore.ErrAnother when the primary's token is not in the directory, or not yet to be seen.
	Verify(name string, digest [sha256.Size]byte) error
	// Stat returns the size of a blob; *zodb.POSKeyError when it is not there, or not yet to be seen.
	Stat(oid zodb.Oid, tid zodb.Tid) (int64, error)
}

var _ SharedBlobs = (*blobstore.Shared)(nil)

// How often it is looked whether a file has come to be seen: network file systems keep what they knew for a while.
const (
	firstLook = 10 * time.Millisecond
	lastLook  = time.Second
)

// share makes sure that the directory which this secondary shares is the primary's, before anything relies on that.
func (s *Secondary) share(ctx context.Context, w *protocol.Welcome) error {
	dir := s.opt.SharedBlobs
	agreed := slices.Contains(w.Capabilities, protocol.SharedBlobs)
	switch {
	case dir == nil && agreed:
		return unfit("the primary does not send blobs although this secondary did not ask for that; run the same " +
			"version of zrsd on both sides")
	case dir == nil:
		return nil
	case !w.Blobs:
		return unfit("the primary has no blob directory that could be shared; give it one, or start this secondary "+
			"without %s", dir.Dir())
	case !agreed:
		return unfit("the primary does not know how to share a blob directory; run the same version of zrsd on both " +
			"sides")
	}
	err := s.untilSeen(ctx, func() error { return dir.Verify(w.Token.Name, w.Token.Digest) })
	switch {
	case errors.Is(err, blobstore.ErrAnother):
		return unfit("the directory %s is not the primary's blob directory: %v; check what is mounted there", dir.Dir(),
			err)
	case err != nil && ctx.Err() == nil:
		return &localError{err}
	}
	return err
}

// A heldBlob is one that the primary keeps in the shared directory.
type heldBlob struct {
	oid  zodb.Oid
	tid  zodb.Tid
	size int64
}

// awaitBlobs waits until all blobs of a transaction are in the shared directory, as the primary says they are.
func (s *Secondary) awaitBlobs(ctx context.Context, held []heldBlob) error {
	for _, blob := range held {
		if s.opt.SharedBlobs == nil {
			return &protocol.FrameError{Tid: blob.tid, Want: "the blob itself", Got: "one in a shared directory"}
		}
		if err := s.untilSeen(ctx, func() error { return s.see(blob) }); err != nil {
			return err
		}
	}
	return nil
}

// see looks for one blob.
func (s *Secondary) see(blob heldBlob) error {
	dir := s.opt.SharedBlobs
	size, err := dir.Stat(blob.oid, blob.tid)
	missing := (*zodb.POSKeyError)(nil)
	switch {
	case errors.As(err, &missing):
		return fmt.Errorf("%w in %s, where the primary has one; check that the directory is mounted and up to date",
			err, dir.Dir())
	case err == nil && size != blob.size:
		return fmt.Errorf("the blob of oid %v tid %v has %d bytes in %s and %d on the primary; check that the "+
			"directory is mounted and up to date", blob.oid, blob.tid, size, dir.Dir(), blob.size)
	}
	return err
}

// untilSeen looks again and again, with growing pauses, until all is well, ctx ends, or it takes too long.
func (s *Secondary) untilSeen(ctx context.Context, look func() error) error {
	limited, cancel := context.WithTimeout(ctx, s.opt.BlobPatience)
	defer cancel()
	for wait := firstLook; ; wait = min(2*wait, lastLook) {
		err := look()
		if err == nil {
			return nil
		}
		pause.For(limited, wait)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case limited.Err() != nil:
			return err
		}
	}
}
