package protocol

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/zrsd/zrsd/zodb"
)

// Ranges is the capability to send, and to take, parts of the data file as they are. A secondary names it in its
// hello, a primary in its welcome. Then the secondary may open streams of kind StreamRanges.
const Ranges = "ranges"

// RangesAtOnce is the capability of a primary to take all streams of ranges of a secondary as soon as it has sent its
// welcome, and requests on each of them before the head. Without it only the first stream may be opened before its
// head has come, with no request, and all in all there may be no more than RangeStreamsOneByOne.
const RangesAtOnce = "ranges-at-once"

// How many streams of ranges one session may have.
const (
	MaxRangeStreams      = 24
	RangeStreamsOneByOne = 4
)

// Bounds of a stream of ranges.
const (
	MaxRange = 4 << 20 // bytes that one answer may carry

	maxRangeMessage = 4096 // a request, or the head of an answer, without the bytes
)

// The messages of a stream of ranges.
const (
	kindRanges = "ranges" // the primary's answer to the header
	kindRange  = "range"
	kindBlob   = "blob"
	kindRecord = "record"
)

// A RangesHead is the primary's answer to the header of a stream of ranges. With a Code nothing follows it, and the
// secondary may open another stream.
type RangesHead struct {
	Code   Code     `msgpack:"code"` // 0: the ranges are to be had
	Text   string   `msgpack:"text"`
	End    int64    `msgpack:"end"`    // of what can be asked for: the end of transaction Last
	Last   zodb.Tid `msgpack:"last"`   // the last transaction in it
	Digest string   `msgpack:"digest"` // how the digests are computed: DigestXX or DigestSHA
	Pack   string   `msgpack:"pack,omitempty"`
	// BlobCache says that the node has a part of the blobs, and may drop any of them at any time.
	BlobCache bool `msgpack:"blob_cache,omitempty"`
}

// A RangeRequest asks for a part of the data file.
type RangeRequest struct {
	From   int64 `msgpack:"from"`
	Length int64 `msgpack:"length"` // at most MaxRange
	// Bare says that the digest is enough, to compare with. Older primaries send the bytes as well.
	Bare bool `msgpack:"bare,omitempty"`
}

// A rangeAnswer is the head of the answer; Length bytes follow, or Packed ones that become as many, or none where it is
// Bare.
type rangeAnswer struct {
	From   int64       `msgpack:"from"`
	Length int64       `msgpack:"length"`
	Digest zodb.Digest `msgpack:"digest"`
	Bare   bool        `msgpack:"bare,omitempty"`
	Packed int64       `msgpack:"packed,omitempty"`
}

// A BlobRequest asks for a part of a blob, and for its size.
type BlobRequest struct {
	Oid    zodb.Oid `msgpack:"oid"`
	Tid    zodb.Tid `msgpack:"tid"`
	Offset int64    `msgpack:"offset"`
	Length int64    `msgpack:"length"` // at most MaxRange; what is behind the end of the blob is left out
	Bare   bool     `msgpack:"bare,omitempty"`
}

// NoBlob is the size of a blob that the primary does not have.
const NoBlob = -1

// A partAnswer is the head of the answer to a BlobRequest or a RecordRequest; bytes follow as after a rangeAnswer.
type partAnswer struct {
	Oid    zodb.Oid    `msgpack:"oid"`
	Tid    zodb.Tid    `msgpack:"tid"`
	Offset int64       `msgpack:"offset"`
	Length int64       `msgpack:"length"`
	Size   int64       `msgpack:"size"` // of the whole; NoBlob or NoRecord: there is none
	Digest zodb.Digest `msgpack:"digest"`
	Bare   bool        `msgpack:"bare,omitempty"`
	Packed int64       `msgpack:"packed,omitempty"`
	Text   bool        `msgpack:"text,omitempty"` // of a RecordRequest
}

// A RangeError says that an answer on a stream of ranges is not the one to the request, or that its bytes did not
// arrive as they were sent. None of them was used.
type RangeError struct {
	What string // which part
	Want string
	Got  string
}

func (e *RangeError) Error() string {
	return fmt.Sprintf("the stream of ranges is damaged at %s: want %s, got %s", e.What, e.Want, e.Got)
}

// A RangeStream is a stream of kind StreamRanges after its header. One goroutine may write to it while another one
// reads from it. The caller closes the stream.
type RangeStream struct {
	conn *patientConn
	r    *bufio.Reader
	w    *bufio.Writer
	buf  []byte    // of the reader
	hash rangeHash // as the head says
	pack *packer   // likewise; nil: nothing is compressed
}

