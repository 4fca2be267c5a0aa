package zeoload

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/zeo/wire"
)

const (
	oid    = 0x2a
	serial = 0x03e8000000000011
)

var (
	oidBytes    = pickle.Bytes("\x00\x00\x00\x00\x00\x00\x00\x2a")
	serialBytes = pickle.Bytes("\x03\xe8\x00\x00\x00\x00\x00\x11")
	maxBytes    = pickle.Bytes("\x7f\xff\xff\xff\xff\xff\xff\xff")
	long        = bytes.Repeat([]byte("r"), 300)
)

func TestCallsAreWhatAServerReads(t *testing.T) {
	none := int64(0)
	loadArgs := pickle.Tuple{oidBytes, maxBytes}
	stored := pickle.Tuple{oidBytes, serialBytes, pickle.Bytes(long), int64(txnID)}
	begun := pickle.Tuple{int64(txnID), pickle.Bytes(""), pickle.Bytes("load"), &pickle.Dict{}, nil, " "}
	for _, test := range []struct {
		call []byte
		want wire.Message
	}{
		{registerCall("1", true), wire.Message{ID: int64(registerID), Method: "register",
			Args: pickle.Tuple{"1", true}}},
		{loadCall(oid), wire.Message{ID: loadArgs, Method: "loadBefore", Args: loadArgs}},
		{beginCall(), wire.Message{ID: none, Flag: 1, Method: "tpc_begin", Args: begun}},
		{storeCall(oid, serial, long), wire.Message{ID: none, Flag: 1, Method: "storea", Args: stored}},
		{blobStartCall(), wire.Message{ID: none, Flag: 1, Method: "storeBlobStart", Args: pickle.Tuple{}}},
		{blobChunkCall(long), wire.Message{ID: none, Flag: 1, Method: "storeBlobChunk",
			Args: pickle.Tuple{pickle.Bytes(long)}}},
		{blobEndCall(oid, serial, long), wire.Message{ID: none, Flag: 1, Method: "storeBlobEnd", Args: stored}},
		{voteCall(), wire.Message{ID: int64(voteID), Method: "vote", Args: pickle.Tuple{int64(txnID)}}},
		{finishCall(), wire.Message{ID: int64(finishID), Method: "tpc_finish", Args: pickle.Tuple{int64(txnID)}}},
		{sendBlobCall(oid, serial), wire.Message{ID: int64(blobID), Method: "sendBlob",
			Args: pickle.Tuple{oidBytes, serialBytes}}},
		{packCall(time.UnixMilli(1_700_000_000_500)), wire.Message{ID: int64(packID), Method: "pack",
			Args: pickle.Tuple{1_700_000_000.5, true}}},
	} {
		for _, encoding := range []string{wire.Z5, wire.M5} {
			t.Run(test.want.Method+" "+encoding, func(t *testing.T) {
				call := test.call
				if encoding == wire.M5 {
					var err error
					if call, err = pack(call); err != nil {
						t.Fatal(err)
					}
				}
				body, err := wire.Read(bytes.NewReader(call), 1<<20)
				if err != nil || len(body)+sizeLen != len(call) {
					t.Fatalf("%d of %d bytes, %v", len(body), len(call), err)
				}
				codec, _ := wire.CodecFor(encoding)
				m, err := codec.Decode(body)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(&test.want, m, cmpopts.EquateEmpty()); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}

// TestLoadsAreWrittenAsZEOWritesThem compares with what a real client has sent.
func TestLoadsAreWrittenAsZEOWritesThem(t *testing.T) {
	want := "0000003f" + "8003284308000000000000002a43087fffffffffffffff8689580a000000" +
		"6c6f61644265666f72654308000000000000002a43087fffffffffffffff86742e"
	if got := hex.EncodeToString(loadCall(oid)); got != want {
		t.Errorf("%s, want %s", got, strings.ToLower(want))
	}
}

func TestARetargetedLoadIsThatOfTheOtherObject(t *testing.T) {
	const other = 0x0102030405060708
	m := loadCall(oid)
	if retarget(m, other); !bytes.Equal(m, loadCall(other)) {
		t.Errorf("%x, want %x", m, loadCall(other))
	}
}
