package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/zrsd/zrsd/internal/hashchain"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// A Remote is the source of a storage of another node, which is read over its replication port.
type Remote struct {
	dial   protocol.Dialer
	secret protocol.Secret
	name   string // of who reads, for the node's operator

	mu     sync.Mutex // of what follows: one question at a time
	chain  *hashchain.Remote
	stream *protocol.RangeStream // of the file
	asked  time.Time
	node   Node // as it answered then
}

// NewRemote returns the source of the node to which dial connects. The caller closes it.
func NewRemote(dial protocol.Dialer, secret protocol.Secret, name string) *Remote {
	return &Remote{dial: dial, secret: secret, name: name}
}

const (
	nodeEvery   = 5 * time.Second  // how often the node is asked who it is
	readTimeout = 60 * time.Second // for one answer
)

// Node is Source.
func (r *Remote) Node(ctx context.Context) (Node, error) {
	if time.Since(r.asked) < nodeEvery {
		return r.node, nil
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	answer, err := protocol.Ask(ctx, r.dial, r.secret, &protocol.StatusRequest{
		Version: protocol.MessageVersion, Name: r.name,
	}, protocol.SessionOptions{})
	if err != nil {
		return Node{}, fmt.Errorf("ask the node who it is: %w", err)
	}
	st, is := answer.(*protocol.NodeStatus)
	if !is {
		return Node{}, fmt.Errorf("the node answered the question who it is with a %T", answer)
	}
	r.asked = time.Now()
	r.node = Node{
		Storage: st.StorageID, Epochs: st.Epochs, ID: readerOf(st.Node).String(), Name: r.name, Primary: st.IsPrimary,
	}
	return r.node, nil
}

// readerOf is the id of who archives from a node, and is not the node.
func readerOf(node string) (id NodeID) {
	sum := sha256.Sum256([]byte("archives from " + node))
	copy(id[:], sum[:])
	id[6], id[8] = id[6]&0x0f|0x80, id[8]&0x3f|0x80 // version 8, of one's own making
	return id
}

// Close ends the connection.
func (r *Remote) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.disconnect()
}

func (r *Remote) disconnect() error {
	var err error
	if r.stream != nil {
		err = r.stream.Close()
	}
	if r.chain != nil {
		err = errors.Join(err, r.chain.Close())
	}
	r.stream, r.chain = nil, nil
	return err
}

// connected has a connection. The mutex is held.
func (r *Remote) connected(ctx context.Context) error {
	if r.chain != nil && r.chain.Alive() {
		return nil
	}
	_ = r.disconnect() // it is dead
	var err error
	if r.chain, err = hashchain.Dial(ctx, r.dial, r.secret, r.name); err != nil {
		r.chain = nil
		return err
	}
	_, err = r.chain.Span(ctx) // a connection begins with such a question
	return unlessUnknown(err)
}

// unlessUnknown drops an error that only says that a value is not known.
func unlessUnknown(err error) error {
	var unknown *hashchain.UnknownError
	if errors.As(err, &unknown) {
		return nil
	}
	return err
}

// open opens the file for who has one in which tid ends at pos; nil where it ends elsewhere. The mutex is held.
func (r *Remote) open(ctx context.Context, tid zodb.Tid, pos int64) (*protocol.RangesHead, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	for attempt := 0; ; attempt++ {
		head, err := r.openOnce(ctx, tid, pos)
		if err == nil || attempt > 0 || ctx.Err() != nil {
			return head, err
		}
		_ = r.disconnect() // a connection serves only so many streams, and for so long
	}
}

func (r *Remote) openOnce(ctx context.Context, tid zodb.Tid, pos int64) (*protocol.RangesHead, error) {
	if err := r.connected(ctx); err != nil {
		return nil, err
	}
	if r.stream != nil {
		_ = r.stream.Close() // only read
		r.stream = nil
	}
	stream, head, err := r.chain.Ranges(ctx, tid, pos)
	switch {
	case err != nil:
		return nil, err
	case head.Code == protocol.CodeDiverged:
		return nil, stream.Close()
	case head.Code != 0:
		return nil, errors.Join(fmt.Errorf("the node gives no parts of its data file: %s", head.Text), stream.Close())
	}
	r.stream = stream
	return head, nil
}

// File is Source.
func (r *Remote) File(ctx context.Context) (File, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	head, err := r.open(ctx, 0, magicLen)
	if err == nil && head == nil {
		err = errors.New("the node's data file has no beginning")
	}
	if err != nil {
		return nil, err
	}
	return &remoteFile{r: r, end: head.End, last: head.Last}, nil
}