// NewRangeStream returns a RangeStream on conn.
func NewRangeStream(conn net.Conn) *RangeStream {
	c := &patientConn{Conn: conn}
	return &RangeStream{
		conn: c, r: bufio.NewReaderSize(c, 16<<10), w: bufio.NewWriterSize(c, 16<<10),
		hash: newRangeHash(DigestSHA),
	}
}

// SendHead sends the answer to the header. The answers to requests have the digest that it names.
func (s *RangeStream) SendHead(h *RangesHead) error {
	if h.Code == 0 {
		s.hash = newRangeHash(h.Digest)
		var err error
		if s.pack, err = packsWith(h.Pack, true); err != nil {
			return err
		}
	}
	if err := s.write(kindRanges, h); err != nil {
		return err
	}
	return s.Flush()
}

// ReceiveHead waits for the answer to the header.
func (s *RangeStream) ReceiveHead() (*RangesHead, error) {
	h := new(RangesHead)
	if err := s.read(kindRanges, h); err != nil {
		return nil, err
	}
	if h.Code != 0 {
		return h, nil
	}
	if s.hash = newRangeHash(h.Digest); s.hash == nil {
		return nil, fmt.Errorf("the primary has digests %q for its ranges, and this secondary knows only %s and %s; "+
			"run the same version of zrsd on both sides", truncate(h.Digest, maxPreface), DigestXX, DigestSHA)
	}
	var err error
	s.pack, err = packsWith(h.Pack, false)
	return h, err
}

// Request writes a *RangeRequest, a *BlobRequest or a *RecordRequest, which leaves with the next Flush, or before.
func (s *RangeStream) Request(request any) error {
	switch r := request.(type) {
	case *RangeRequest:
		return s.write(kindRange, r)
	case *BlobRequest:
		return s.write(kindBlob, r)
	case *RecordRequest:
		return s.write(kindRecord, r)
	}
	return fmt.Errorf("%T is no request for a range", request)
}

// Flush sends what has been written.
func (s *RangeStream) Flush() error {
	if err := s.w.Flush(); err != nil {
		return fmt.Errorf("writing to a stream of ranges: %w", err)
	}
	return nil
}

// Waiting reports whether more requests have arrived already.
func (s *RangeStream) Waiting() bool { return s.r.Buffered() > 0 }

// Await waits for the first byte of the next request. After a deadline it can be called again.
func (s *RangeStream) Await() error {
	if _, err := s.r.Peek(1); errors.Is(err, io.EOF) {
		return io.EOF
	} else if err != nil {
		return fmt.Errorf("waiting for a request on a stream of ranges: %w", err)
	}
	return nil
}

// ReceiveRequest waits for the next request: a *RangeRequest, a *BlobRequest or a *RecordRequest, whose lengths and
// offsets are possible. The end of the stream is io.EOF.
func (s *RangeStream) ReceiveRequest() (any, error) {
	kind, body, err := s.next()
	if err != nil {
		return nil, err
	}
	switch kind {
	case kindRange:
		r := new(RangeRequest)
		if err := unmarshalBody(body, r); err != nil {
			return nil, err
		}
		if r.From < 0 || r.Length < 1 || r.Length > MaxRange {
			return nil, fmt.Errorf("%w: a range of %d bytes at %d", errCorruptMessage, r.Length, r.From)
		}
		return r, nil
	case kindBlob:
		r := new(BlobRequest)
		if err := unmarshalBody(body, r); err != nil {
			return nil, err
		}
		if r.Offset < 0 || r.Length < 0 || r.Length > MaxRange {
			return nil, fmt.Errorf("%w: %d bytes at %d of a blob", errCorruptMessage, r.Length, r.Offset)
		}
		return r, nil
	case kindRecord:
		r := new(RecordRequest)
		if err := unmarshalBody(body, r); err != nil {
			return nil, err
		}
		return r, r.check()
	}
	return nil, fmt.Errorf("%w: %q", ErrUnknownMessage, truncate(kind, maxPreface))
}

// AnswerRange sends the head of the answer to r, and returns the bytes that have to follow, by Write.
func (s *RangeStream) AnswerRange(r *RangeRequest, data []byte) (rest []byte, err error) {
	rest, packed := s.rest(data, r.Bare)
	return rest, s.write(kindRange, &rangeAnswer{
		From: r.From, Length: int64(len(data)), Digest: s.hash(data), Bare: r.Bare, Packed: packed,
	})
}

