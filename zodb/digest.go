package zodb

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
)

// A Digest identifies the content of one transaction as readers of the storage see it, independent of where the file
// keeps it. Equal transactions in two files have equal digests whatever their offsets, back pointers and neighbours; a
// pack may remove records and so change the digest of a transaction.
type Digest [sha256.Size]byte

// MarshalText makes JSON show 64 lower-case hexadecimal digits.
func (d Digest) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, d[:]), nil }

// UnmarshalText reads what MarshalText writes.
func (d *Digest) UnmarshalText(text []byte) error {
	var b Digest
	if len(text) != hex.EncodedLen(len(b)) {
		return fmt.Errorf("digest %.80q: want %d hexadecimal digits", text, hex.EncodedLen(len(b)))
	}
	if _, err := hex.Decode(b[:], text); err != nil {
		return fmt.Errorf("digest %.80q: %w", text, err)
	}
	*d = b
	return nil
}

// DigestOf reads txn to its end and returns its digest: SHA-256 over
//
//	tid(8) ulen(2) dlen(2) elen(2) user description extension
//	then per record  oid(8) tid(8) size(8, two's complement, -1 = none) data
//
// all numbers big-endian. Status and blobs are not part of it: a pack changes the one and removes files of the other.
func DigestOf(txn Transaction) (d Digest, err error) {
	h := sha256.New()
	m := txn.Meta()
	head, err := AppendDigestHead(nil, m)
	if err != nil {
		return d, err
	}
	h.Write(head)
	var buf []byte
	for rec, err := range Records(txn) {
		if err != nil {
			return d, fmt.Errorf("digest of transaction %v: %w", m.Tid, err)
		}
		head = AppendDigestRecord(head[:0], rec.Oid, rec.Tid, rec.Size)
		h.Write(head)
		if rec.Size <= 0 {
			continue
		}
		if buf, err = copyData(h, rec, buf); err != nil {
			return d, fmt.Errorf("digest of transaction %v: oid %v: %w", m.Tid, rec.Oid, err)
		}
	}
	h.Sum(d[:0])
	return d, nil
}

// copyBuffer is how much of a record is read at a time, at most.
const copyBuffer = 32 << 10

// copyData writes the data of a record, by way of buf, which it returns larger where it was too small.
func copyData(w io.Writer, rec *Record, buf []byte) ([]byte, error) {
	if small, ok := rec.Data.(*bytes.Reader); ok && int64(small.Len()) == rec.Size {
		_, err := small.WriteTo(w)
		return buf, err
	}
	if want := min(rec.Size, copyBuffer); int64(len(buf)) < want {
		buf = make([]byte, want)
	}
	n, err := io.CopyBuffer(w, io.LimitReader(rec.Data, rec.Size), buf)
	if err == nil && n < rec.Size {
		err = io.EOF
	}
	return buf, err
}

// AppendDigestHead appends what the digest of a transaction covers before its records, for who reads them by itself.
func AppendDigestHead(b []byte, m *TxnMeta) ([]byte, error) {
	b = binary.BigEndian.AppendUint64(b, uint64(m.Tid))
	for _, field := range [][]byte{m.User, m.Description, m.Extension} {
		if len(field) > MaxMetaLen {
			return b, &TooLongError{Field: "metadata", Len: len(field)}
		}
		b = binary.BigEndian.AppendUint16(b, uint16(len(field)))
	}
	b = append(b, m.User...)
	b = append(b, m.Description...)
	return append(b, m.Extension...), nil
}

// AppendDigestRecord appends what the digest covers of a record before its data. Size is NoData where it has none.
func AppendDigestRecord(b []byte, oid Oid, tid Tid, size int64) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(oid))
	b = binary.BigEndian.AppendUint64(b, uint64(tid))
	return binary.BigEndian.AppendUint64(b, uint64(size))
}
