package blobcache

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/zrsd/zrsd/internal/objectstore"
	"github.com/zrsd/zrsd/zodb"
)

// Prefix is how the keys of blobs begin. They are those of the package zodb-s3blobs, so that its tools and ours find
// the same objects: blobs/<oid>/<tid>.blob, in hexadecimal digits without leading zeros.
const Prefix = "blobs/"

// Key returns the key of a blob.
func Key(oid zodb.Oid, tid zodb.Tid) string {
	return fmt.Sprintf("%s%x/%x.blob", Prefix, uint64(oid), uint64(tid))
}

// ParseKey returns of which blob a key is; false for other keys.
func ParseKey(key string) (oid zodb.Oid, tid zodb.Tid, ok bool) {
	below, ok := strings.CutPrefix(key, Prefix)
	first, second, cut := strings.Cut(below, "/")
	second, named := strings.CutSuffix(second, ".blob")
	o, err := strconv.ParseUint(first, 16, 64)
	t, err2 := strconv.ParseUint(second, 16, 64)
	if !ok || !cut || !named || err != nil || err2 != nil {
		return 0, 0, false
	}
	oid, tid = zodb.Oid(o), zodb.Tid(t)
	return oid, tid, Key(oid, tid) == key
}

// Objects is an object store as the place of blobs, and a source.
type Objects struct{ Store *objectstore.Store }

func (o Objects) String() string { return "object store " + o.Store.String() }

// Keeps is Source.
func (Objects) Keeps() bool { return true }

// Each calls visit for each blob that the store has.
func (o Objects) Each(ctx context.Context, visit func(zodb.Oid, zodb.Tid, objectstore.Object)) error {
	for at, err := range o.Store.List(ctx, Prefix) {
		if err != nil {
			return err
		}
		if oid, tid, ok := ParseKey(at.Key); ok {
			visit(oid, tid, at)
		}
	}
	return nil
}

// Blobs calls visit for each blob that the store has.
func (o Objects) Blobs(ctx context.Context, visit func(zodb.Oid, zodb.Tid)) error {
	return o.Each(ctx, func(oid zodb.Oid, tid zodb.Tid, _ objectstore.Object) { visit(oid, tid) })
}

// Size is Source.
func (o Objects) Size(ctx context.Context, oid zodb.Oid, tid zodb.Tid) (int64, error) {
	at, err := o.Store.Stat(ctx, Key(oid, tid))
	return at.Size, missing(err, oid, tid)
}

func missing(err error, oid zodb.Oid, tid zodb.Tid) error {
	if errors.Is(err, objectstore.ErrNotExist) {
		return &zodb.POSKeyError{Oid: oid, Tid: tid, Blob: true}
	}
	return err
}

// Fetch is Source. It goes on after what is there, if the digest of the whole is right at the end, and else once more
// from the beginning.
func (o Objects) Fetch(ctx context.Context, oid zodb.Oid, tid zodb.Tid, into zodb.BlobPart) (int64, error) {
	at, err := o.Store.Stat(ctx, Key(oid, tid))
	if err != nil {
		return 0, missing(err, oid, tid)
	}
	kept, err := into.Size()
	if err != nil {
		return 0, err
	}
	if kept > at.Size || !at.Digest {
		kept = 0
	}
	sum, err := o.copy(ctx, at, into, kept)
	if err == nil && at.Digest && sum != at.SHA256 && kept > 0 {
		sum, err = o.copy(ctx, at, into, 0)
	}
	if err != nil {
		return 0, missing(err, oid, tid)
	}
	if at.Digest && sum != at.SHA256 {
		return 0, fmt.Errorf("%w: %s has SHA-256 %x, and has to have %x", objectstore.ErrDamaged, at.Key, sum,
			at.SHA256)
	}
	return at.Size, nil
}

// copy reads an object from an offset on, and returns the digest of the whole.
func (o Objects) copy(ctx context.Context, at objectstore.Object, into zodb.BlobPart, from int64) (
	d [sha256.Size]byte, err error) {
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(into, 0, from)); err != nil {
		return d, err
	}
	r, err := o.Store.Read(ctx, at.Key, from, -1)
	if err != nil {
		return d, err
	}
	n, err := io.CopyBuffer(io.MultiWriter(&partWriter{into, from}, sum), struct{ io.Reader }{r}, make([]byte, 256<<10))
	if err = errors.Join(err, r.Close()); err == nil && from+n != at.Size {
		err = fmt.Errorf("%w: %s has %d bytes, and %d have come", objectstore.ErrDamaged, at.Key, at.Size, from+n)
	}
	return [32]byte(sum.Sum(nil)), err
}

type partWriter struct {
	part zodb.BlobPart
	at   int64
}

func (w *partWriter) Write(b []byte) (int, error) {
	n, err := w.part.WriteAt(b, w.at)
	w.at += int64(n)
	return n, err
}