// History is Source.
func (r *Remote) History(ctx context.Context, base, tid zodb.Tid) (History, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.connected(ctx); err != nil {
		return History{}, err
	}
	if base == 0 {
		span, err := r.chain.Span(ctx)
		if err != nil {
			return History{}, unknownIfSo(tid, err)
		}
		base = span.Base
	}
	at, err := r.chain.At(ctx, base, tid)
	if err != nil {
		return History{}, unknownIfSo(tid, err)
	}
	if at.Tid != tid {
		return History{}, &UnknownError{tid, errors.New("there is no such transaction")}
	}
	return History{base, at.Count, Digest(at.Value)}, nil
}

// Content is Source. A node is not asked for the content of one transaction.
func (r *Remote) Content(context.Context, zodb.Tid) (Digest, error) { return Digest{}, nil }

// Blob is Source.
func (r *Remote) Blob(ctx context.Context, oid zodb.Oid, tid zodb.Tid) (Blob, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	size, first, err := r.blobPart(ctx, oid, tid, 0)
	switch {
	case err != nil:
		return nil, err
	case size == protocol.NoBlob:
		return nil, &zodb.POSKeyError{Oid: oid, Tid: tid, Blob: true}
	case int64(len(first)) == size:
		return &memoryBlob{bytes.NewReader(first)}, nil
	}
	return newSpool(func(f io.Writer) error {
		for part, pos := first, int64(0); ; {
			if _, err := f.Write(part); err != nil {
				return err
			}
			if pos += int64(len(part)); pos == size {
				return nil
			}
			got, next, err := r.blobPart(ctx, oid, tid, pos)
			if err == nil && (got != size || len(next) == 0) {
				err = fmt.Errorf("the blob of oid %v tid %v has changed while it was read", oid, tid)
			}
			if err != nil {
				return err
			}
			part = next
		}
	})
}

func (r *Remote) blobPart(
	ctx context.Context,
	oid zodb.Oid,
	tid zodb.Tid,
	pos int64,
) (size int64, b []byte, err error) {
	q := &protocol.BlobRequest{Oid: oid, Tid: tid, Offset: pos, Length: protocol.MaxRange}
	err = r.request(ctx, q, func(s *protocol.RangeStream) (err error) {
		size, b, err = s.ReceiveBlob(q, nil)
		return err
	})
	return size, b, err
}

// request sends one request on the stream of the file. The mutex is held.
func (r *Remote) request(ctx context.Context, q any, answer func(*protocol.RangeStream) error) error {
	s := r.stream
	if s == nil {
		return errors.New("the connection to the node is lost")
	}
	defer context.AfterFunc(ctx, func() { _ = s.Close() })()
	err := s.Deadlines(time.Now().Add(readTimeout))
	if err == nil {
		err = s.Request(q)
	}
	if err == nil {
		err = s.Flush()
	}
	if err == nil {
		err = answer(s)
	}
	if err != nil {
		_ = r.disconnect() // whatever comes on it is not the answer to the next request
	}
	return err
}

type memoryBlob struct{ *bytes.Reader }

func (*memoryBlob) Close() error { return nil }

// A remoteFile is the data file of a node as it was when it was opened or renewed.
type remoteFile struct {
	r    *Remote
	end  int64
	last zodb.Tid
}

func (f *remoteFile) End() int64     { return f.end }
func (f *remoteFile) Last() zodb.Tid { return f.last }
func (f *remoteFile) Number() uint64 { return 0 }
func (f *remoteFile) Close() error   { return nil }

// EndsAt is File.
func (f *remoteFile) EndsAt(ctx context.Context, tid zodb.Tid, pos int64) (bool, error) {
	f.r.mu.Lock()
	defer f.r.mu.Unlock()
	head, err := f.r.open(ctx, tid, pos)
	return head != nil, err
}

// Renew is File.
func (f *remoteFile) Renew(ctx context.Context) (current bool, err error) {
	f.r.mu.Lock()
	defer f.r.mu.Unlock()
	tid, pos := f.last, f.end
	if tid == 0 {
		pos = magicLen
	}
	head, err := f.r.open(ctx, tid, pos)
	if err != nil {
		return false, err
	}
	if head == nil { // what this file had after the last look is not to be had any more
		return false, nil
	}
	f.end, f.last = head.End, head.Last
	return true, nil
}

// ReadAt is File.
func (f *remoteFile) ReadAt(b []byte, pos int64) (n int, err error) {
	f.r.mu.Lock()
	defer f.r.mu.Unlock()
	for n < len(b) && pos < f.end {
		q := &protocol.RangeRequest{From: pos, Length: min(int64(len(b)-n), f.end-pos, protocol.MaxRange)}
		err := f.r.request(context.Background(), q, func(s *protocol.RangeStream) error {
			_, err := s.ReceiveRange(q, b[n:]) // that is where they come: there is room for all
			return err
		})
		if err != nil {
			return n, err
		}
		n += int(q.Length)
		pos += q.Length
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}
