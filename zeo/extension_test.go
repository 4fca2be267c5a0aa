package zeo

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/zeo/wire"
	"github.com/zrsd/zrsd/zodb"
)

// begin is a message of a client, with the extension as it is in the client's pickle.
func begin(extension string) string {
	return "\x80\x03(K\x00\x88X\x09\x00\x00\x00tpc_begin(\x8a\x06\x00\x00\x00\x00\x00\x01C\x01uC\x01d" + extension + "NX\x01\x00\x00\x00 tt."
}

// A pickle of which a client makes part of the file runs in every Python that opens it.
func TestAnExtensionWithAClassIsRefusedAsByTheReferenceServer(t *testing.T) {
	s := start(t, Options{}, StorageOptions{})
	for name, extension := range map[string]string{
		"a call":                   "}X\x01\x00\x00\x00xcos\nmkdir\nX\x01\x00\x00\x00d\x85Rs",
		"a harmless class":         "}X\x01\x00\x00\x00xcdecimal\nDecimal\nX\x01\x00\x00\x001\x85Rs",
		"a function of builtins":   "}X\x01\x00\x00\x00xcbuiltins\neval\nX\x01\x00\x00\x001\x85Rs",
		"the class itself":         "}X\x01\x00\x00\x00xcbuiltins\nset\ns",
		"an OrderedDict":           "ccollections\nOrderedDict\n)RX\x01\x00\x00\x00xK\x01s",
		"a filter":                 "}X\x01\x00\x00\x00xcZopeUndo.Prefix\nPrefix\n)\x81s",
		"a set with a state":       "}X\x01\x00\x00\x00xcbuiltins\nset\n]\x85R}bs",
		"a registered class":       "}X\x01\x00\x00\x00x\x82\x01s",
		"a persistent reference":   "}X\x01\x00\x00\x00xC\x08........Qs",
		"a class by its key":       "}cdecimal\nDecimal\nX\x01\x00\x00\x001\x85RK\x01s",
		"a key without a hash":     "}]K\x01s",
		"bytes that are no pickle": "C\x03abc",
		"a pickle with a class":    "C\x17cdecimal\nDecimal\nU\x011\x85R.",
		"tuples without end":       "}X\x01\x00\x00\x00x" + bomb + "s",
	} {
		p, _ := s.register(t)
		p.raw([]byte(begin(extension)))
		p.cut()
		if tid := s.st.LastTid(); tid != 0 {
			t.Errorf("%s: committed", name)
		}
	}
}

// bomb is a tuple of two tuples that are one, and so on: 2^60 values.
var bomb = ")q\x01" + strings.Repeat("0h\x01h\x01\x86q\x01", 60)

func TestWhatIsAValueMayBeInAnExtension(t *testing.T) {
	s := start(t, Options{}, StorageOptions{})
	for name, extension := range map[string]string{
		"text":           "}X\x01\x00\x00\x00xX\x01\x00\x00\x00ys",
		"containers":     "}X\x01\x00\x00\x00x]K\x01K\x02\x86as",
		"a set":          "}X\x01\x00\x00\x00xcbuiltins\nset\n]K\x01a\x85Rs",
		"two bytes":      "}(C\x01aK\x01C\x01bK\x02u",
		"two tuples":     "}(K\x01\x85K\x01K\x02\x85K\x02u",
		"no dictionary":  "X\x01\x00\x00\x00y",
		"a call of dict": "cbuiltins\ndict\n]X\x01\x00\x00\x00xK\x01\x86a\x85R",
		"a pickle":       "C\x0a\x80\x03}U\x01xK\x01s.",
		"nothing":        "N",
	} {
		p, _ := s.register(t)
		p.raw([]byte(begin(extension)))
		p.call("vote", handle)
		p.call("tpc_finish", handle)
		for _, e := range p.call("undoLog", int64(0), int64(-1)).(*pickle.List).Items {
			if err := readable(e, p.codec); err != nil {
				t.Errorf("%s: a client cannot read %v", name, err)
			}
		}
	}
}