// rest returns what follows the head of an answer, and how long that is when it is compressed.
func (s *RangeStream) rest(data []byte, bare bool) (rest []byte, packed int64) {
	if bare {
		return nil, 0
	}
	if short := s.pack.pack(data); short != nil {
		return short, int64(len(short))
	}
	return data, 0
}

// AnswerBlob does the same for a request about a blob of this size.
func (s *RangeStream) AnswerBlob(r *BlobRequest, size int64, data []byte) (rest []byte, err error) {
	return s.answerPart(kindBlob, &partAnswer{
		Oid: r.Oid, Tid: r.Tid, Offset: r.Offset, Size: size, Bare: r.Bare,
	}, data)
}

func (s *RangeStream) answerPart(kind string, a *partAnswer, data []byte) (rest []byte, err error) {
	a.Length, a.Digest = int64(len(data)), s.hash(data)
	rest, a.Packed = s.rest(data, a.Bare)
	return rest, s.write(kind, a)
}

// Write sends bytes of the answer whose head was sent last.
func (s *RangeStream) Write(data []byte) (int, error) { return s.w.Write(data) }

// ReceiveRange waits for the answer to r and returns its bytes in buf, which grows where it is too small. They are
// what the primary sent.
func (s *RangeStream) ReceiveRange(r *RangeRequest, buf []byte) ([]byte, error) {
	head, err := s.rangeHead(r)
	if err != nil {
		return nil, err
	}
	return s.receive(r.what(), head.Length, head.Packed, head.Digest, buf)
}

// CompareRange waits for the answer to r, which is Bare, and reports whether the primary has the same bytes.
func (s *RangeStream) CompareRange(r *RangeRequest, have []byte) (same bool, err error) {
	head, err := s.rangeHead(r)
	if err != nil {
		return false, err
	}
	return s.compare(r.what(), head.Length, head.Packed, head.Digest, head.Bare, have)
}

func (s *RangeStream) rangeHead(r *RangeRequest) (*rangeAnswer, error) {
	head := new(rangeAnswer)
	if err := s.read(kindRange, head); err != nil {
		return nil, err
	}
	if head.From != r.From || head.Length != r.Length || head.Bare && !r.Bare {
		return nil, &RangeError{
			What: r.what(), Want: fmt.Sprintf("%d bytes", r.Length),
			Got: fmt.Sprintf("%d bytes at %d", head.Length, head.From),
		}
	}
	return head, nil
}

// compare compares with bytes here. Those that come all the same are passed.
func (s *RangeStream) compare(what string, length, packed int64, digest zodb.Digest, bare bool, have []byte) (
	bool, error) {
	if !bare {
		if _, err := s.receive(what, length, packed, digest, nil); err != nil {
			return false, err
		}
	}
	return int64(len(have)) == length && s.hash(have) == digest, nil
}

// ReceiveBlob waits for the answer to r and returns the size of the blob, NoBlob where there is none, and the bytes of
// the part in buf, which grows where it is too small.
func (s *RangeStream) ReceiveBlob(r *BlobRequest, buf []byte) (size int64, data []byte, err error) {
	head, err := s.blobHead(r)
	if err != nil {
		return 0, nil, err
	}
	data, err = s.receive(r.what(), head.Length, head.Packed, head.Digest, buf)
	return head.Size, data, err
}

// CompareBlob waits for the answer to r, which is Bare, and reports whether the primary has the same bytes in a blob
// of this size.
func (s *RangeStream) CompareBlob(r *BlobRequest, size int64, have []byte) (same bool, err error) {
	head, err := s.blobHead(r)
	if err != nil {
		return false, err
	}
	same, err = s.compare(r.what(), head.Length, head.Packed, head.Digest, head.Bare, have)
	return same && head.Size == size, err
}

func (s *RangeStream) blobHead(r *BlobRequest) (*partAnswer, error) {
	return s.partHead(kindBlob, &partAnswer{
		Oid: r.Oid, Tid: r.Tid, Offset: r.Offset, Length: r.Length, Bare: r.Bare,
	}, r.what())
}

