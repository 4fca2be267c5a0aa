package zodb

import (
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
	head := binary.BigEndian.AppendUint64(nil, uint64(m.Tid))
	for _, field := range [][]byte{m.User, m.Description, m.Extension} {
		if len(field) > MaxMetaLen {
			return d, &TooLongError{Field: "metadata", Len: len(field)}
		}
		head = binary.BigEndian.AppendUint16(head, uint16(len(field)))
	}
	h.Write(head)
	h.Write(m.User)
	h.Write(m.Description)
	h.Write(m.Extension)
	for rec, err := range Records(txn) {
		if err != nil {
			return d, fmt.Errorf("digest of transaction %v: %w", m.Tid, err)
		}
		head = binary.BigEndian.AppendUint64(head[:0], uint64(rec.Oid))
		head = binary.BigEndian.AppendUint64(head, uint64(rec.Tid))
		head = binary.BigEndian.AppendUint64(head, uint64(rec.Size))
		h.Write(head)
		if rec.Size <= 0 {
			continue
		}
		if _, err := io.CopyN(h, rec.Data, rec.Size); err != nil {
			return d, fmt.Errorf("digest of transaction %v: oid %v: %w", m.Tid, rec.Oid, err)
		}
	}
	h.Sum(d[:0])
	return d, nil
}
