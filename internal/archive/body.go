package archive

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"
)

// Keys are for whom the content of an archive is encrypted, and who reads it.
type Keys struct {
	Recipients []age.Recipient // none: it is not encrypted
	Identities []age.Identity  // none: what is encrypted cannot be read
}

// ErrNoIdentity says that content is encrypted and nothing here can read it.
var ErrNoIdentity = errors.New("it is encrypted: give the file with the age identity, with --identity")

// A packer compresses and encrypts. It may be used concurrently.
type packer struct {
	keys Keys
	*codecs
}

// codecs are what packers share.
type codecs struct {
	enc     *zstd.Encoder
	dec     *zstd.Decoder
	streams sync.Pool // of *zstd.Decoder, for what is decompressed as it comes
	inputs  sync.Pool // of *bufio.Reader
}

const inputLen = 256 << 10

// buffered returns r with a buffer; free has it used again.
func (c *codecs) buffered(r io.Reader) *bufio.Reader {
	in, is := c.inputs.Get().(*bufio.Reader)
	if !is {
		return bufio.NewReaderSize(r, inputLen)
	}
	in.Reset(r)
	return in
}

func (c *codecs) free(in *bufio.Reader) {
	in.Reset(nil)
	c.inputs.Put(in)
}

var sharedCodecs = sync.OnceValues(func() (*codecs, error) {
	// Digests say more than a checksum of zstd's.
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(2),
		zstd.WithEncoderCRC(false))
	if err != nil {
		return nil, err
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxRange+maxSegBlobs*entryLen),
		zstd.WithDecoderConcurrency(4), zstd.IgnoreChecksum(true))
	return &codecs{enc: enc, dec: dec}, err
})

func newPacker(keys Keys) (*packer, error) {
	shared, err := sharedCodecs()
	return &packer{keys, shared}, err
}

// compress appends b compressed.
func (p *packer) compress(to, b []byte) []byte { return p.enc.EncodeAll(b, to) }

// decompress returns what becomes of b, in a buffer of the length that it has to have.
func (p *packer) decompress(b, into []byte) ([]byte, error) {
	out, err := p.dec.DecodeAll(b, into[:0])
	if err != nil {
		return nil, fmt.Errorf("it cannot be decompressed: %w", err)
	}
	if len(out) != len(into) {
		return nil, fmt.Errorf("it becomes %d bytes, want %d", len(out), len(into))
	}
	return out, nil
}

func (p *packer) encrypts() bool { return len(p.keys.Recipients) > 0 }

// pack appends the body of a segment.
func (p *packer) pack(to, content []byte) ([]byte, error) {
	if !p.encrypts() {
		return p.compress(to, content), nil
	}
	out := bytes.NewBuffer(to)
	w, err := age.Encrypt(out, p.keys.Recipients...)
	if err != nil {
		return nil, fmt.Errorf("encrypt a segment: %w", err)
	}
	if _, err := w.Write(p.compress(nil, content)); err != nil {
		return nil, fmt.Errorf("encrypt a segment: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("encrypt a segment: %w", err)
	}
	return out.Bytes(), nil
}

// unpack passes what a body has on, and verifies it: its content, or what is stored where that cannot be read.
func (p *packer) unpack(h *Header, body *io.LimitedReader, to io.Writer) error {
	if h.Age && len(p.keys.Identities) == 0 {
		sum := sha256.New()
		if _, err := io.Copy(sum, body); err != nil || body.N > 0 {
			return cutOff(h, cmp.Or(err, io.ErrUnexpectedEOF))
		}
		if got := Digest(sum.Sum(nil)); got != h.BodySum {
			return damaged(h.ID.name(), "its body has digest %x…, want %x…", got[:4], h.BodySum[:4])
		}
		return nil
	}
	in := &failing{r: body}
	content := &verified{to: to, left: h.To - h.From, sum: sha256.New()}
	err := p.decode(in, content, h.Age)
	switch {
	case in.err != nil: // of the store
		return in.err
	case content.err != nil: // of who takes it
		return content.err
	case err != nil && in.ended && body.N > 0:
		return cutOff(h, io.ErrUnexpectedEOF)
	case err != nil:
		return damaged(h.ID.name(), "%v", err)
	case content.left != 0:
		return damaged(h.ID.name(), "its content has not %d bytes", h.To-h.From)
	}
	if got := Digest(content.sum.Sum(nil)); got != h.Range {
		return damaged(h.ID.name(), "its content has digest %x…, want %x…", got[:4], h.Range[:4])
	}
	return nil
}

// decode decrypts and decompresses.
func (p *packer) decode(body io.Reader, to io.Writer, encrypted bool) error {
	if encrypted {
		plain, err := p.decrypt(body)
		if err != nil {
			return err
		}
		body = plain
	}
	dec, is := p.streams.Get().(*zstd.Decoder)
	if !is {
		var err error
		dec, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxRange),
			zstd.IgnoreChecksum(true))
		if err != nil {
			return err
		}
	}
	defer func() {
		_ = dec.Reset(nil) // only forgets the reader
		p.streams.Put(dec)
	}()
	err := dec.Reset(body)
	if err == nil {
		_, err = dec.WriteTo(to)
	}
	if err != nil {
		return fmt.Errorf("it cannot be decompressed: %w", err)
	}
	return nil
}

// failing remembers an error of a reader.
type failing struct {
	r     io.Reader
	err   error
	ended bool
}

func (f *failing) Read(b []byte) (int, error) {
	n, err := f.r.Read(b)
	switch {
	case errors.Is(err, io.EOF):
		f.ended = true
	case err != nil:
		f.err = err
	}
	return n, err
}

// verified passes so many bytes on, not one more, and computes their digest.
type verified struct {
	to   io.Writer
	left int64
	sum  hash.Hash
	err  error // of to
}

var errTooMuch = errors.New("there is more of it than its header says")

func (v *verified) Write(b []byte) (int, error) {
	if v.left -= int64(len(b)); v.left < 0 {
		return 0, errTooMuch
	}
	v.sum.Write(b)
	n, err := v.to.Write(b)
	if err != nil {
		v.err = err
	}
	return n, err
}

func (p *packer) decrypt(r io.Reader) (io.Reader, error) {
	if len(p.keys.Identities) == 0 {
		return nil, ErrNoIdentity
	}
	plain, err := age.Decrypt(r, p.keys.Identities...)
	if err != nil {
		return nil, fmt.Errorf("it cannot be decrypted: %w", err)
	}
	return plain, nil
}
