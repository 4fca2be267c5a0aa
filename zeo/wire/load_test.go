package wire

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/zodb"
)

func TestLoadsOfRealClientsAreRecognised(t *testing.T) {
	for _, encoding := range []string{Z5, M5} {
		codec, _ := CodecFor(encoding)
		recognised := 0
		eachMessage(t, encoding, func(name string, l *line, body []byte) {
			m, err := codec.Decode(body)
			load, ok := codec.Load(body)
			if ok != (err == nil && m.Method == "loadBefore") {
				t.Errorf("%s: %s: recognised as a load: %v", name, l.Decoded, ok)
			}
			if ok {
				recognised++
				sameLoad(t, m, load)
			}
		})
		if recognised == 0 {
			t.Errorf("no load in the conversations in %s", encoding)
		}
	}
}

func sameLoad(t *testing.T, m *Message, l Load) {
	t.Helper()
	want := pickle.Tuple{idOf(uint64(l.Oid)), idOf(uint64(l.Before))}
	for _, v := range []pickle.Value{m.ID, m.Args} {
		got, _ := v.(pickle.Tuple)
		if len(got) != 2 || !bytes.Equal(got[0].(pickle.Bytes), want[0].(pickle.Bytes)) ||
			!bytes.Equal(got[1].(pickle.Bytes), want[1].(pickle.Bytes)) {
			t.Errorf("recognised %v in %v", l, m)
		}
	}
}

func idOf(n uint64) pickle.Bytes { return binary.BigEndian.AppendUint64(nil, n) }

func TestAnswersToLoadsAreThoseOfTheGeneralWay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := Load{zodb.Oid(rapid.Uint64().Draw(t, "oid")), zodb.Tid(rapid.Uint64().Draw(t, "before"))}
		r := Loaded{
			Data: make([]byte, rapid.SampledFrom([]int{0, 1, 255, 256, 257, 65535, 65536, 70000}).Draw(t, "length")),
			Tid:  zodb.Tid(rapid.Uint64().Draw(t, "tid")),
			Next: zodb.Tid(rapid.SampledFrom([]uint64{0, 1, 1 << 63}).Draw(t, "next")),
		}
		var next pickle.Value
		if r.Next != 0 {
			next = idOf(uint64(r.Next))
		}
		id := pickle.Tuple{idOf(uint64(l.Oid)), idOf(uint64(l.Before))}
		for _, encoding := range []string{Z5, M5} {
			codec, _ := CodecFor(encoding)
			reply := Reply(id, pickle.Tuple{pickle.Bytes(r.Data), idOf(uint64(r.Tid)), next})
			want, err := codec.Append([]byte("x"), reply)
			if err != nil {
				t.Fatal(err)
			}
			if got := codec.AppendLoaded([]byte("x"), l, r); !bytes.Equal(got, want) {
				t.Fatalf("%s: got %.100q, want %.100q", encoding, got, want)
			}
		}
	})
}

func TestWhatOnlyResemblesALoadIsDecoded(t *testing.T) {
	for _, encoding := range []string{Z5, M5} {
		codec, _ := CodecFor(encoding)
		id := pickle.Tuple{idOf(1), idOf(2)}
		good, err := codec.Append(nil, &Message{ID: id, Method: "loadBefore", Args: id})
		if err != nil {
			t.Fatal(err)
		}
		good = good[SizeLen:]
		if _, ok := codec.Load(good); !ok {
			t.Fatalf("%s: %q is not recognised", encoding, good)
		}
		for i := range good {
			bad := bytes.Clone(good)
			bad[i] ^= 1
			if _, ok := codec.Load(bad); ok {
				t.Errorf("%s: %q is taken for a load", encoding, bad)
			}
		}
		for _, bad := range [][]byte{nil, good[:len(good)-1], append(bytes.Clone(good), '.')} {
			if _, ok := codec.Load(bad); ok {
				t.Errorf("%s: %q is taken for a load", encoding, bad)
			}
		}
	}
}

func TestWhatRealServersAnswerToLoadsIsReadWithoutDecoding(t *testing.T) {
	for _, encoding := range []string{Z5, M5} {
		codec, _ := CodecFor(encoding)
		recognised := 0
		eachMessage(t, encoding, func(name string, l *line, body []byte) {
			m, err := codec.Decode(body)
			load, loaded, ok := codec.Loaded(body)
			if err != nil {
				return
			}
			id, _ := m.ID.(pickle.Tuple)
			result, _ := m.Args.(pickle.Tuple)
			if want := m.IsReply() && !m.failed() && len(id) == 2 && len(result) == 3; ok != want {
				t.Errorf("%s: %s: recognised as the answer to a load: %v", name, l.Decoded, ok)
			}
			if ok {
				recognised++
				sameLoaded(t, m, load, loaded)
			}
		})
		if recognised == 0 {
			t.Errorf("no answer to a load in the conversations in %s", encoding)
		}
	}
}

