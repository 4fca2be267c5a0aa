package heal

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/internal/verify"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

var errNoBlobDir = errors.New("this node has no blob directory of its own")

// A wanted blob is what is known of one that is damaged or missing.
type wanted struct {
	oid    zodb.Oid
	tid    zodb.Tid
	size   int64
	digest *[sha256.Size]byte // nil: nothing was noted of it
}

// blob heals a blob.
func (h *healer) blob(ctx context.Context, s *verify.Suspect, item *Item) error {
	if h.opt.Blobs == nil || s.Oid == nil || s.Tid == nil {
		return errNoBlobDir
	}
	if !h.read {
		h.noted, h.read = verify.NotedBlobs(h.opt.FS, h.opt.Path), true
	}
	w := &wanted{oid: *s.Oid, tid: *s.Tid}
	if size, digest, ok := h.noted.Of(w.oid, w.tid); ok {
		w.size, w.digest = size, &digest
	}
	item.Evidence = w.digest != nil
	has, err := h.opt.Target.HasRevision(w.oid, w.tid) // else a damaged record named it
	if err != nil {
		return err
	}
	if !has || h.blobSound(w) {
		item.Result = Sound
		return nil
	}
	return h.each(ctx, func(ctx context.Context, p Peer, c *connected) error {
		if w.digest == nil && c.same != nil {
			return fmt.Errorf("no digest of the blob was noted here, and the node does not prove that its history is "+
				"the same: %w", c.same)
		}
		f, err := h.openRemote(ctx, c.remote, p.Name, 0, firstTransaction)
		if err != nil {
			return err
		}
		f.while(ctx)
		defer f.Close() //nolint:errcheck // it was only read
		return h.blobFrom(f, p, w, s, item)
	})
}

// blobSound reports whether the blob is what it has to be, as far as that is known.
func (h *healer) blobSound(w *wanted) bool {
	f, err := h.opt.Blobs.OpenBlob(w.oid, w.tid)
	if err != nil {
		return false
	}
	defer f.Close() //nolint:errcheck // only read
	info, err := f.Stat()
	if err != nil || w.digest != nil && info.Size() != w.size {
		return false
	}
	sum := sha256.New()
	if n, err := io.Copy(sum, io.NewSectionReader(f, 0, info.Size())); err != nil || n != info.Size() {
		return false
	}
	return w.digest == nil || [sha256.Size]byte(sum.Sum(nil)) == *w.digest
}

// blobFrom takes the blob from a node.
func (h *healer) blobFrom(f *remoteFile, p Peer, w *wanted, s *verify.Suspect, item *Item) error {
	b, err := f.openBlob(w.oid, w.tid)
	switch {
	case err != nil:
		return err
	case b.size == protocol.NoBlob:
		return errors.New("it does not have the blob either")
	case h.opt.MaxBlob > 0 && b.size > h.opt.MaxBlob:
		return &protocol.TooLargeError{What: "blob", Tid: w.tid, Oid: w.oid, Size: b.size, Max: h.opt.MaxBlob}
	case w.digest != nil && b.size != w.size:
		return &PeerDamagedError{Peer: p.Name, Err: fmt.Errorf("its blob has %d bytes, and has to have %d", b.size,
			w.size)}
	}
	item.Length = b.size
	old, err := h.quarantines(w)
	if err != nil {
		return err
	}
	if h.opt.Dry {
		err = b.compare(p, w)
	} else {
		err = h.opt.Target.RepairBlob(&filestorage.BlobRepair{Oid: w.oid, Tid: w.tid, Content: b, Size: b.size,
			Digest: w.digest, Damage: filestorage.Damage{Found: s.Found, By: h.opt.By, Peer: p.Name}})
	}
	var wrong *filestorage.BlobContentError
	switch {
	case b.err != nil:
		return b.err
	case errors.As(err, &wrong):
		return &PeerDamagedError{Peer: p.Name, Err: wrong}
	case err != nil:
		return err
	}
	h.healed(item, p.Name, old)
	return nil
}

// quarantines returns how many files will be kept: one, unless the blob is missing.
func (h *healer) quarantines(w *wanted) (int64, error) {
	f, err := h.opt.Blobs.OpenBlob(w.oid, w.tid)
	if missing := (*zodb.POSKeyError)(nil); errors.As(err, &missing) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return 1, f.Close()
}

// compare reads a blob to its end, and compares its digest.
func (b *remoteBlob) compare(p Peer, w *wanted) error {
	sum := sha256.New()
	if _, err := io.Copy(sum, b); err != nil {
		return err
	}
	if w.digest != nil && [sha256.Size]byte(sum.Sum(nil)) != *w.digest {
		return &PeerDamagedError{Peer: p.Name, Err: errors.New("its blob has another digest than was noted here")}
	}
	return nil
}
