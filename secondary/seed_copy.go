package secondary

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"sync/atomic"

	"github.com/zrsd/zrsd/filestorage"
	"github.com/zrsd/zrsd/protocol"
	"github.com/zrsd/zrsd/zodb"
)

// A SeedCopy is a copy of the primary's files that was made in some other way: a backup that was restored, an rsync, a
// copy of the files of a running server. What is the same at the primary, by its digests, is taken from there, and only
// the rest is sent. Nothing of it is believed, and nothing is written to it.
type SeedCopy struct {
	Data io.ReaderAt // of a Data.fs
	Size int64
	// OpenBlob opens the blob of a revision; an error says that it is not to be had. Nil: there are none.
	OpenBlob func(zodb.Oid, zodb.Tid) (CopiedBlob, error)

	taken, differs atomic.Int64
}

// A CopiedBlob is an open blob of a SeedCopy.
type CopiedBlob interface {
	io.ReaderAt
	io.Closer
	Stat() (fs.FileInfo, error)
}

// Taken is how many bytes of the copy were right and have been taken.
func (c *SeedCopy) Taken() int64 { return c.taken.Load() }

// maxDiffering is how many parts of the data file may differ before the copy is not looked at any more: it is not the
// beginning of the primary's file, as after a pack of one of them.
const maxDiffering = 64

// has reports whether the copy has something at an offset of the data file.
func (c *SeedCopy) has(pos int64) bool {
	return c != nil && pos < c.Size && c.differs.Load() < maxDiffering
}

// read reads a part into buf. Where that is not possible, the part is empty, and differs.
func (c *SeedCopy) read(r *protocol.RangeRequest, buf []byte) []byte {
	return readPart(c.Data, r.From, r.Length, buf)
}

func readPart(f io.ReaderAt, pos, length int64, buf []byte) []byte {
	if int64(cap(buf)) < length {
		buf = make([]byte, length)
	}
	n, err := f.ReadAt(buf[:length], pos)
	if err != nil && !errors.Is(err, io.EOF) {
		n = 0
	}
	return buf[:n]
}

// otherHistory says that a copy does not begin as the primary's file does.
func otherHistory(here, there []byte) error {
	tid := func(b []byte) zodb.Tid {
		return zodb.Tid(binary.BigEndian.Uint64(append(bytes.Clone(b), make([]byte, 8)...)))
	}
	return unfit("the files to begin with are no copy of those of the primary: they begin with transaction %v, the "+
		"primary's with %v; they are of another storage, or one of the two was packed after the copy was made: give "+
		"another copy, or none", tid(here), tid(there))
}

// errDiffers says that a blob of a copy is not that of the primary.
var errDiffers = errors.New("the blob of the copy is not that of the primary")

// fromFiles has taken what the primary has as well of the blobs that are to be had here, and returns what was staged of
// that, and the revisions of the others.
func (b *seedBlobs) fromFiles(stream *protocol.RangeStream, revisions []filestorage.BlobID,
	open func(zodb.Oid, zodb.Tid) (CopiedBlob, error), take func(*copiedFile, io.Reader) (zodb.StagedBlob, error)) (
	staged []zodb.StagedBlob, others []filestorage.BlobID, err error) {
	var files []*copiedFile
	defer func() {
		for _, f := range files {
			closeQuietly(f.file)
		}
	}()
	for _, r := range revisions {
		f := openCopied(open, r)
		if f == nil {
			others = append(others, r)
			continue
		}
		files = append(files, f)
		if f.size > smallBlob {
			continue
		}
		if err := stream.Request(f.request(0, smallBlob)); err != nil {
			return nil, nil, &remoteError{err}
		}
	}
	if err := stream.Flush(); err != nil {
		return nil, nil, &remoteError{err}
	}
	for _, small := range []bool{true, false} { // in the order of the requests
		for _, f := range files {
			if small != (f.size <= smallBlob) {
				continue
			}
			one, err := compared(stream, f, take)
			switch {
			case errors.Is(err, errDiffers):
				others = append(others, f.BlobID)
				continue
			case err != nil:
				return staged, nil, err
			}
			if one != nil {
				staged = append(staged, one)
			}
		}
	}
	return staged, others, nil
}

