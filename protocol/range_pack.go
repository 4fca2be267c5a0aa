package protocol

import (
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// PackZstd has the bytes of each answer compressed by itself, where that makes them fewer. It is for thin lines: on a
// fast one it takes longer than sending them.
const PackZstd = "zstd"

// RangePacking returns how answers are compressed for a peer that wants this: as it wants, or not at all.
func RangePacking(wanted string) string {
	if wanted == PackZstd {
		return PackZstd
	}
	return ""
}

// A packer compresses answers, or takes compressed ones. It is for one goroutine.
type packer struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
	buf []byte
}

// packsWith returns a packer of this name that sends, or one that receives; nil for none.
func packsWith(name string, sends bool) (p *packer, err error) {
	switch {
	case name == "":
		return nil, nil //nolint:nilnil // nothing is compressed
	case name != PackZstd:
		return nil, fmt.Errorf("answers are compressed with %q, and only %s is known; run the same version of zrsd on "+
			"both sides", truncate(name, maxPreface), PackZstd)
	}
	p = new(packer)
	if sends {
		p.enc, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest),
			zstd.WithEncoderCRC(false))
	} else {
		p.dec, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(MaxRange))
	}
	return p, err
}

// pack returns data compressed, valid until it is called again; nil where that is not shorter.
func (p *packer) pack(data []byte) []byte {
	if p == nil || p.enc == nil {
		return nil
	}
	p.buf = p.enc.EncodeAll(data, p.buf[:0])
	if len(p.buf) >= len(data) {
		return nil
	}
	return p.buf
}

// room returns a buffer for n bytes to unpack.
func (p *packer) room(n int64) []byte {
	if int64(cap(p.buf)) < n {
		p.buf = make([]byte, n)
	}
	p.buf = p.buf[:n]
	return p.buf
}

// unpack fills into, which is as long as what was packed.
func (p *packer) unpack(packed, into []byte) error {
	data, err := p.dec.DecodeAll(packed, into[:0])
	switch {
	case err != nil:
		return err
	case len(data) != len(into):
		return fmt.Errorf("%d bytes", len(data))
	}
	copy(into, data) // the same memory, unless it did not suffice for a moment
	return nil
}