// partHead waits for an answer to what was asked for: asked has the fields of the request.
func (s *RangeStream) partHead(kind string, asked *partAnswer, what string) (*partAnswer, error) {
	head := new(partAnswer)
	if err := s.read(kind, head); err != nil {
		return nil, err
	}
	want := min(asked.Length, max(head.Size-asked.Offset, 0))
	if head.Oid != asked.Oid || head.Tid != asked.Tid || head.Offset != asked.Offset || head.Text != asked.Text ||
		head.Length != want || head.Size < NoBlob || head.Bare && !asked.Bare {
		return nil, &RangeError{
			What: what, Want: fmt.Sprintf("%d bytes of it", asked.Length),
			Got: fmt.Sprintf("%d of %d bytes at %d of oid %v tid %v", head.Length, head.Size, head.Offset, head.Oid,
				head.Tid),
		}
	}
	return head, nil
}

func (r *RangeRequest) what() string { return fmt.Sprintf("position %d of the data file", r.From) }

func (r *BlobRequest) what() string {
	return fmt.Sprintf("position %d of the blob of oid %v tid %v", r.Offset, r.Oid, r.Tid)
}

// receive reads so many bytes, which were asked for, or fewer that become as many, and checks them.
func (s *RangeStream) receive(what string, length, packed int64, digest zodb.Digest, buf []byte) ([]byte, error) {
	if int64(cap(buf)) < length {
		buf = make([]byte, length)
	}
	buf = buf[:length]
	into := buf
	if packed != 0 {
		if s.pack == nil || packed < 0 || packed >= length {
			return nil, &RangeError{
				What: what, Want: fmt.Sprintf("%d bytes", length), Got: fmt.Sprintf("%d that are compressed", packed),
			}
		}
		into = s.pack.room(packed)
	}
	if _, err := io.ReadFull(s.r, into); err != nil {
		return nil, fmt.Errorf("reading from a stream of ranges: %w", cutShort(err))
	}
	if packed != 0 {
		if err := s.pack.unpack(into, buf); err != nil {
			return nil, &RangeError{
				What: what, Want: fmt.Sprintf("%d bytes that were compressed", length), Got: err.Error(),
			}
		}
	}
	if got := s.hash(buf); got != digest {
		return nil, &RangeError{What: what, Want: fmt.Sprintf("digest %x", digest[:4]), Got: fmt.Sprintf("%x", got[:4])}
	}
	return buf, nil
}

func (s *RangeStream) write(kind string, body any) error {
	payload, err := marshalMessage(kind, body)
	if err != nil {
		return err
	}
	if len(payload) > maxRangeMessage {
		return &TooLargeError{What: kind + " message to send", Size: int64(len(payload)), Max: maxRangeMessage}
	}
	return WriteSized(s.w, payload)
}

// read reads a message of this kind.
func (s *RangeStream) read(want string, into any) error {
	kind, body, err := s.next()
	if err != nil {
		return cutShort(err)
	}
	if kind != want {
		return fmt.Errorf("%w: %q on a stream of ranges, where %q is due", errCorruptMessage,
			truncate(kind, maxPreface), want)
	}
	return unmarshalBody(body, into)
}

func (s *RangeStream) next() (kind string, body []byte, err error) {
	payload, err := ReadSized(s.r, s.buf, maxRangeMessage)
	if errors.Is(err, io.EOF) {
		return "", nil, io.EOF
	}
	if err != nil {
		return "", nil, fmt.Errorf("reading from a stream of ranges: %w", err)
	}
	s.buf = payload[:0]
	return splitMessage(payload)
}

// Deadlines bound the next reads and writes. A write that comes too late closes the session.
func (s *RangeStream) Deadlines(end time.Time) error { return s.conn.SetDeadline(end) }

// Patience bounds the time for which nothing comes, or nothing that is written is taken, in the place of Deadlines: an
// answer that comes slowly is waited for.
func (s *RangeStream) Patience(d time.Duration) { s.conn.patience = d }

// A patientConn sets its deadlines anew for each read and write, where it has patience.
type patientConn struct {
	net.Conn
	patience time.Duration
}

func (c *patientConn) Read(b []byte) (int, error) {
	if c.patience > 0 {
		if err := c.SetReadDeadline(time.Now().Add(c.patience)); err != nil {
			return 0, err
		}
	}
	return c.Conn.Read(b)
}

func (c *patientConn) Write(b []byte) (int, error) {
	if c.patience > 0 {
		if err := c.SetWriteDeadline(time.Now().Add(c.patience)); err != nil {
			return 0, err
		}
	}
	return c.Conn.Write(b)
}

// Close closes the stream and wakes who reads from it or writes to it.
func (s *RangeStream) Close() error { return s.conn.Close() }
