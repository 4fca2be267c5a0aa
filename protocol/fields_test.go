package protocol

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/zrsd/zrsd/zodb"
)

// What is in a frame is bounded by where it stands and by the frame, and the first error is the one that is told, with
// the transaction.
func TestFieldsOfAFrameAreBounded(t *testing.T) {
	const limit = 4
	for _, c := range []struct {
		frame, says string // empty: no error
	}{
		{"\x92\xc4\x01K\xc4\x04four", ""},
		{"\x92\xc4\x01K\xc4\x05fives", "a byte string of 5 bytes, at most 4 can be here"},
		{"\x92\xc4\x01K\xc4\x04two", "a byte string of 4 bytes, at most 3 can be here"},
		{"\x92\xc4\x01K\xc4\x04four?", "1 bytes after its end"},
		{"\x92\xc4\x02KK\xc4\x05fives?", "a byte string of 2 bytes, at most 1 can be here"}, // and not of what follows
		{"\x92\xc4\x01K\xc0", "nil where a byte string should be"},
		{"\x92\xc4\x01K\x07", "invalid code=7"},
		{"K", "invalid code=4b"},
		{"", "EOF"},
	} {
		var f fields
		f.init()
		f.begin([]byte("\x91\xc0"), 5) // what was wrong with the one before is over
		f.begin([]byte(c.frame), 6)
		f.bytes(nil, limit)
		err := f.end()
		var wrong *FrameError
		switch {
		case c.says == "" && err != nil:
			t.Errorf("%q: %v", c.frame, err)
		case c.says != "" && (!errors.As(err, &wrong) || wrong.Tid != 6 || !strings.Contains(wrong.Got, c.says)):
			t.Errorf("%q: got %v, want %q", c.frame, err, c.says)
		}
	}
}

func TestNumbersOfAFrameAreWellFormed(t *testing.T) {
	var f fields
	f.init()
	for frame, read := range map[string]func(){
		"\x92\xc4\x01K":                  func() { f.numberOrNil() },
		"\x92\xc4\x01K\xc4\x01x":         func() { f.number() },
		"\x92\xc4\x01K\xc3":              func() { f.integer() },
		"\x92\xc4\x01K\x01":              func() { f.bool() },
		"\x92\xc4\x01K\xc0\xc0":          func() { f.numberOrNil() },
		"\x92\xc4\x01K\xc4\x08123456789": func() { f.number() },
	} {
		f.begin([]byte(frame), 6)
		read()
		if err := f.end(); err == nil {
			t.Errorf("%q was read", frame)
		}
	}
}

func TestTheFirstErrorOfAFrameIsTold(t *testing.T) {
	var f fields
	f.init()
	f.begin([]byte("\x93\xc4\x01K\xc3\xa1x"), 6)
	f.integer()
	f.integer()
	var wrong *FrameError
	if err := f.end(); !errors.As(err, &wrong) || !strings.Contains(wrong.Got, "code=c3") {
		t.Errorf("got %v", err)
	}
}

func TestALimitIsAtMostWhatTheProtocolHas(t *testing.T) {
	for given, want := range map[int64]int64{0: DefaultMaxFrame, 5: 5, DefaultMaxFrame + 1: DefaultMaxFrame} {
		if got := (Limits{MaxFrame: given}).WithDefaults().MaxFrame; got != want {
			t.Errorf("a frame of %d bytes is allowed where %d were given, want %d", got, given, want)
		}
	}
}

// A connection that breaks between two transactions is not the end of the stream, and where it broke is told.
func TestABrokenStreamIsNotAtItsEnd(t *testing.T) {
	broken := errors.New("broken")
	_, err := NewDecoder(iotest.ErrReader(broken), 5, Limits{}).Next()
	if !errors.Is(err, broken) || errors.Is(err, io.EOF) || !strings.Contains(err.Error(), zodb.Tid(5).String()) {
		t.Errorf("got %v", err)
	}
	if _, err := NewDecoder(strings.NewReader(""), 5, Limits{}).Next(); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
}
