package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/zrsd/zrsd/internal/objectstore"
)

// A Store keeps objects: an *objectstore.Store. Its methods may be called concurrently, try again what may pass, and
// end with ctx.
type Store interface {
	// Put makes an object. When it returns nil the object is durable, as a whole; objectstore.ErrExists: there is
	// another one of this name, with other content.
	Put(ctx context.Context, key string, content objectstore.Content) (objectstore.Object, error)
	Stat(ctx context.Context, key string) (objectstore.Object, error)
	// Read reads an object from an offset on: so many bytes, or fewer where it is shorter; -1: to its end.
	Read(ctx context.Context, key string, from, length int64) (io.ReadCloser, error)
	// List yields the objects whose keys begin with prefix, sorted by key.
	List(ctx context.Context, prefix string) iter.Seq2[objectstore.Object, error]
	Delete(ctx context.Context, key string) error
	String() string
}

// read returns so many bytes of an object, which never has more than limit from there on.
func read(ctx context.Context, store Store, key string, from, length, limit int64) (b []byte, err error) {
	r, err := store.Read(ctx, key, from, length)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	b, err = io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = damaged(key, "it has more than %d bytes", limit)
	}
	return b, err
}

// missing reports whether an error says that there is no such object.
func missing(err error) bool { return errors.Is(err, objectstore.ErrNotExist) }

// A LostError says that an object is not there that others refer to.
type LostError struct {
	Name string
	For  string // what refers to it
	Err  error
}

func (e *LostError) Error() string {
	return fmt.Sprintf("%s of the archive is missing, and %s refers to it", e.Name, e.For)
}

func (e *LostError) Unwrap() error { return e.Err }

// refusedByStore reports whether a store keeps an object that was to be deleted, as under an object lock.
func refusedByStore(err error) bool {
	return errors.Is(err, objectstore.ErrPermission) || errors.Is(err, objectstore.ErrRefused)
}
