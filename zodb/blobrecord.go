package zodb

import "bytes"

// BlobHeadLen is how many leading bytes of a record IsBlobRecord needs to decide.
const BlobHeadLen = 64

var blobClass = []byte("cZODB.blob\nBlob\n")

// IsBlobRecord reports whether a record that begins with head is one of a blob: its first pickle is exactly the class
// ZODB.blob.Blob, optionally remembered in the memo. Nothing is unpickled. Subclasses and protocols above 3 are no
// blobs, as in ZODB.
func IsBlobRecord(head []byte) bool {
	if len(head) >= 2 && head[0] == 0x80 {
		if head[1] > 3 {
			return false
		}
		head = head[2:]
	}
	rest, ok := bytes.CutPrefix(head, blobClass)
	if !ok || len(rest) == 0 {
		return false
	}
	switch rest[0] {
	case 'q':
		rest = cut(rest, 2)
	case 'r':
		rest = cut(rest, 5)
	case 'p':
		rest = cutPut(rest[1:])
	}
	return len(rest) > 0 && rest[0] == '.'
}

func cut(b []byte, n int) []byte {
	if len(b) < n {
		return nil
	}
	return b[n:]
}

// cutPut skips the decimal memo key and the newline after a text PUT.
func cutPut(b []byte) []byte {
	n := 0
	for n < len(b) && b[n] >= '0' && b[n] <= '9' {
		n++
	}
	if n == 0 || n == len(b) || b[n] != '\n' {
		return nil
	}
	return b[n+1:]
}
