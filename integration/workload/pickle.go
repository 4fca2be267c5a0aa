package workload

import (
	"encoding/binary"

	"github.com/zrsd/zrsd/zodb"
)

const (
	mappingClass = "cpersistent.mapping\nPersistentMapping\n"
	blobClass    = "cZODB.blob\nBlob\n"
	proto        = "\x80\x03"
)

// blobRecord is what ZODB writes for a blob: the class, and a state of None.
var blobRecord = []byte(proto + blobClass + "q\x00." + proto + "N.")

// mappingRecord pickles a PersistentMapping with one key whose value is given as pickle opcodes.
func mappingRecord(key string, value []byte) []byte {
	rec := []byte(proto + mappingClass + "q\x00." + proto + "}" + text("data") + "}" + text(key))
	rec = append(rec, value...)
	return append(rec, "ss."...)
}

// mappingOverhead is how much larger than its content a record of contentRecord is.
var mappingOverhead = len(contentRecord(nil))

// contentRecord pickles a PersistentMapping that holds content as bytes.
func contentRecord(content []byte) []byte {
	value := append([]byte("B"), binary.LittleEndian.AppendUint32(nil, uint32(len(content)))...)
	return mappingRecord("content", append(value, content...))
}

// rootRecord pickles the root object: a PersistentMapping with a list of references.
func rootRecord(mappings, blobs []zodb.Oid) []byte {
	value := []byte("](")
	for _, oid := range mappings {
		value = append(value, reference(oid, mappingClass)...)
	}
	for _, oid := range blobs {
		value = append(value, reference(oid, blobClass)...)
	}
	return mappingRecord("objects", append(value, 'e'))
}

// reference is a persistent reference as ZODB writes it: the oid with the class, as a persistent id.
func reference(oid zodb.Oid, class string) []byte {
	id := oid.Bytes()
	return append(append([]byte("(C\x08"), id[:]...), class+"tQ"...)
}

// text pickles a short string.
func text(s string) string {
	return string(binary.LittleEndian.AppendUint32([]byte("X"), uint32(len(s)))) + s
}
