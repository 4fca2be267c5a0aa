package client

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/zodb"
)

// blobChunk is how much of a blob goes into a message, as with ZEO's own client.
const blobChunk = 59_000

// StoreBlob is Store with a blob, which is read to its end. After an error of blob itself the transaction can only be
// aborted.
func (t *Txn) StoreBlob(ctx context.Context, oid zodb.Oid, serial zodb.Tid, data []byte, blob io.Reader) error {
	if err := t.c.tell(ctx, "storeBlobStart"); err != nil {
		return err
	}
	chunk := make([]byte, blobChunk)
	for {
		n, err := io.ReadFull(blob, chunk)
		if n > 0 {
			if err := t.c.tell(ctx, "storeBlobChunk", pickle.Bytes(chunk[:n])); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return t.c.tell(ctx, "storeBlobEnd", idValue(oid), idValue(serial), pickle.Bytes(data), txnID)
		case err != nil:
			return fmt.Errorf("reading the blob of oid %v: %w", oid, err)
		}
	}
}

// A blobRevision names a blob.
type blobRevision struct {
	oid zodb.Oid
	tid zodb.Tid
}

// A fetch is a blob that the server sends.
type fetch struct {
	w            io.Writer
	begun, ended bool
	err          error // of w
}

// FetchBlob writes the blob of a revision to w. The goroutine that reads does that: all other answers wait for w. The
// error is a *zodb.POSKeyError when there is no such blob.
func (c *Conn) FetchBlob(ctx context.Context, oid zodb.Oid, tid zodb.Tid, w io.Writer) error {
	f, id := &fetch{w: w}, blobRevision{oid, tid}
	c.mu.Lock()
	if c.blobs[id] != nil {
		c.mu.Unlock()
		return fmt.Errorf("the blob of oid %v, tid %v is being fetched already", oid, tid)
	}
	c.blobs[id] = f
	c.mu.Unlock()
	_, err := c.call(ctx, "sendBlob", idValue(oid), idValue(tid))
	if c.Err() != nil {
		c.reader.Wait() // it may be writing to w
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.blobs, id)
	switch {
	case err != nil:
		return err
	case f.err != nil:
		return fmt.Errorf("writing the blob of oid %v, tid %v: %w", oid, tid, f.err)
	case !f.begun || !f.ended:
		return fmt.Errorf("the blob of oid %v, tid %v: its beginning has come: %t, its end: %t: %w", oid, tid, f.begun,
			f.ended, errReply)
	}
	return nil
}

// receiveBlob takes a part of a blob: its oid, its tid and, of a chunk, its bytes.
func (c *Conn) receiveBlob(method string, args pickle.Tuple) error {
	if len(args) < 2 {
		return fmt.Errorf("%s: %d arguments: %w", method, len(args), errReply)
	}
	oid, err := idOf(args[0])
	tid, err2 := tidOf(args[1])
	if err := errors.Join(err, err2); err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	c.mu.Lock()
	f := c.blobs[blobRevision{zodb.Oid(oid), tid}]
	c.mu.Unlock()
	switch {
	case f == nil: // nobody waits for it
	case method == "receiveBlobStart":
		f.begun = true
	case method == "receiveBlobStop":
		f.ended = true
	case len(args) != 3:
		return fmt.Errorf("%s: %d arguments: %w", method, len(args), errReply)
	default:
		chunk, ok := args[2].(pickle.Bytes)
		if !ok {
			return fmt.Errorf("%s: a %T for the bytes: %w", method, args[2], errReply)
		}
		if f.err == nil {
			_, f.err = f.w.Write(chunk)
		}
	}
	return nil
}
