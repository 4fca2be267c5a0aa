package wire

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/zrsd/zrsd/internal/pickle"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A line is one of a recorded conversation, see testdata/zeo/README.md.
type line struct {
	Dir, Hex, Decoded string
	Conn              int
}

// eachMessage gives f the messages of every conversation in one encoding, without their sizes and without those that
// are not encoded: handshakes and what belongs to ruok.
func eachMessage(tb testing.TB, encoding string, f func(name string, l *line, body []byte)) {
	tb.Helper()
	files, err := filepath.Glob("../../testdata/zeo/" + strings.ToLower(encoding) + "/*.jsonl")
	if err != nil || len(files) == 0 {
		tb.Fatalf("%d conversations, %v", len(files), err)
	}
	for _, name := range files {
		if strings.HasPrefix(filepath.Base(name), "ruok") {
			continue
		}
		eachOf(tb, name, func(l *line, body []byte) { f(filepath.Base(name), l, body) })
	}
}

func eachOf(tb testing.TB, name string, f func(l *line, body []byte)) {
	tb.Helper()
	file, err := os.Open(name)
	if err != nil {
		tb.Fatal(err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 4<<20)
	greeted := map[line]bool{}
	for lines.Scan() {
		var l line
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			tb.Fatal(err)
		}
		if l.Hex == "" {
			continue
		}
		raw, err := hex.DecodeString(l.Hex)
		if err != nil {
			tb.Fatal(err)
		}
		body, err := Read(bytes.NewReader(raw), 1<<30)
		if err != nil {
			tb.Fatal(err)
		}
		who := line{Dir: l.Dir, Conn: l.Conn}
		if !greeted[who] {
			greeted[who] = true
			continue
		}
		f(&l, body)
	}
	if err := lines.Err(); err != nil {
		tb.Fatal(err)
	}
}

func codec(tb testing.TB, encoding string) Codec {
	tb.Helper()
	c, ok := CodecFor(encoding)
	if !ok {
		tb.Fatal(encoding)
	}
	return c
}

func TestRecordedMessagesAreReadAndWrittenAgainByteForByte(t *testing.T) {
	for _, encoding := range []string{Z5, M5} {
		c := codec(t, encoding)
		read := 0
		eachMessage(t, encoding, func(name string, l *line, body []byte) {
			m, err := c.Decode(body)
			if name == "register_errors.jsonl" && err != nil && l.Dir == "c2s" {
				return // made by hand to be undecodable
			}
			if err != nil {
				t.Fatalf("%s: %s: %v", name, l.Decoded, err)
			}
			read++
			if l.Dir != "s2c" {
				return
			}
			out, err := c.Append(nil, m)
			if err != nil {
				t.Fatalf("%s: %s: %v", name, l.Decoded, err)
			}
			if got := hex.EncodeToString(out); got != l.Hex {
				t.Errorf("%s %s: %s\ngot  %s\nwant %s", encoding, name, l.Decoded, got, l.Hex)
			}
		})
		t.Logf("%s: %d messages", encoding, read)
	}
}

func TestTheServersMessages(t *testing.T) {
	oid, tid := pickle.Bytes("\x00\x00\x00\x00\x00\x00\x00*"), pickle.Bytes("\x03\xe8\x00\x00\x00\x00\x00\x11")
	maxTid := pickle.Bytes("\x7f\xff\xff\xff\xff\xff\xff\xff")
	load := Reply(pickle.Tuple{oid, maxTid}, pickle.Tuple{pickle.Bytes("\x80\x03}."), tid, nil})
	for _, c := range []struct {
		m        *Message
		encoding string
		want     string
	}{
		{Reply(int64(1), tid), Z5, "0000001e8003284b014b0058060000002e7265706c79430803e8000000000011742e"},
		{Reply(int64(1), tid), M5, "00000014940100a62e7265706c79c40803e8000000000011"},
		{Reply(int64(2), nil), Z5, "000000158003284b024b0058060000002e7265706c794e742e"},
		{Reply(int64(2), nil), M5, "0000000b940200a62e7265706c79c0"},
		{load, Z5, "000000398003284308000000000000002a43087fffffffffffffff864b0058060000002e7265706c79430480037d2e43" +
			"0803e80000000000114e87742e"},
		{load, M5, "000000309492c408000000000000002ac4087fffffffffffffff00a62e7265706c7993c40480037d2ec40803e8" +
			"000000000011c0"},
	} {
		out, err := codec(t, c.encoding).Append(nil, c.m)
		if got := hex.EncodeToString(out); err != nil || got != c.want {
			t.Errorf("%s: %v\ngot  %s\nwant %s", c.encoding, err, got, c.want)
		}
	}
}

