package zeoload

import (
	"fmt"
	"io"

	"github.com/zrsd/zrsd/zodb"
)

// blobChunk is how much of a blob ZEO's client sends in a message.
const blobChunk = 59_000

// blobByte is what all blobs consist of.
const blobByte = 0xb1

// blobRecord is the record of every blob.
var blobRecord = []byte("\x80\x03cZODB.blob\nBlob\nq\x00.\x80\x03N.")

// StoreBlob commits a new object with a blob of size bytes, all the same.
func (c *Conn) StoreBlob(oid zodb.Oid, size int64) (zodb.Tid, error) {
	c.send(beginCall(), storeCall(oid, 0, blobRecord), blobStartCall())
	chunk := make([]byte, blobChunk)
	for i := range chunk {
		chunk[i] = blobByte
	}
	full := blobChunkCall(chunk)
	for ; size >= blobChunk; size -= blobChunk {
		c.send(full)
	}
	if size > 0 {
		c.send(blobChunkCall(chunk[:size]))
	}
	c.send(blobEndCall(oid, 0, blobRecord))
	if err := c.vote(); err != nil {
		return 0, err
	}
	return c.finish()
}

// FetchBlob asks for the blob of a revision and writes its content to w.
func (c *Conn) FetchBlob(oid zodb.Oid, tid zodb.Tid, w io.Writer) error {
	c.send(sendBlobCall(oid, tid))
	begun, ended := false, false
	for {
		a, err := c.receive()
		if err != nil {
			return err
		}
		switch string(a.method) {
		case "receiveBlobStart":
			begun = true
		case "receiveBlobStop":
			ended = true
		case "receiveBlobChunk":
			if err := a.chunk(oid, w); err != nil {
				return err
			}
		case string(replyName):
			if !a.failed && (!begun || !ended) {
				return fmt.Errorf("sendBlob: a reply, but begun: %v, ended: %v", begun, ended)
			}
			return a.answers(blobID, "sendBlob")
		}
	}
}

// chunk writes the content of a chunk: the bytes after an oid and a tid.
func (a *arrival) chunk(oid zodb.Oid, w io.Writer) error {
	_, rest, ok := cutString(a.rest)
	_, rest, ok2 := cutString(rest)
	content, _, ok3 := cutString(rest)
	if !ok || !ok2 || !ok3 {
		return fmt.Errorf("%w: a chunk of blob %v: %x", errShape, oid, a.rest[:min(len(a.rest), 40)])
	}
	_, err := w.Write(content)
	return err
}
