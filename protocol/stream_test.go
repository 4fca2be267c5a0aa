package protocol

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/zrsd/zrsd/zodb"
)

// The whole stream of one small transaction, byte for byte: what another implementation has to produce.
func TestATransactionHasExactlyTheseBytes(t *testing.T) {
	got := encode(t, 0x0a, txn{Tid: 0x0b, Status: ' ', User: "u", Desc: "", Ext: "e", Recs: []rec{
		{Oid: 1, Tid: 0x0b, DataTxn: 0x0a, HasPrev: true, Data: "dd"},
		{Oid: 2, Tid: 0x0b, NoData: true},
		{Oid: 3, Tid: 0x0b, Data: "r", HasBlob: true, Blob: "bbb"},
		{Oid: 4, Tid: 0x0b, Data: "r", Shared: true, Size: 5},
	}})
	want := "00000016" + "96" + "a154" + "c408000000000000000b" + "20" + "c40175" + "c400" + "c40165" +
		"00000023" + "96" + "a153" + "c4080000000000000001" + "c408000000000000000b" + "c408000000000000000a" +
		"c3" + "02" + "00000002" + "6464" +
		"0000001a" + "96" + "a153" + "c4080000000000000002" + "c408000000000000000b" + "c0" + "c2" + "ff" +
		"0000001b" + "97" + "a142" + "c4080000000000000003" + "c408000000000000000b" + "c0" + "c2" + "01" + "03" +
		"00000001" + "72" +
		"00000003" + "626262" +
		"0000001b" + "97" + "a148" + "c4080000000000000004" + "c408000000000000000b" + "c0" + "c2" + "01" + "05" +
		"00000001" + "72" +
		"00000015" + "92" + "a143" + "c410"
	if text := hex.EncodeToString(got); len(text) != len(want)+32 || text[:len(want)] != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
}

