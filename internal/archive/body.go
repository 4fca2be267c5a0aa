package archive

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
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
	enc  *zstd.Encoder
	dec  *zstd.Decoder
}

var sharedPacker = sync.OnceValues(func() (*packer, error) {
	// Digests say more than a checksum of zstd's.
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(2),
		zstd.WithEncoderCRC(false))
	if err != nil {
		return nil, err
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxRange+maxSegBlobs*entryLen),
		zstd.WithDecoderConcurrency(4), zstd.IgnoreChecksum(true))
	return &packer{enc: enc, dec: dec}, err
})

func newPacker(keys Keys) (*packer, error) {
	shared, err := sharedPacker()
	if err != nil {
		return nil, err
	}
	return &packer{keys, shared.enc, shared.dec}, nil
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

// unpack returns what a body has, in one of the buffers, and verifies it.
func (p *packer) unpack(h *Header, body []byte, buffers spares) ([]byte, error) {
	if h.Age {
		plain, err := p.decrypt(bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		b := bytes.NewBuffer(make([]byte, 0, len(body)+bytes.MinRead)) // it is longer than what is in it
		if _, err := b.ReadFrom(plain); err != nil {
			return nil, fmt.Errorf("it cannot be decrypted: %w", err)
		}
		body = b.Bytes()
	}
	content, err := p.decompress(body, buffers.get(h.To-h.From))
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(content); sum != h.Range {
		return nil, fmt.Errorf("its content has digest %x…, want %x…", sum[:4], h.Range[:4])
	}
	return content, nil
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
