package archive

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/zrsd/zrsd/internal/objectstore"
)

// ErrEmpty says that there is no archive at a place.
var ErrEmpty = errors.New("there is no archive here yet: check the URL; an archive is made by the first node that " +
	"writes to it")

// An Archive is what is at a place. It may be used concurrently.
type Archive struct {
	store    Store
	packer   *packer
	Identity Identity
}

// Open reads what the archive at a place is of. ErrEmpty: there is none.
func Open(ctx context.Context, store Store, keys Keys) (*Archive, error) {
	p, err := newPacker(keys)
	if err != nil {
		return nil, err
	}
	a := &Archive{store: store, packer: p}
	b, err := read(ctx, store, identityName, 0, -1, maxManifest)
	if missing(err) {
		return nil, fmt.Errorf("%s: %w", store, ErrEmpty)
	}
	if err != nil {
		return nil, err
	}
	return a, decodeDocument(identityName, b, &a.Identity)
}

// found makes the archive of a storage, or returns that which is there already.
func found(ctx context.Context, store Store, keys Keys, storage, by string, recipients []string) (*Archive, error) {
	a, err := Open(ctx, store, keys)
	if !errors.Is(err, ErrEmpty) {
		return a, err
	}
	id := Identity{
		Format: format, Archive: rand.Text(), Storage: storage, Made: time.Now().UTC().Truncate(time.Second), By: by,
		Recipients: recipients,
	}
	b, err := encodeDocument(&id)
	if err != nil {
		return nil, err
	}
	if _, err := store.Put(
		ctx,
		identityName,
		bytes.NewReader(b),
	); err != nil &&
		!errors.Is(err, objectstore.ErrExists) {
		return nil, err
	}
	return Open(ctx, store, keys)
}

// has reports whether there is an object.
func (a *Archive) has(ctx context.Context, name string) (bool, error) {
	_, err := a.store.Stat(ctx, name)
	if missing(err) {
		return false, nil
	}
	return err == nil, err
}

// String is where the archive is.
func (a *Archive) String() string { return a.store.String() }

// numbers returns the generations that have a manifest, in order.
func (a *Archive) numbers(ctx context.Context) (list []uint64, err error) {
	for o, err := range a.store.List(ctx, generations) {
		if err != nil {
			return nil, err
		}
		if n, ok := parseGeneration(o.Key); ok {
			list = append(list, n)
		}
	}
	slices.Sort(list)
	return list, nil
}

// manifest reads that of a generation.
func (a *Archive) manifest(ctx context.Context, n uint64) (*Manifest, error) {
	b, err := read(ctx, a.store, generationName(n), 0, -1, maxManifest)
	if err != nil {
		return nil, err
	}
	m, err := decodeManifest(n, b)
	if err == nil && (m.Archive != a.Identity.Archive || m.Storage != a.Identity.Storage) {
		err = damaged(generationName(n), "it is of another archive")
	}
	return m, err
}

// header reads the fixed part of a segment. Its absence is objectstore.ErrNotExist.
func (a *Archive) header(ctx context.Context, id SegmentID) (*Header, error) {
	b, err := read(ctx, a.store, id.name(), 0, HeaderLen, HeaderLen)
	if err != nil {
		return nil, err
	}
	return decodeHeader(id, b)
}

// A Segment is a whole segment, verified.
type Segment struct {
	*Header
	Blobs  []BlobEntry
	Bytes  []byte // of the data file; nil: they were not asked for, or are closed
	Closed bool   // they are encrypted and there is no identity
}

// segment reads a segment as a whole.
func (a *Archive) segment(ctx context.Context, id SegmentID) (s *Segment, err error) {
	r, err := a.store.Read(ctx, id.name(), 0, -1)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return a.decodeSegment(id, r)
}

// decodeSegment reads a segment as a whole from its object.
func (a *Archive) decodeSegment(id SegmentID, r io.Reader) (*Segment, error) {
	var all *bytes.Buffer
	s, err := a.stream(id, r, func(h *Header) (io.Writer, error) {
		all = bytes.NewBuffer(make([]byte, 0, h.To-h.From))
		return all, nil
	})
	if err == nil && !s.Closed {
		s.Bytes = all.Bytes()
	}
	return s, err
}