func TestUnreadDataIsSkippedAndStillDigested(t *testing.T) {
	want := append(samples(), large(), samples()[0])
	wire := encode(t, 1, want...)
	for name, read := range map[string]func(r io.Reader) error{
		"nothing":  func(io.Reader) error { return nil },
		"one byte": func(r io.Reader) error { _, err := r.Read(make([]byte, 1)); return err },
		"by a writer that fails": func(r io.Reader) error {
			if _, err := io.Copy(iotest.TruncateWriter(failing{}, 0), r); err == nil {
				return nil
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := NewDecoder(iotest.HalfReader(bytes.NewReader(wire)), 1, Limits{})
			for i := range want {
				got, err := d.Next()
				if err != nil || got.Meta().Tid != want[i].Tid {
					t.Fatalf("transaction %d: %v", i, err)
				}
				r, err := got.NextRecord()
				if errors.Is(err, io.EOF) {
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				if r.Blob != nil && i%2 == 0 {
					err = read(r.Blob) // skips the data
				} else if r.Data != nil {
					err = read(r.Data)
				}
				if err != nil && !errors.Is(err, io.EOF) {
					t.Fatal(err)
				}
			}
			if _, err := d.Next(); !errors.Is(err, io.EOF) {
				t.Errorf("at the end: %v", err)
			}
		})
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("disk full") }

// isPrefix reports whether got is what was sent, up to some transaction.
func isPrefix(got, sent []txn) bool {
	return len(got) == 0 || len(got) < len(sent) && cmp.Equal(got, sent[:len(got)])
}

func TestEveryChangedByteIsFoundBeforeItsTransactionIsComplete(t *testing.T) {
	sent := samples()
	wire := encode(t, 7, sent...)
	for at := range wire {
		for _, flip := range []byte{0x01, 0x80, 0xff} {
			bad := bytes.Clone(wire)
			bad[at] ^= flip
			got, err := decode(bytes.NewReader(bad), 7, Limits{})
			if err == nil {
				t.Fatalf("byte %d ^ %#x was not noticed", at, flip)
			}
			if !isPrefix(got, sent) {
				t.Fatalf("byte %d ^ %#x: delivered what was not sent", at, flip)
			}
		}
	}
}

func TestEveryTruncationIsAnUnexpectedEnd(t *testing.T) {
	sent := samples()
	wire := encode(t, 7, sent...)
	whole := map[int]int{0: 0} // offsets between transactions, and how many are before
	for n := range sent {
		whole[len(encode(t, 7, sent[:n+1]...))] = n + 1
	}
	for at := range wire {
		got, err := decode(bytes.NewReader(wire[:at]), 7, Limits{})
		n, between := whole[at]
		switch {
		case between && (err != nil || len(got) != n):
			t.Errorf("cut at %d, after transaction %d: got %d, %v", at, n, len(got), err)
		case !between && !errors.Is(err, io.ErrUnexpectedEOF):
			t.Errorf("cut at %d: %v", at, err)
		case !isPrefix(got, sent):
			t.Errorf("cut at %d: delivered what was not sent", at)
		}
	}
}

func TestAnotherStartIsAnotherDigest(t *testing.T) {
	_, err := decode(bytes.NewReader(encode(t, 7, samples()...)), 8, Limits{})
	var digest *DigestError
	if !errors.As(err, &digest) || digest.Tid != samples()[0].Tid {
		t.Errorf("got %v", err)
	}
}

func TestADecoderDoesNotGoOnAfterAnError(t *testing.T) {
	wire := encode(t, 7, samples()...)
	wire[len(encode(t, 7, samples()[0]))-1] ^= 1
	d := NewDecoder(bytes.NewReader(wire), 7, Limits{})
	first, err := d.Next()
	if err != nil {
		t.Fatal(err)
	}
	_, err = collect(first)
	if _, again := d.Next(); err == nil || !errors.Is(again, err) {
		t.Errorf("got %v, then %v", err, again)
	}
}

func TestLimitsHoldBeforeAnythingIsRead(t *testing.T) {
	wire := encode(t, 0, samples()...)
	for name, tt := range map[string]struct {
		lim  Limits
		what string
		size int64
	}{
		"frame":  {Limits{MaxFrame: 299}, "frame", 332},
		"record": {Limits{MaxRecord: 299}, "record", 300},
		"blob":   {Limits{MaxBlob: 999}, "blob", 1000},
		"shared": {Limits{MaxBlob: 1 << 32}, "blob", 1 << 33},
	} {
		_, err := decode(bytes.NewReader(wire), 0, tt.lim)
		var large *TooLargeError
		if !errors.As(err, &large) || large.What != tt.what || large.Size != tt.size {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := decode(bytes.NewReader(wire), 0, Limits{MaxRecord: 300, MaxBlob: 1 << 33}); err != nil {
		t.Errorf("at the limit: %v", err)
	}
}

// frames wraps msgpack payloads, given in hexadecimal, as sized messages.
func frames(t *testing.T, payloads ...string) []byte {
	t.Helper()
	var wire bytes.Buffer
	for _, p := range payloads {
		b, err := hex.DecodeString(p)
		if err != nil {
			t.Fatal(err)
		}
		if err := WriteSized(&wire, b); err != nil {
			t.Fatal(err)
		}
	}
	return wire.Bytes()
}

func TestFramesOutOfPlaceOrMalformed(t *testing.T) {
	const (
		id  = "c4080000000000000001"
		txn = "96a154" + id + "20c400c400c400"
		rec = "96a153" + id + id + "c0c2"
	)
	for name, wire := range map[string][]byte{
		"a record first":              frames(t, rec+"ff"),
		"a commit first":              frames(t, "92a143c410"+"00000000000000000000000000000000"),
		"a transaction within one":    frames(t, txn, txn),
		"an unknown frame":            frames(t, txn, "92a158c0"),
		"an empty frame":              frames(t, ""),
		"too few elements":            frames(t, "95a154"+id+"20c400c400"),
		"too many elements":           frames(t, "97a154"+id+"20c400c400c400c0"),
		"bytes after the elements":    frames(t, txn+"c0"),
		"a tid of 7 bytes":            frames(t, "96a154"+"c40700000000000001"+"20c400c400c400"),
		"nil for a user":              frames(t, "96a154"+id+"20c0c400c400"),
		"a user beyond the frame":     frames(t, "96a154"+id+"20c4ffc400c400"),
		"a user of 4 GB":              frames(t, "96a154"+id+"20c6ffffffffc400c400"),
		"status c":                    frames(t, "96a154"+id+"63c400c400c400"),
		"status 0":                    frames(t, "96a154"+id+"00c400c400c400"),
		"a size below -1":             frames(t, txn, rec+"fe"),
		"a blob size below 0":         frames(t, txn, "97a142"+id+id+"c0c2"+"00"+"ff"),
		"a shared one below 0":        frames(t, txn, "97a148"+id+id+"c0c2"+"00"+"ff"),
		"a shared one without size":   frames(t, txn, "96a148"+id+id+"c0c2"+"00"),
		"data in too small a frame":   frames(t, txn, rec+"03", "6464"),
		"data in too large a frame":   frames(t, txn, rec+"03", "64646464"),
		"has_prev that is no boolean": frames(t, txn, "96a153"+id+id+"c005ff"),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := decode(bytes.NewReader(wire), 0, Limits{})
			var frame *FrameError
			if !errors.As(err, &frame) || len(got) != 0 {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
	_, err := decode(bytes.NewReader([]byte{0xff, 0xff, 0xff, 0xff}), 0, Limits{})
	var large *TooLargeError
	if !errors.As(err, &large) {
		t.Errorf("a frame of 4 GB: %v", err)
	}
}

// A frame of a wrong length ends a copy of the data as it ends a read.
func TestAFrameOfAWrongLengthEndsACopy(t *testing.T) {
	const id = "c4080000000000000001"
	wire := frames(t, "96a154"+id+"20c400c400c400", "96a153"+id+id+"c0c203", "6464")
	d := NewDecoder(bytes.NewReader(wire), 0, Limits{})
	txn, err := d.Next()
	if err != nil {
		t.Fatal(err)
	}
	rec, err := txn.NextRecord()
	if err != nil {
		t.Fatal(err)
	}
	var frame *FrameError
	if n, err := io.Copy(io.Discard, rec.Data); n != 0 || !errors.As(err, &frame) {
		t.Errorf("%d bytes, %v", n, err)
	}
}

func TestWhatCannotBeStreamedIsRefusedByTheEncoder(t *testing.T) {
	for name, bad := range map[string]txn{
		"voted, not finished": {Tid: 1, Status: 'c'},
		"a long user":         {Tid: 1, Status: ' ', User: string(make([]byte, zodb.MaxMetaLen+1))},
	} {
		e := NewEncoder(io.Discard, 0)
		if err := e.Encode(bad.open()); err == nil {
			t.Errorf("%s: was encoded", name)
		}
	}
}

// short claims one byte more than it has.
type short struct{ *txnReader }

func (s short) NextRecord() (*zodb.Record, error) {
	r, err := s.txnReader.NextRecord()
	if err == nil {
		r.Size++
	}
	return r, err
}

func TestASourceThatFailsTearsOnlyItsOwnTransaction(t *testing.T) {
	sent := samples()
	var wire bytes.Buffer
	e := NewEncoder(&wire, 7)
	if err := e.Encode(sent[0].open()); err != nil {
		t.Fatal(err)
	}
	err := e.Encode(short{sent[1].open()})
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("got %v", err)
	}
	if again := e.Encode(sent[2].open()); !errors.Is(again, err) {
		t.Errorf("went on with %v", again)
	}
	if got, err := decode(&wire, 7, Limits{}); err != nil || !cmp.Equal(got, sent[:1]) {
		t.Errorf("what was whole did not arrive: %v, %v", got, err)
	}
}

func TestAnyTransactionsComeBack(t *testing.T) {
	bin := rapid.StringOfN(rapid.Rune(), 0, 300, -1)
	data := rapid.OneOf(bin, rapid.Custom(func(t *rapid.T) string {
		return string(make([]byte, rapid.IntRange(blockSize-2, 2*blockSize+2).Draw(t, "size")))
	}))
	record := rapid.Custom(func(t *rapid.T) rec {
		r := rec{Oid: zodb.Oid(rapid.Uint64().Draw(t, "oid")), Tid: zodb.Tid(rapid.Uint64().Draw(t, "serial")),
			DataTxn: zodb.Tid(rapid.Uint64().Draw(t, "data_txn")), HasPrev: rapid.Bool().Draw(t, "has_prev"),
			NoData: rapid.Bool().Draw(t, "no data"), HasBlob: rapid.Bool().Draw(t, "has blob")}
		if !r.NoData {
			r.Data = data.Draw(t, "data")
		}
		if r.HasBlob {
			r.Blob = data.Draw(t, "blob")
		} else if r.Shared = rapid.Bool().Draw(t, "shared"); r.Shared {
			r.Size = rapid.Int64Range(0, defaultMaxBlob).Draw(t, "size of the shared blob")
		}
		return r
	})
	one := rapid.Custom(func(t *rapid.T) txn {
		return txn{Tid: zodb.Tid(rapid.Uint64().Draw(t, "tid")),
			Status: rapid.SampledFrom([]zodb.Status{' ', 'p', 'u'}).Draw(t, "status"),
			User:   bin.Draw(t, "user"), Desc: bin.Draw(t, "description"), Ext: bin.Draw(t, "extension"),
			Recs: rapid.SliceOfN(record, 0, 4).Draw(t, "records")}
	})
	rapid.Check(t, func(rt *rapid.T) {
		want := rapid.SliceOfN(one, 0, 4).Draw(rt, "transactions")
		start := zodb.Tid(rapid.Uint64().Draw(rt, "start"))
		got, err := decode(iotest.HalfReader(bytes.NewReader(encode(t, start, want...))), start, Limits{})
		if err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			rt.Error(diff)
		}
	})
}

func FuzzDecoder(f *testing.F) {
	f.Add(encode(f, 0, samples()...))
	for _, one := range samples() {
		f.Add(encode(f, 0, one))
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, wire []byte) {
		got, err := decode(bytes.NewReader(wire), 0, Limits{})
		// What was delivered as complete carries a right digest, so sending it again gives the same bytes, unless the
		// peer wrote lengths in a longer form than needed.
		if again := encode(t, 0, got...); err == nil && len(again) > len(wire) {
			t.Errorf("%x was read as %v", wire, got)
		}
	})
}
