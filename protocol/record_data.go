package protocol

import (
	"fmt"

	"github.com/zrsd/zrsd/zodb"
)

// A RecordRequest asks on a stream of ranges for a part of the data that a transaction has of an object, and for their
// size. They are the same in all copies of a history, wherever in the file. It may be sent where the node's last
// HistoryAnswer has Data.
type RecordRequest struct {
	Oid    zodb.Oid `msgpack:"oid"`
	Tid    zodb.Tid `msgpack:"tid"`
	Offset int64    `msgpack:"offset"`
	Length int64    `msgpack:"length"` // at most MaxRange; what is behind the end of the data is left out
	Bare   bool     `msgpack:"bare,omitempty"`
	// Text asks for the user, the description and the extension of the transaction in place of the data, one after the
	// other.
	Text bool `msgpack:"text,omitempty"`
}

// NoRecord is the size where the node has no such revision, or one without data, or cannot read it.
const NoRecord = NoBlob

// check reports a request for what cannot be there.
func (r *RecordRequest) check() error {
	if r.Offset < 0 || r.Length < 0 || r.Length > MaxRange {
		return fmt.Errorf("%w: %d bytes at %d of a record", errCorruptMessage, r.Length, r.Offset)
	}
	return nil
}

func (r *RecordRequest) what() string {
	of := "data"
	if r.Text {
		of = "transaction's text"
	}
	return fmt.Sprintf("position %d of the %s of oid %v tid %v", r.Offset, of, r.Oid, r.Tid)
}

// AnswerRecord sends the head of the answer to r, about data of this size, and returns the bytes that have to follow,
// by Write.
func (s *RangeStream) AnswerRecord(r *RecordRequest, size int64, data []byte) (rest []byte, err error) {
	return s.answerPart(kindRecord, &partAnswer{
		Oid: r.Oid, Tid: r.Tid, Offset: r.Offset, Size: size, Bare: r.Bare, Text: r.Text,
	}, data)
}

// ReceiveRecord waits for the answer to r and returns the size of the data, NoRecord where there are none, and the
// bytes of the part in buf, which grows where it is too small.
func (s *RangeStream) ReceiveRecord(r *RecordRequest, buf []byte) (size int64, data []byte, err error) {
	head, err := s.recordHead(r)
	if err != nil {
		return 0, nil, err
	}
	data, err = s.receive(r.what(), head.Length, head.Packed, head.Digest, buf)
	return head.Size, data, err
}

// CompareRecord waits for the answer to r, which is Bare, and returns the size of the data there, and whether these
// bytes are the same.
func (s *RangeStream) CompareRecord(r *RecordRequest, have []byte) (size int64, same bool, err error) {
	head, err := s.recordHead(r)
	if err != nil {
		return 0, false, err
	}
	same, err = s.compare(r.what(), head.Length, head.Packed, head.Digest, head.Bare, have)
	return head.Size, same, err
}

func (s *RangeStream) recordHead(r *RecordRequest) (*partAnswer, error) {
	return s.partHead(kindRecord, &partAnswer{
		Oid: r.Oid, Tid: r.Tid, Offset: r.Offset, Length: r.Length, Bare: r.Bare, Text: r.Text,
	}, r.what())
}