// stream reads a segment from its object, and verifies all of it. Begin, which is told what is to come, returns where
// the bytes of the data file go: they are verified only when stream has returned. It reads no further than the object
// goes by its header, and one byte.
func (a *Archive) stream(id SegmentID, r io.Reader, begin func(*Header) (io.Writer, error)) (*Segment, error) {
	in := a.packer.buffered(r)
	defer a.packer.free(in)
	head := make([]byte, HeaderLen)
	n, err := io.ReadFull(in, head)
	if err != nil && !tooShort(err) {
		return nil, err
	}
	h, err := decodeHeader(id, head[:n])
	if err != nil {
		return nil, err
	}
	to, err := begin(h)
	if err != nil {
		return nil, err
	}
	s := &Segment{Header: h, Closed: h.Age && len(a.packer.keys.Identities) == 0}
	table := make([]byte, h.TableLen)
	if _, err := io.ReadFull(in, table); err != nil {
		return nil, cutOff(h, err)
	}
	if s.Blobs, err = a.decodeBlobs(h, table); err != nil {
		return nil, err
	}
	body := &io.LimitedReader{R: in, N: h.BodyLen}
	if err := a.packer.unpack(h, body, to); err != nil {
		return nil, err
	}
	if body.N > 0 { // after the end of what is encrypted or compressed
		return nil, damaged(id.name(), "its body ends %d bytes before its end", body.N)
	}
	return s, noMore(id, in)
}

// tooShort reports whether an error of io.ReadFull says that there are fewer bytes.
func tooShort(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

// cutOff is the error for an object that ends too early, or cannot be read.
func cutOff(h *Header, err error) error {
	if tooShort(err) {
		return damaged(h.ID.name(), "it ends before the %d bytes that it has by its header", h.size())
	}
	return err
}

// noMore returns an error where the object of a segment goes on after what its header says.
func noMore(id SegmentID, r io.Reader) error {
	_, err := io.ReadFull(r, make([]byte, 1))
	switch {
	case tooShort(err):
		return nil
	case err == nil:
		return damaged(id.name(), "it has more bytes than its header says")
	}
	return err
}

func (a *Archive) decodeBlobs(h *Header, table []byte) ([]BlobEntry, error) {
	if sum := sumOf(table); sum != h.TableSum {
		return nil, damaged(h.ID.name(), "its table has digest %x…, want %x…", sum[:4], h.TableSum[:4])
	}
	if h.Blobs == 0 {
		return nil, nil
	}
	plain, err := a.packer.decompress(table, make([]byte, int64(h.Blobs)*entryLen))
	if err != nil {
		return nil, damaged(h.ID.name(), "its table: %v", err)
	}
	list, err := decodeTable(plain, h.Blobs)
	if err != nil {
		return nil, damaged(h.ID.name(), "%v", err)
	}
	return list, nil
}

// blobsOf reads the table of a segment only.
func (a *Archive) blobsOf(ctx context.Context, h *Header) ([]BlobEntry, error) {
	if h.Blobs == 0 {
		return nil, nil
	}
	b, err := read(ctx, a.store, h.ID.name(), HeaderLen, h.TableLen, maxStored)
	if err != nil {
		return nil, err
	}
	return a.decodeBlobs(h, b)
}

// encodeSegment completes a header and returns the object, in a buffer that grows where it is too small.
func (p *packer) encodeSegment(h *Header, content []byte, list []BlobEntry, buf []byte) ([]byte, error) {
	b := slices.Grow(buf[:0], HeaderLen)[:HeaderLen]
	if len(list) > 0 {
		b = p.compress(b, encodeTable(list))
	}
	at := len(b)
	b, err := p.pack(b, content)
	if err != nil {
		return nil, err
	}
	table, body := b[HeaderLen:at], b[at:]
	h.Range, h.Age, h.Blobs = sumOf(content), p.encrypts(), uint64(len(list))
	h.After = chainAfter(h.Before, h.From, h.To, h.Range)
	h.TableLen, h.TableSum = int64(len(table)), sumOf(table)
	h.BodyLen, h.BodySum = int64(len(body)), sumOf(body)
	copy(b, h.encode())
	return b, nil
}

// randomName is that of a new blob object.
func randomName() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails: it ends the process where the system has no randomness
	return binary.BigEndian.Uint64(b[:])
}
