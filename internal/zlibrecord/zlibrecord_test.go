package zlibrecord_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/zrsd/zrsd/internal/zlibrecord"
)

func TestRecordsOfZlibstorageAreRead(t *testing.T) {
	// compress(b'x' * 100) of zc.zlibstorage 1.2.0
	packed, err := hex.DecodeString("2e7a789caba8a03d0000401b2ee1")
	if err != nil {
		t.Fatal(err)
	}
	got, err := zlibrecord.Unpack(packed, zlibrecord.Limit)
	if err != nil || string(got) != strings.Repeat("x", 100) {
		t.Errorf("%q, %v", got, err)
	}
	if !bytes.Equal(zlibrecord.Pack(zlibrecord.Pack(got)), zlibrecord.Pack(got)) ||
		!zlibrecord.Is(zlibrecord.Pack(got)) {
		t.Error("packed twice, or not at all")
	}
}

func TestWhatWouldNotBecomeShorterStaysAsItIs(t *testing.T) {
	for _, record := range []string{"", ".", "x", "\x80\x03cZODB.blob\nBlob\nq\x00.\x80\x03N.", "the quick brown fox jumps"} {
		if got := zlibrecord.Pack([]byte(record)); string(got) != record {
			t.Errorf("%q became %q", record, got)
		}
		if got, err := zlibrecord.Unpack([]byte(record), 100); err != nil || string(got) != record {
			t.Errorf("%q was read as %q, %v", record, got, err)
		}
	}
}

func TestABombIsNotUnpacked(t *testing.T) {
	bomb := zlibrecord.Pack(make([]byte, 10<<20))
	var large *zlibrecord.TooLargeError
	if _, err := zlibrecord.Unpack(bomb, 1<<20); !errors.As(err, &large) {
		t.Errorf("unpacked: %v", err)
	}
	if _, err := zlibrecord.Unpack(bomb, 10<<20); err != nil {
		t.Error(err)
	}
}

func TestADamagedRecordIsAnError(t *testing.T) {
	packed := zlibrecord.Pack([]byte(strings.Repeat("data ", 100)))
	short, last := packed[:len(packed)-1], packed[len(packed)-1]
	for _, record := range [][]byte{[]byte(".z"), []byte(".znoise"), short, append(bytes.Clone(short), last^1)} {
		if got, err := zlibrecord.Unpack(record, 1<<20); err == nil {
			t.Errorf("%q was read as %q", record, got)
		}
	}
}
