package client

import (
	"net"
	"testing"

	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/zeo/wire"
	"github.com/zrsd/zrsd/zodb"
)

// FuzzServer lets a server say anything: it is refused, or read, and nothing else happens.
func FuzzServer(f *testing.F) {
	codec, _ := wire.CodecFor(wire.M5)
	id := idValue(zodb.Oid(7))
	conflict := &pickle.Dict{Items: []pickle.Pair{
		{Key: "oid", Value: id}, {Key: "serials", Value: pickle.Tuple{id, id}},
	}}
	for _, m := range []*wire.Message{
		wire.Reply(int64(1), id),
		wire.Reply(int64(1), pickle.Tuple{pickle.Bytes("data"), id, nil}),
		wire.Reply(int64(1), pickle.Tuple{conflict, id}),
		wire.Failure(int64(1), "ZODB.POSException.ConflictError", conflict),
		wire.Failure(int64(1), "ZODB.POSException.POSKeyError", pickle.Tuple{id}),
		wire.Failure(int64(1), "ZODB.POSException.ReadOnlyError", pickle.Tuple{}),
		wire.Call("invalidateTransaction", id, &pickle.List{Items: []pickle.Value{id}}),
		wire.Call("info", conflict),
	} {
		b, err := codec.Append(nil, m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[wire.SizeLen:])
	}
	f.Fuzz(func(_ *testing.T, body []byte) {
		m, err := codec.Decode(body)
		if err != nil {
			return
		}
		near, far := net.Pipe()
		_ = far.Close() // nothing is read
		opt := Options{}.withDefaults()
		c := newConn("", near, codec, &opt)
		defer c.Close()
		if !m.IsReply() {
			_ = c.told(m) // either is right
			return
		}
		answer := make(chan reply, 1)
		c.pending[1] = answer
		c.answered(m)
		select {
		case r := <-answer:
			_, _ = revision(r.value)
			_, _ = oidsOf(r.value)
			_, _ = votedOf(r.value)
		default: // the reply to nothing
		}
	})
}