// A copiedFile is an open blob of a copy.
type copiedFile struct {
	filestorage.BlobID
	file CopiedBlob
	size int64
}

// openCopied returns nil where the copy does not have the blob.
func openCopied(open func(zodb.Oid, zodb.Tid) (CopiedBlob, error), r filestorage.BlobID) *copiedFile {
	file, err := open(r.Oid, r.Tid)
	if err != nil {
		return nil
	}
	info, err := file.Stat()
	if err != nil {
		closeQuietly(file)
		return nil
	}
	return &copiedFile{r, file, info.Size()}
}

func (f *copiedFile) request(offset, length int64) *protocol.BlobRequest {
	return &protocol.BlobRequest{Oid: f.Oid, Tid: f.Tid, Offset: offset, Length: length, Bare: true}
}

// compared has a blob taken, as far as the primary confirms it. A small one has been asked about already.
func compared(stream *protocol.RangeStream, f *copiedFile, take func(*copiedFile, io.Reader) (zodb.StagedBlob, error)) (
	zodb.StagedBlob, error) {
	if f.size <= smallBlob {
		have := readPart(f.file, 0, f.size, nil)
		same, err := stream.CompareBlob(f.request(0, smallBlob), f.size, have)
		switch {
		case err != nil:
			return nil, &remoteError{err}
		case !same:
			return nil, errDiffers
		}
		return taken(take(f, bytes.NewReader(have)))
	}
	in := &comparedBlob{stream: stream, f: f}
	one, err := taken(take(f, in))
	if in.err == nil {
		return one, err
	}
	if err := in.drain(); err != nil {
		return nil, &remoteError{err}
	}
	return nil, in.err
}

func taken(one zodb.StagedBlob, err error) (zodb.StagedBlob, error) {
	if err != nil {
		return nil, &localError{err}
	}
	return one, nil
}

// stageCopied stages a blob of the copy.
func (b *seedBlobs) stageCopied(f *copiedFile, content io.Reader) (zodb.StagedBlob, error) {
	one, err := b.s.st.StageBlob(f.Oid, f.Tid, content)
	if err == nil {
		b.s.opt.SeedCopy.taken.Add(f.size)
	}
	return one, err
}

// A comparedBlob reads a blob of a copy, each part after the primary has confirmed it.
type comparedBlob struct {
	stream *protocol.RangeStream
	f      *copiedFile
	next   int64                   // of the next request
	asked  []*protocol.BlobRequest // whose answers are on their way
	data   []byte                  // the rest of a part that was confirmed
	buf    []byte
	done   int64
	err    error
}

func (p *comparedBlob) Read(b []byte) (int, error) {
	if p.err == nil && len(p.data) == 0 {
		if p.done == p.f.size {
			return 0, io.EOF
		}
		p.err = p.fill()
	}
	if p.err != nil {
		return 0, p.err
	}
	n := copy(b, p.data)
	p.data, p.done = p.data[n:], p.done+int64(n)
	return n, nil
}

func (p *comparedBlob) fill() error {
	for ; len(p.asked) < blobsAhead && p.next < p.f.size; p.next += blobPart {
		r := p.f.request(p.next, blobPart)
		if err := p.stream.Request(r); err != nil {
			return &remoteError{err}
		}
		p.asked = append(p.asked, r)
	}
	if err := p.stream.Flush(); err != nil {
		return &remoteError{err}
	}
	r := p.asked[0]
	p.asked = p.asked[1:]
	p.buf = readPart(p.f.file, r.Offset, min(blobPart, p.f.size-r.Offset), p.buf)
	same, err := p.stream.CompareBlob(r, p.f.size, p.buf)
	switch {
	case err != nil:
		return &remoteError{err}
	case !same:
		return errDiffers
	}
	p.data = p.buf
	return nil
}

// drain takes the answers that are still to come.
func (p *comparedBlob) drain() error {
	for _, r := range p.asked {
		if _, err := p.stream.CompareBlob(r, p.f.size, nil); err != nil {
			return err
		}
	}
	p.asked = nil
	return nil
}
