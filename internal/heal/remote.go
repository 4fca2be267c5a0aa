package heal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/zrsd/zrsd/internal/hashchain"
	"github.com/zrsd/zrsd/internal/vfs"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// A Peer is another node with a copy of the storage.
type Peer struct {
	Name string
	Ask  func(ctx context.Context) (*hashchain.Remote, error)
}

const (
	partLen   = 256 << 10        // bytes that are asked for at a time
	partsKept = 8                // that are kept of what was received
	patience  = 30 * time.Second // for one answer, unless Options say another
)

var errReadOnly = errors.New("the file of another node cannot be written")

// A remoteFile is the data file of another node. It is for one goroutine.
type remoteFile struct {
	ctx    context.Context // it lives inside one call
	stream *protocol.RangeStream
	end    int64
	name   string
	answer time.Duration // bounds the time for one answer
	kept   []part
	stop   func() bool
}

type part struct {
	at   int64
	data []byte
}

// openRemote opens the data file of a node, in which transaction tid has to end at pos.
func (h *healer) openRemote(ctx context.Context, r *hashchain.Remote, peer string, tid zodb.Tid, pos int64) (
	*remoteFile, error) {
	ctx, cancel := context.WithTimeout(ctx, h.opt.Answer)
	defer cancel()
	stream, head, err := r.Ranges(ctx, tid, pos)
	if err != nil {
		return nil, err
	}
	if head.Code != 0 {
		return nil, errors.Join(&OtherHistoryError{Peer: peer, Text: fmt.Sprintf("%.300q", head.Text)}, stream.Close())
	}
	return &remoteFile{stream: stream, end: head.End, name: peer, answer: h.opt.Answer}, nil
}

// while has reads end with ctx.
func (f *remoteFile) while(ctx context.Context) {
	f.ctx = ctx
	f.stop = context.AfterFunc(ctx, func() { _ = f.stream.Close() })
}

// ReadAt is io.ReaderAt.
func (f *remoteFile) ReadAt(b []byte, off int64) (n int, err error) {
	for n < len(b) {
		at := off + int64(n)
		if at < 0 || at >= f.end {
			return n, io.EOF
		}
		p, err := f.part(at - at%partLen)
		if err != nil {
			return n, fmt.Errorf("read %s at %d: %w", f.name, at, err)
		}
		n += copy(b[n:], p.data[at-p.at:])
	}
	return n, nil
}

// part returns the part that begins at an offset.
func (f *remoteFile) part(at int64) (part, error) {
	for _, p := range f.kept {
		if p.at == at {
			return p, nil
		}
	}
	if err := context.Cause(f.ctx); err != nil {
		return part{}, err
	}
	req := &protocol.RangeRequest{From: at, Length: min(partLen, f.end-at)}
	err := errors.Join(f.stream.Deadlines(time.Now().Add(f.answer)), f.stream.Request(req), f.stream.Flush())
	if err != nil {
		return part{}, err
	}
	data, err := f.stream.ReceiveRange(req, nil)
	if err != nil {
		return part{}, err
	}
	f.kept = append(f.kept[max(len(f.kept)-partsKept+1, 0):], part{at, data})
	return f.kept[len(f.kept)-1], nil
}

// Close is vfs.File.
func (f *remoteFile) Close() error {
	if f.stop != nil {
		f.stop()
	}
	return f.stream.Close()
}

// Name, Stat, WriteAt, Truncate and Sync are vfs.File.
func (f *remoteFile) Name() string                       { return f.name }
func (f *remoteFile) Stat() (fs.FileInfo, error)         { return remoteInfo{f}, nil }
func (f *remoteFile) WriteAt([]byte, int64) (int, error) { return 0, errReadOnly }
func (f *remoteFile) Truncate(int64) error               { return errReadOnly }
func (f *remoteFile) Sync() error                        { return errReadOnly }

type remoteInfo struct{ f *remoteFile }

func (i remoteInfo) Name() string     { return i.f.name }
func (i remoteInfo) Size() int64      { return i.f.end }
func (remoteInfo) Mode() fs.FileMode  { return 0o444 }
func (remoteInfo) ModTime() time.Time { return time.Time{} }
func (remoteInfo) IsDir() bool        { return false }
func (remoteInfo) Sys() any           { return nil }

// A remoteDisk is one on which the data file is that of another node. Who closes the file leaves it open for the next
// one.
type remoteDisk struct {
	vfs.FS
	file *remoteFile
}

func (d *remoteDisk) OpenFile(string, int, fs.FileMode) (vfs.File, error) {
	return openedRemote{d.file}, nil
}

type openedRemote struct{ *remoteFile }

func (openedRemote) Close() error { return nil }

// A remoteBlob reads a blob of another node from the front.
type remoteBlob struct {
	f    *remoteFile
	req  protocol.BlobRequest
	size int64
	data []byte
	err  error // of the stream
}

// openBlob asks for a blob. Its size is protocol.NoBlob when the node has none.
func (f *remoteFile) openBlob(oid zodb.Oid, tid zodb.Tid) (*remoteBlob, error) {
	b := &remoteBlob{f: f, req: protocol.BlobRequest{Oid: oid, Tid: tid, Length: partLen}}
	return b, b.fill()
}

func (b *remoteBlob) fill() error {
	f := b.f
	err := errors.Join(f.stream.Deadlines(time.Now().Add(f.answer)), f.stream.Request(&b.req), f.stream.Flush())
	if err != nil {
		return err
	}
	size, data, err := f.stream.ReceiveBlob(&b.req, nil)
	if err != nil {
		return err
	}
	b.size, b.data = size, data
	b.req.Offset += int64(len(data))
	return nil
}

// Read is io.Reader.
func (b *remoteBlob) Read(p []byte) (int, error) {
	if len(b.data) == 0 {
		if b.req.Offset >= b.size {
			return 0, io.EOF
		}
		if b.err = b.fill(); b.err != nil {
			return 0, b.err
		}
		if len(b.data) == 0 {
			return 0, io.ErrUnexpectedEOF
		}
	}
	n := copy(p, b.data)
	b.data = b.data[n:]
	return n, nil
}
