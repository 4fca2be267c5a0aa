package wire

import (
	"testing"

	"github.com/zrsd/zrsd/internal/pickle"
)

// BenchmarkCommitMessages measures what the messages of one commit of two objects cost: for a server those of the
// client that are read and its own that are written, for a client its own that are written.
func BenchmarkCommitMessages(b *testing.B) {
	handle, id := int64(7), pickle.Bytes("\x00\x00\x00\x00\x00\x00\x00\x2a")
	record := pickle.Bytes(make([]byte, 1000))
	store := &Message{int64(0), flagOneWay, "storea", pickle.Tuple{id, id, record, handle}}
	calls := []*Message{
		{
			int64(0),
			flagOneWay,
			"tpc_begin",
			pickle.Tuple{handle, pickle.Bytes(""), pickle.Bytes(""), &pickle.Dict{}, nil, " "},
		},
		store,
		store,
		{int64(2), flagCall, "vote", pickle.Tuple{handle}},
		{int64(3), flagCall, "tpc_finish", pickle.Tuple{handle}},
	}
	answers := []*Message{Reply(int64(2), &pickle.List{}), Reply(int64(3), id)}
	for _, name := range []string{Z5, M5} {
		codec, _ := CodecFor(name)
		var in [][]byte
		for _, m := range calls {
			raw, err := codec.Append(nil, m)
			if err != nil {
				b.Fatal(err)
			}
			in = append(in, raw[SizeLen:])
		}
		b.Run(name+" read", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				for _, raw := range in {
					if _, err := codec.Decode(raw); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
		b.Run(name+" write", func(b *testing.B) { benchmarkAppend(b, codec, answers) })
		b.Run(name+" write calls", func(b *testing.B) { benchmarkAppend(b, codec, calls) })
	}
}

func benchmarkAppend(b *testing.B, codec Codec, messages []*Message) {
	b.Helper()
	b.ReportAllocs()
	var out []byte
	for b.Loop() {
		out = out[:0]
		for _, m := range messages {
			var err error
			if out, err = codec.Append(out, m); err != nil {
				b.Fatal(err)
			}
		}
	}
}
