package zeoload

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/zeo/wire"
)

func encoded(tb testing.TB, m *wire.Message) []byte {
	tb.Helper()
	codec, _ := wire.CodecFor(wire.Z5)
	b, err := codec.Append(nil, m)
	if err != nil {
		tb.Fatal(err)
	}
	return b[sizeLen:]
}

func TestArrivalsAreToldApart(t *testing.T) {
	pair := pickle.Tuple{oidBytes, maxBytes}
	loaded := pickle.Tuple{pickle.Bytes(long), serialBytes, nil}
	for name, test := range map[string]struct {
		message *wire.Message
		want    arrival
	}{
		"a reply":       {wire.Reply(int64(voteID), nil), arrival{id: voteID, reply: true}},
		"a loaded one":  {wire.Reply(pair, loaded), arrival{oid: oid, reply: true}},
		"a failure":     {wire.Failure(int64(finishID), "E", nil), arrival{id: finishID, reply: true, failed: true}},
		"a failed load": {wire.Failure(pair, "E", nil), arrival{oid: oid, reply: true, failed: true}},
		"a call":        {wire.Call("info", nil), arrival{}},
		"a keep-alive":  {wire.Reply(int64(-1), nil), arrival{}},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := parse(encoded(t, test.message))
			if err != nil {
				t.Fatal(err)
			}
			a.method, a.rest = nil, nil
			if diff := cmp.Diff(test.want, a, cmp.AllowUnexported(arrival{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestATidIsReadFromRepliesAndCalls(t *testing.T) {
	for name, m := range map[string]*wire.Message{
		"reply": wire.Reply(int64(finishID), serialBytes),
		"call":  wire.Call("invalidateTransaction", serialBytes, &pickle.List{Items: []pickle.Value{oidBytes}}),
	} {
		a, err := parse(encoded(t, m))
		if tid, tidErr := a.tid(); err != nil || tidErr != nil || tid != serial {
			t.Errorf("%s: tid %v, %v, %v", name, tid, err, tidErr)
		}
	}
}

func TestAnAnswerToAnotherCallIsAnError(t *testing.T) {
	for name, m := range map[string]*wire.Message{
		"another id": wire.Reply(int64(finishID), nil),
		"failure":    wire.Failure(int64(voteID), "E", nil),
		"call":       wire.Call("info", nil),
	} {
		a, err := parse(encoded(t, m))
		if err != nil || a.answers(voteID, "vote") == nil {
			t.Errorf("%s: %+v, %v passes for the answer to vote", name, a, err)
		}
	}
}

func TestWhatIsNoMessageIsRefused(t *testing.T) {
	const tuple = "\x80\x03("
	for _, body := range []string{"", "Z5", tuple, tuple + "K\x01K\x00X\xff\xff\xff\xffshort", tuple + "K\x01K"} {
		if a, err := parse([]byte(body)); !errors.Is(err, errShape) {
			t.Errorf("%q: %+v, %v", body, a, err)
		}
	}
}

// eachRecorded gives f what the real server has sent to clients in recorded conversations.
func eachRecorded(tb testing.TB, f func(body []byte)) {
	tb.Helper()
	files, err := filepath.Glob("../../testdata/zeo/z5/*.jsonl")
	if err != nil || len(files) == 0 {
		tb.Fatalf("%d conversations, %v", len(files), err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			tb.Fatal(err)
		}
		lines := bufio.NewScanner(bytes.NewReader(text))
		lines.Buffer(nil, 4<<20)
		for lines.Scan() {
			var l struct{ Dir, Hex string }
			if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
				tb.Fatal(err)
			}
			body, err := hex.DecodeString(l.Hex)
			if err != nil {
				tb.Fatal(err)
			}
			if l.Dir == "s2c" && len(body) > sizeLen && bytes.HasPrefix(body[sizeLen:], prefix) {
				f(body[sizeLen:])
			}
		}
	}
}

func TestWhatTheRealServerSendsIsUnderstood(t *testing.T) {
	codec, _ := wire.CodecFor(wire.Z5)
	seen := map[string]int{}
	eachRecorded(t, func(body []byte) {
		m, err := codec.Decode(body)
		if err != nil {
			t.Fatal(err)
		}
		a, err := parse(body)
		if err != nil {
			t.Fatal(err)
		}
		if a.method != nil && string(a.method) != m.Method {
			t.Errorf("method %q, want %q", a.method, m.Method)
		}
		if m.Method != wire.ReplyMethod && a.reply || a.failed != (m.Flag > 1) && a.reply {
			t.Errorf("%+v for %+v", a, m)
		}
		seen[string(a.method)]++
	})
	for _, method := range []string{wire.ReplyMethod, "invalidateTransaction", "receiveBlobChunk"} {
		if seen[method] == 0 {
			t.Errorf("no %s among %v", method, seen)
		}
	}
}

func FuzzParse(f *testing.F) {
	count := 0
	eachRecorded(f, func(body []byte) {
		if count++; count%10 == 0 {
			f.Add(body)
		}
	})
	f.Fuzz(func(t *testing.T, body []byte) {
		a, err := parse(body)
		if err != nil {
			return
		}
		if len(a.method)+len(a.rest) > len(body) {
			t.Errorf("%d bytes of method and rest in a message of %d", len(a.method)+len(a.rest), len(body))
		}
		_, _ = a.tid()                    // must not panic
		_ = a.chunk(oid, io.Discard)      // nor this
		_ = a.answers(voteID, "anything") // nor this
	})
}
