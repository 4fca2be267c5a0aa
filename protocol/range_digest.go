package protocol

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"

	"github.com/cespare/xxhash/v2"

	"github.com/zrsd/zrsd/zodb"
)

// The digests in the head of an answer. They tell what was changed on its way by accident: who can change an answer can
// change its digest too, against which there is TLS. That the bytes are those of the history, the hash chain proves.
const (
	// DigestXX is the 64 bits of XXH64, big-endian, before 24 bytes 0. It costs a seventh of SHA-256 where
	// processors have instructions for that.
	DigestXX = "xxh64"
	// DigestSHA is SHA-256. Nodes that know no other ask for none.
	DigestSHA = "sha256"
)

// RangeDigest returns the digest for a peer that wants this one.
func RangeDigest(wanted string) string {
	if wanted == DigestXX {
		return DigestXX
	}
	return DigestSHA
}

// A rangeHash computes digests of one kind, for one goroutine. A hash never fails.
type rangeHash func(data []byte) zodb.Digest

// newRangeHash returns nil for a digest that is not known.
func newRangeHash(name string) rangeHash {
	switch name {
	case DigestXX:
		return func(data []byte) (d zodb.Digest) {
			binary.BigEndian.PutUint64(d[:], xxhash.Sum64(data))
			return d
		}
	case DigestSHA:
		h := sha256.New()
		return func(data []byte) zodb.Digest { return sum(h, data) }
	}
	return nil
}

func sum(h hash.Hash, data []byte) (d zodb.Digest) {
	h.Reset()
	h.Write(data)
	h.Sum(d[:0])
	return d
}