func (m *Message) failed() bool { return m.Flag == flagError }

func sameLoaded(t *testing.T, m *Message, l Load, r Loaded) {
	t.Helper()
	var next pickle.Value
	if r.Next != 0 {
		next = idOf(uint64(r.Next))
	}
	want := Reply(pickle.Tuple{idOf(uint64(l.Oid)), idOf(uint64(l.Before))},
		pickle.Tuple{pickle.Bytes(r.Data), idOf(uint64(r.Tid)), next})
	if diff := cmp.Diff(want, m); diff != "" {
		t.Error(diff)
	}
}

func TestLoadsAreWrittenAndTheirAnswersReadAsTheOtherSideDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := Load{zodb.Oid(rapid.Uint64().Draw(t, "oid")), zodb.Tid(rapid.Uint64().Draw(t, "before"))}
		r := Loaded{
			Data: make([]byte, rapid.SampledFrom([]int{0, 1, 255, 256, 257, 65535, 65536, 70000}).Draw(t, "length")),
			Tid:  zodb.Tid(rapid.Uint64().Draw(t, "tid")),
			Next: zodb.Tid(rapid.SampledFrom([]uint64{0, 1, 1 << 63}).Draw(t, "next")),
		}
		for _, encoding := range []string{Z5, M5} {
			codec, _ := CodecFor(encoding)
			call := codec.AppendLoad([]byte("x"), l)
			if got, ok := codec.Load(call[1+SizeLen:]); !ok || got != l {
				t.Fatalf("%s: %v was written, and %v, %v read", encoding, l, got, ok)
			}
			args := pickle.Tuple{idOf(uint64(l.Oid)), idOf(uint64(l.Before))}
			want, err := codec.Append([]byte("x"), &Message{ID: args, Method: "loadBefore", Args: args})
			if err != nil || !bytes.Equal(call, want) {
				t.Fatalf("%s: got %.100q, want %.100q, %v", encoding, call, want, err)
			}
			answer := codec.AppendLoaded(nil, l, r)[SizeLen:]
			gotLoad, got, ok := codec.Loaded(answer)
			if diff := cmp.Diff(r, got); !ok || gotLoad != l || diff != "" {
				t.Fatalf("%s: %v, %v: %s", encoding, ok, gotLoad, diff)
			}
			cut := answer[:rapid.IntRange(0, len(answer)-1).Draw(t, "cut")]
			if _, _, ok := codec.Loaded(cut); ok {
				t.Fatalf("%s: %.100q is taken for a whole answer", encoding, cut)
			}
			if _, _, ok := codec.Loaded(append(bytes.Clone(answer), '.')); ok {
				t.Fatalf("%s: an answer with something after it is taken", encoding)
			}
		}
	})
}

func TestCallsOfRealServersAreRecognised(t *testing.T) {
	for _, encoding := range []string{Z5, M5} {
		codec, _ := CodecFor(encoding)
		seen := map[string]int{}
		eachMessage(t, encoding, func(name string, l *line, body []byte) {
			m, err := codec.Decode(body)
			if err != nil || l.Dir != "s2c" {
				return
			}
			method, is := codec.Called(body)
			if is == m.IsReply() || is && string(method) != m.Method {
				t.Errorf("%s: %s: taken for a call of %q: %v", name, l.Decoded, method, is)
			}
			seen[m.Method]++
			for cut := range min(len(body), 64) {
				if got, is := codec.Called(body[:cut]); is && string(got) != m.Method {
					t.Errorf("%s: %s: cut to %d bytes it is a call of %q", name, l.Decoded, cut, got)
				}
			}
		})
		for _, method := range []string{InvalidationMethod, "info", "receiveBlobChunk", ReplyMethod} {
			if seen[method] == 0 {
				t.Errorf("no %s in the conversations in %s", method, encoding)
			}
		}
	}
}

func FuzzLoaded(f *testing.F) {
	for _, encoding := range []string{Z5, M5} {
		codec, _ := CodecFor(encoding)
		for _, n := range []int{0, 300, 70000} {
			f.Add(encoding == M5, codec.AppendLoaded(nil, Load{1, 2}, Loaded{Data: make([]byte, n), Tid: 3})[SizeLen:])
		}
	}
	f.Fuzz(func(t *testing.T, msgpack bool, body []byte) {
		codec, _ := CodecFor(map[bool]string{false: Z5, true: M5}[msgpack])
		l, r, ok := codec.Loaded(body)
		if !ok {
			return
		}
		m, err := codec.Decode(body)
		if err != nil {
			t.Fatalf("%x is taken for the answer to a load: %v", body, err)
		}
		sameLoaded(t, m, l, r)
	})
}
