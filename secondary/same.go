package secondary

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"

	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/zodb"
)

// maxProof is how many bytes of data and blobs are compared: nobody fetches a large transaction with each connection.
const maxProof = 1 << 20

// errProved says that the first maxProof bytes of a transaction are the same, and that there are more.
var errProved = errors.New("the transaction is the same as far as it was compared")

// differs compares a transaction that the primary sent again with ours, the last one. It returns in what they differ,
// nothing when they say the same, and errProved when they do as far as they were compared. What is each side's own
// affair does not count: back pointers, links, blob files that one side has not, and the bytes of an extension that has
// the same content.
func (s *Secondary) differs(theirs zodb.Transaction) (what string, err error) {
	iterate := s.st.Iterate
	if s.opt.BlobsOnDemand { // it sends none either
		iterate = s.st.IterateRecords
	}
	it, err := iterate(theirs.Meta().Tid-1, false)
	if err != nil {
		return "", &localError{err}
	}
	defer closeQuietly(it) // read only
	ours, err := it.Next(context.Background())
	if err != nil {
		return "", &localError{err}
	}
	return differ(ours, theirs)
}

// differ does so for two transactions.
func differ(ours, theirs zodb.Transaction) (what string, err error) {
	a, b := ours.Meta(), theirs.Meta()
	switch {
	case !bytes.Equal(a.User, b.User):
		return "another user", nil
	case !bytes.Equal(a.Description, b.Description):
		return "another description", nil
	case !sameExtension(a.Extension, b.Extension):
		return "another extension", nil
	}
	for left := int64(maxProof); ; {
		what, more, err := differRecord(ours, theirs, &left)
		if err != nil || what != "" || !more {
			return what, err
		}
	}
}

// differRecord compares the next record of each side, and reports whether there was one.
func differRecord(ours, theirs zodb.Transaction, left *int64) (what string, more bool, err error) {
	a, err := nextOf(ours)
	if err != nil {
		return "", false, &localError{err}
	}
	b, err := nextOf(theirs)
	switch {
	case err != nil:
		return "", false, err
	case a == nil && b == nil:
		return "", false, nil
	case a == nil || b == nil:
		return "another number of records", false, nil
	case a.Oid != b.Oid:
		return fmt.Sprintf("oid %v here, %v there", a.Oid, b.Oid), true, nil
	}
	same, err := sameContent(a.Data, a.Size, b.Data, b.Size, left)
	switch {
	case err != nil || !same || b.Blob == nil:
	case a.Blob == nil:
		err = passOver(b.Blob, left)
	default:
		same, err = sameContent(a.Blob, a.BlobSize, b.Blob, b.BlobSize, left)
	}
	if err == nil && !same {
		what = fmt.Sprintf("oid %v has other content", a.Oid)
	}
	return what, true, err
}

// nextOf returns the next record, nil after the last.
func nextOf(txn zodb.Transaction) (*zodb.Record, error) {
	rec, err := txn.NextRecord()
	if errors.Is(err, io.EOF) {
		return nil, nil //nolint:nilnil // no record is an answer, and what both sides may have
	}
	return rec, err
}

// sameContent compares two readers, the first of them our own. The size of the other may not be known. An end that
// comes too early is a difference; whether the stream was cut there shows when it is read on. proof is how many bytes
// more are compared.
func sameContent(a io.Reader, sizeA int64, b io.Reader, sizeB int64, proof *int64) (bool, error) {
	if b == nil || a == nil || (sizeB != zodb.UnknownSize && sizeA != sizeB) {
		return a == nil && b == nil, nil
	}
	bufA := make([]byte, min(64<<10, sizeA))
	bufB := make([]byte, len(bufA))
	for left := sizeA; left > 0; left -= int64(len(bufA)) {
		if *proof -= int64(len(bufA)); *proof < 0 {
			return false, errProved
		}
		bufA, bufB = bufA[:min(left, int64(len(bufA)))], bufB[:min(left, int64(len(bufB)))]
		if _, err := io.ReadFull(a, bufA); err != nil {
			return false, &localError{err}
		}
		_, err := io.ReadFull(b, bufB)
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return false, nil
		case err != nil:
			return false, err
		case !bytes.Equal(bufA, bufB):
			return false, nil
		}
	}
	return atEnd(b)
}

// atEnd reports whether there is nothing more to read.
func atEnd(r io.Reader) (bool, error) {
	_, err := io.ReadFull(r, make([]byte, 1))
	if errors.Is(err, io.EOF) {
		return true, nil
	}
	return false, err
}

// sameExtension compares dictionaries by their content: over zrs2 their pickles are written anew.
func sameExtension(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	ours, okA := entries(a)
	theirs, okB := entries(b)
	return okA && okB && maps.Equal(ours, theirs) || sameValue(a, b)
}

// sameValue compares pickles of what is no dictionary.
func sameValue(a, b []byte) bool {
	var made [2][]byte
	for i, extension := range [][]byte{a, b} {
		v, err := pickle.Load(extension, pickle.Limits{})
		if err == nil {
			made[i], err = pickle.Dump(v, pickle.Proto1, pickle.Limits{})
		}
		if err != nil {
			return false
		}
	}
	return bytes.Equal(made[0], made[1])
}

// entries returns the pickles of the values of a dictionary by those of its keys. No bytes are an empty one.
func entries(extension []byte) (map[string]string, bool) {
	out := make(map[string]string)
	if len(extension) == 0 {
		return out, true
	}
	v, err := pickle.Load(extension, pickle.Limits{})
	dict, ok := v.(*pickle.Dict)
	if err != nil || !ok {
		return nil, false
	}
	for _, pair := range dict.Items {
		key, errKey := pickle.Dump(pair.Key, pickle.Proto1Fast, pickle.Limits{})
		value, errValue := pickle.Dump(pair.Value, pickle.Proto1Fast, pickle.Limits{})
		if errKey != nil || errValue != nil {
			return nil, false
		}
		out[string(key)] = string(value)
	}
	return out, true
}

// passOver reads r to its end, unless that is limit bytes away: then it is errProved.
func passOver(r io.Reader, limit *int64) error {
	n, err := io.CopyN(io.Discard, r, *limit)
	*limit -= n
	switch {
	case err == nil:
		return errProved
	case errors.Is(err, io.EOF):
		return nil
	}
	return err
}

// readOut reads the rest of a transaction, which is whole if that is nil. Where limit bytes are not the end of it, the
// error is errProved.
func readOut(txn zodb.Transaction, limit int64) error {
	for {
		rec, err := txn.NextRecord()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, r := range []io.Reader{rec.Data, rec.Blob} {
			if r == nil {
				continue
			}
			if err := passOver(r, &limit); err != nil {
				return err
			}
		}
	}
}