func TestBothEncodingsSayTheSame(t *testing.T) {
	m := Failure(int64(7), "ZODB.POSException.ConflictError", &pickle.Dict{Items: []pickle.Pair{
		{Key: "oid", Value: pickle.Bytes("12345678")}, {Key: "class_name", Value: nil}, {Key: "n", Value: 1.5},
		{Key: "yes", Value: true}, {Key: "negative", Value: int64(-5)}, {Key: "empty", Value: pickle.Bytes{}},
	}})
	for _, encoding := range []string{Z5, M5} {
		c := codec(t, encoding)
		out, err := c.Append(nil, m)
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Decode(out[SizeLen:])
		if err != nil || got.Flag != flagError || got.Method != ReplyMethod || got.ID != int64(7) {
			t.Fatalf("%s: %+v, %v", encoding, got, err)
		}
		d, ok := got.Args.(pickle.Tuple)[1].(*pickle.Dict)
		if !ok || len(d.Items) != 6 || d.Items[4].Value != int64(-5) || d.Items[2].Value != 1.5 {
			t.Errorf("%s: %#v", encoding, got.Args)
		}
	}
}

func TestWhatIsNoMessageIsAnError(t *testing.T) {
	for name, in := range map[string]struct{ encoding, body string }{
		"nothing":                     {Z5, ""},
		"no tuple":                    {Z5, "\x80\x03N."},
		"three fields":                {Z5, "\x80\x03K\x01K\x01K\x01\x87."},
		"a flag that is text":         {Z5, "\x80\x03(K\x01X\x01\x00\x00\x00aX\x01\x00\x00\x00b)t."},
		"a method that is none":       {Z5, "\x80\x03(K\x01\x89K\x02)t."},
		"nothing packed":              {M5, ""},
		"an array without its values": {M5, "\xdd\x7f\xff\xff\xff"},
		"a map without its values":    {M5, "\xdf\x7f\xff\xff\xff"},
		"bytes that are not there":    {M5, "\xc6\x7f\xff\xff\xff"},
		"text that is not there":      {M5, "\xdb\x7f\xff\xff\xff"},
		"an extension":                {M5, "\xd4\x01\x00"},
		"arrays in arrays in arrays":  {M5, strings.Repeat("\x91", 1000)},
		"something after the message": {M5, "\x94\x01\xc2\xa4ping\x90\x00"},
	} {
		if m, err := codec(t, in.encoding).Decode([]byte(in.body)); err == nil {
			t.Errorf("%s: got %+v", name, m)
		}
	}
}

func TestASizeIsCheckedBeforeAnythingIsRead(t *testing.T) {
	var size *SizeError
	if _, err := Read(strings.NewReader("\xff\xff\xff\xff"), 1000); !errors.As(err, &size) || size.Size != 1<<32-1 {
		t.Errorf("got %v", err)
	}
	if _, err := Read(strings.NewReader("\x00\x00\x00\x05abc"), 1000); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a cut message: got %v", err)
	}
	if _, err := Read(strings.NewReader(""), 1000); !errors.Is(err, io.EOF) {
		t.Errorf("the end: got %v", err)
	}
}

func TestAMessageIsReadIntoMemoryThatIsLargeEnough(t *testing.T) {
	spare := []byte("12345678")
	for _, message := range []string{"", "123", "1234", "abcdefgh", "more than there is room for"} {
		raw := AppendRaw(nil, []byte(message))
		got, err := ReadInto(spare, bytes.NewReader(append(raw, "next"...)), 1000)
		if err != nil || string(got) != message {
			t.Errorf("got %q, %v, want %q", got, err, message)
		}
		if shared := len(got) > 0 && &got[0] == &spare[0]; shared != (len(message) >= 4 && len(message) <= 8) {
			t.Errorf("%q is in the memory that was given: %v", message, shared)
		}
		if len(message) > 0 {
			_, err = ReadInto(spare, bytes.NewReader(raw[:len(raw)-1]), 1000)
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%q cut off: %v", message, err)
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	for i, encoding := range []string{Z5, M5} {
		n := 0
		eachMessage(f, encoding, func(_ string, l *line, body []byte) {
			if n++; n%20 == 0 && len(body) < 2000 {
				f.Add(i == 0, body)
			}
		})
	}
	f.Fuzz(func(t *testing.T, z bool, body []byte) {
		encoding := M5
		if z {
			encoding = Z5
		}
		c := codec(t, encoding)
		m, err := c.Decode(body)
		if err != nil {
			return
		}
		out, err := c.Append(nil, m)
		if err != nil {
			return // more than the encoding can say, such as a pickled class in a map of msgpack
		}
		again, err := c.Decode(out[SizeLen:])
		if err != nil {
			t.Fatalf("%x became %x: %v", body, out, err)
		}
		second, err := c.Append(nil, again)
		if err != nil || !bytes.Equal(out, second) {
			t.Fatalf("%x, read and written again: %x, %v", out, second, err)
		}
	})
}
