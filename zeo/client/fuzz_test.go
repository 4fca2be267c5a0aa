package client

import (
	"io"
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
		wire.Reply(pickle.Tuple{id, id}, pickle.Tuple{pickle.Bytes("data"), id, nil}),
		wire.Reply(pickle.Tuple{id, id}, pickle.Tuple{"text", id, nil}),
		wire.Failure(pickle.Tuple{id, id}, "ZODB.POSException.POSKeyError", pickle.Tuple{id}),
		wire.Call("receiveBlobStart", id, id),
		wire.Call("receiveBlobChunk", id, id, pickle.Bytes("data")),
	} {
		b, err := codec.Append(nil, m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[wire.SizeLen:])
	}
	f.Fuzz(func(_ *testing.T, body []byte) {
		near, far := net.Pipe()
		_ = far.Close() // nothing is read
		opt := Options{}.withDefaults()
		c := newConn("", near, codec, &opt)
		defer c.Close()
		l := wire.Load{Oid: 7, Before: 7}
		answer := make(chan reply, 1)
		c.pending[1] = call{handle: func(r reply) { answer <- r }}
		c.loads[l] = loadQueue{first: func(_ zodb.Oid, _ Revision, err error) { answer <- reply{err: err} }}
		c.blobs[blobRevision{7, 7}] = &fetch{w: io.Discard}
		_ = c.take(body) // either is right
		select {
		case r := <-answer:
			_, _ = revision(l, r)
			_, _ = oidsOf(r.value)
			_, _ = votedOf(r.value)
		default: // the reply to nothing
		}
	})
}