// What files have, as clients of each encoding get it.
func TestExtensionsInFilesAreReadByEveryClient(t *testing.T) {
	text := func(s string) string { return fmt.Sprintf("X%c\x00\x00\x00%s", len(s), s) }
	for _, c := range []struct {
		name, pickle, z5, m5 string
	}{
		{"keys of bytes", "\x80\x03}(C\x01aK\x01C\x01bK\x02u.", "b'a'=1 b'b'=2", ""},
		{"keys of tuples", "\x80\x03}(K\x01\x85K\x01K\x02\x85K\x02u.", "(1)=1 (2)=2", "none"},
		{"keys of numbers", "\x80\x03}(K\x01K\x01X\x01\x00\x00\x00xK\x02u.", "1=1 x=2", "x=2"},
		{"str of Python 2", "\x80\x02}(U\x01aU\x03abcU\x01bU\x02\xe4\xf6u.", "a=abc b=b'\xe4\xf6'", ""},
		{"an OrderedDict", "\x80\x03ccollections\nOrderedDict\n)R" + text("x") + "K\x01s.", "x=1", ""},
		{"a Decimal beside text", "\x80\x03}(" + text("x") + "cdecimal\nDecimal\n" + text("1") + "\x85R" + text("y") + "K\x01u.", "y=1", ""},
		{"a large number", "\x80\x03}(" + text("x") + "\x8a\x0a\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" + text("y") + "K\x01u.",
			"x=4722366482869645213696 y=1", "y=1"},
		{"half a character", "\x80\x03}(" + text("x") + text("\xed\xa0\x80") + text("y") + "K\x01u.", "x=\xed\xa0\x80 y=1", "y=1"},
		{"a list with itself inside", "\x80\x03}(" + text("x") + "]q\x01h\x01a" + text("y") + "K\x01u.", "y=1", ""},
		{"gigabytes in tuples", "\x80\x03}" + text("x") + bomb + "s.", "none", ""},
		{"text", "\x80\x03" + text("x") + ".", "none", ""},
		{"no pickle", "what", "none", ""},
	} {
		for _, encoding := range []string{wire.Z5, wire.M5} {
			want := c.z5
			if encoding == wire.M5 && c.m5 != "" {
				want = c.m5
			}
			p := (&client{encoding: encoding}).plainer()
			d := p.extensionOf([]byte(c.pickle))
			codec, _ := wire.CodecFor(encoding)
			if err := readable(d, codec); err != nil {
				t.Errorf("%s %s: a client cannot read %v", c.name, encoding, err)
			}
			if diff := cmp.Diff(strings.ReplaceAll(want, "none", ""), shownDict(d)); diff != "" {
				t.Errorf("%s %s: %s", c.name, encoding, diff)
			}
		}
	}
}

func shownDict(d *pickle.Dict) string {
	var parts []string
	for _, p := range d.Items {
		parts = append(parts, shownValue(p.Key)+"="+shownValue(p.Value))
	}
	return strings.Join(parts, " ")
}

func shownValue(v pickle.Value) string {
	switch v := v.(type) {
	case pickle.Bytes:
		return "b'" + string(v) + "'"
	case pickle.Tuple:
		return "(" + shownValue(v[0]) + ")"
	}
	return fmt.Sprint(v)
}

// The iterator of the reference server tells an extension that is no dictionary as it is, so copies keep it.
func TestTheIteratorTellsWhatIsNoDictionary(t *testing.T) {
	s := start(t, Options{}, StorageOptions{})
	for _, raw := range []string{"\x80\x03X\x01\x00\x00\x00x.", "\x80\x03ccollections\nOrderedDict\n)RX\x01\x00\x00\x00xK\x01s."} {
		txn, err := s.st.Begin(t.Context(), &zodb.TxnMeta{Extension: []byte(raw)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := txn.Finish(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	p, _ := s.register(t)
	s.until(t, "both are announced", func() bool { return tidIn(t, p.call("lastTransaction")) == s.st.LastTid() })
	id := p.call("iterator_start", nil, nil)
	if v := p.call("iterator_next", id).(pickle.Tuple)[4]; v != "x" {
		t.Errorf("text: %#v", v)
	}
	if d, _ := p.call("iterator_next", id).(pickle.Tuple)[4].(*pickle.Dict); d == nil || shownDict(d) != "x=1" {
		t.Errorf("an OrderedDict: %#v", d)
	}
}

func TestATransactionIsNotAnsweredWithGigabytes(t *testing.T) {
	s := start(t, Options{}, StorageOptions{})
	p, _ := s.register(t)
	p.raw([]byte("\x80\x03(K\x01\x89X\x04\x00\x00\x00vote" + bomb + "\x85t."))
	if m := p.receive(); m.Flag == 0 {
		t.Errorf("got %v", m)
	}
	p.raw([]byte("\x80\x03(" + bomb + "\x89X\x04\x00\x00\x00ping)t."))
	p.cut()
}

func TestTheStatusOfARestoredTransactionMayBeBytes(t *testing.T) {
	s := start(t, Options{}, StorageOptions{})
	for i, status := range []pickle.Value{pickle.Bytes("p"), "p"} {
		p, last := s.register(t)
		tid := last + 1
		p.tell("tpc_begin", handle, pickle.Bytes("u"), pickle.Bytes("d"), &pickle.Dict{}, tidValue(tid), status)
		p.tell("restorea", oidValue(0), tidValue(tid), pickle.Bytes("data"), nil, handle)
		p.call("vote", handle)
		p.call("tpc_finish", handle)
		if found, err := s.st.Find(t.Context(), tid); err != nil || found.Status != zodb.StatusPacked {
			t.Errorf("%d: %v, %v", i, found, err)
		}
	}
	p, _ := s.register(t)
	p.tell("tpc_begin", handle, pickle.Bytes("u"), pickle.Bytes("d"), &pickle.Dict{}, tidValue(9), pickle.Bytes("pp"))
	p.cut()
}
