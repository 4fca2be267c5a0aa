package references

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/zrsd/zrsd/internal/zlibrecord"
	"github.com/zrsd/zrsd/zodb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type vector struct {
	Name, Hex, Error string
	Refs             []string
}

func vectors(tb testing.TB) (list []vector) {
	tb.Helper()
	b, err := os.ReadFile("../../testdata/filestorage/vectors/references.json")
	if err == nil {
		err = json.Unmarshal(b, &list)
	}
	if err != nil || len(list) == 0 {
		tb.Fatal(err)
	}
	return list
}

func (v *vector) record(tb testing.TB) []byte {
	tb.Helper()
	b, err := hex.DecodeString(v.Hex)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// instead is what is found where ZODB fails on what Python 2 wrote, or finds something that no oid can be.
var instead = map[string][]zodb.Oid{
	"python 2 app_p1":                      {0x80, 3},
	"python 2 app_p2":                      {0x80, 3},
	"oid as short string with a high byte": {0x87},
	"text protocol PERSID":                 nil,
}

// The references are those that the real ZODB finds.
func TestReferencesAreThoseOfZODB(t *testing.T) {
	var s Scanner
	for _, v := range vectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			got, err := s.Scan(v.record(t), nil)
			want, special := instead[v.Name]
			if !special {
				for _, ref := range v.Refs {
					b, err := hex.DecodeString(ref)
					if err != nil {
						t.Fatal(err)
					}
					want = append(want, zodb.Oid(binary.BigEndian.Uint64(b)))
				}
			}
			failed := v.Error != "" || special
			if special && want != nil {
				failed = false
			}
			var e *formatError
			if errors.As(err, &e) != failed {
				t.Errorf("error %v, want one: %v", err, failed)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

const class, none = "cm\nC\nq\x00.", "N."

// Forms of pickles that ZODB does not write today, and damage.
func TestForms(t *testing.T) {
	ref := zodb.Oid(0x3031323334353637) // "01234567"
	const escaped = `V\u0000\u0000\u0000\u0000\u0000\u0000\u0000A` + "\nQ."
	const frame = "\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00"
	for name, c := range map[string]struct {
		record string
		want   []zodb.Oid
		reason string
	}{
		"protocol 0, literal":         {"cm\nC\np0\n.(S'01234567'\np1\ng0\nt(lP01234567\n.", []zodb.Oid{ref}, ""},
		"protocol 0, escapes":         {class + `(S'\x00\x00\x00\x00\x00\x00\n\\'` + "\ntQ.", []zodb.Oid{0x0a5c}, ""},
		"protocol 0, text":            {class + escaped, []zodb.Oid{'A'}, ""},
		"memo shared by the pickles":  {"C\x0801234567q\x05." + "h\x05Q.", []zodb.Oid{ref}, ""},
		"same oid from the memo":      {class + "(C\x0801234567q\x01Qh\x01Qt.", []zodb.Oid{ref, ref}, ""},
		"protocol 4, memoized":        {none + frame + "(C\x0801234567\x94h\x00\x85Qt.", []zodb.Oid{ref}, ""},
		"a list that is filled":       {class + "](X\x01\x00\x00\x00wC\x0801234567\x85eQ.", nil, ""},
		"duplicate on the stack":      {class + "C\x08012345672\x86Q.", []zodb.Oid{ref}, ""},
		"an oid that is no reference": {class + "C\x0801234567.", nil, ""},
		"text that is not ASCII":      {class + "X\x08\x00\x00\x00\xc3\xbc234567Q.", nil, "no known form"},
		"a reference of 7 bytes":      {class + "C\x070123456Q.", nil, "no known form"},
		"a reference that is None":    {class + "NQ.", nil, "no known form"},
		"no state":                    {class, nil, "missing"},
		"empty stack":                 {class + ".", nil, "missing"},
		"below the mark":              {class + "N(0a.", nil, "missing"},
		"no mark":                     {class + "t.", nil, "mark"},
		"length beyond the end":       {class + "T\xff\xff\xff\xff01234567Q.", nil, "missing"},
		"huge memo number":            {class + "Nr\xff\xff\xff\xff.", nil, "memo number"},
		"nothing in the memo":         {class + "h\x07.", nil, "memo"},
		"unknown opcode":              {class + "\xff.", nil, "0xff"},
		"buffer outside":              {class + "\x97.", nil, "0x97"},
		"line without end":            {class + "I12", nil, "line"},
		"trailing bytes":              {class + none + "\xff", nil, ""},
		"compressed, and cut":         {".z\x78\x9c", nil, "unpacking"},
		"compressed": {string(zlibrecord.Pack([]byte(class + strings.Repeat("N0", 100) + "C\x0801234567Q."))),
			[]zodb.Oid{ref}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var s Scanner
			got, err := s.Scan([]byte(c.record), nil)
			var e *formatError
			switch {
			case c.reason == "" && err != nil, c.reason != "" && !errors.As(err, &e),
				c.reason != "" && !strings.Contains(e.reason, c.reason):
				t.Fatalf("%v, want %q", err, c.reason)
			case c.reason != "":
				return
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// Python 3 writes bytes in protocols below 3 as a call, which is an oid where its result is.
func TestBytesThatAreMadeOfTextAreFollowed(t *testing.T) {
	const (
		class  = "cm\nC\n."
		encode = "c_codecs\nencode\n"
		latin1 = "X\x06\x00\x00\x00latin1"
		high   = "X\x09\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xc2\x80" // oid 0x80
		ascii  = "X\x08\x00\x00\x0001234567"
	)
	ref := zodb.Oid(0x3031323334353637)
	for name, c := range map[string]struct {
		record string
		want   []zodb.Oid
		reason string
	}{
		"protocol 2":               {class + encode + high + latin1 + "\x86RQ.", []zodb.Oid{0x80}, ""},
		"protocol 2, with a class": {class + encode + high + latin1 + "\x86Rcm\nC\n\x86Q.", []zodb.Oid{0x80}, ""},
		"protocol 1": {class + "(" + encode + "(" + high + latin1 + "tRcm\nC\ntQ.", []zodb.Oid{0x80},
			""},
		"protocol 0":                  {class + encode + "(V\x00\x00\x00\x00\x00\x00\x00\x80\nVlatin1\ntRQ.", []zodb.Oid{0x80}, ""},
		"protocol 0, escaped":         {class + encode + "(V\\u0000\\u0000\\u0000\\u0000\\u0000\\u0000\\u0000\x80\nVlatin1\ntRQ.", []zodb.Oid{0x80}, ""},
		"all ASCII":                   {class + encode + ascii + latin1 + "\x86RQ.", []zodb.Oid{ref}, ""},
		"twice, by way of the memo":   {class + encode + "q\x01" + high + latin1 + "q\x02\x86RQ0h\x01" + ascii + "h\x02\x86R\x85Q.", []zodb.Oid{0x80, ref}, ""},
		"the result from the memo":    {class + encode + high + latin1 + "\x86Rq\x01Q0h\x01Q.", []zodb.Oid{0x80, 0x80}, ""},
		"as a weak reference":         {class + "]X\x01\x00\x00\x00w" + encode + high + latin1 + "\x86R\x85\x86aQ.", nil, ""},
		"no reference":                {class + encode + high + latin1 + "\x86R.", nil, ""},
		"a tuple of text, not called": {class + ascii + latin1 + "\x86Q.", []zodb.Oid{ref}, ""},
		"text alone":                  {class + high + "Q.", nil, "no known form"},
		"arguments alone":             {class + high + latin1 + "\x86Q.", nil, "no known form"},
		"another function":            {class + "c_codecs\ndecode\n" + high + latin1 + "\x86RQ.", nil, "no known form"},
		"another codec":               {class + encode + high + "X\x04\x00\x00\x00utf8\x86RQ.", nil, "no known form"},
		"a character above U+00FF":    {class + encode + "X\x09\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xc4\x80" + latin1 + "\x86RQ.", nil, "no known form"},
		"seven characters":            {class + encode + "X\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00\xc2\x80" + latin1 + "\x86RQ.", nil, "no known form"},
	} {
		var s Scanner
		got, err := s.Scan([]byte(c.record), nil)
		if c.reason == "" && err != nil || c.reason != "" && (err == nil || !strings.Contains(err.Error(), c.reason)) {
			t.Errorf("%s: %v, want %q", name, err, c.reason)
			continue
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestACompressedBombIsNotUnpacked(t *testing.T) {
	defer func(limit int64) { unpackLimit = limit }(unpackLimit)
	unpackLimit = 1 << 20
	var s Scanner
	if _, err := s.Scan(
		zlibrecord.Pack(make([]byte, unpackLimit+1)),
		nil,
	); err == nil ||
		!strings.Contains(err.Error(), "allowed") {
		t.Errorf("%v", err)
	}
}

// A scanner does not carry anything over from one record to the next, neither what is found nor what is remembered.
func TestScannerForgets(t *testing.T) {
	const enters, refers = "C\x0801234567q\x05", "h\x05Q."
	want := []zodb.Oid{0x3031323334353637}
	var s Scanner
	if got, err := s.Scan([]byte(enters+".N"+refers), nil); err != nil || !cmp.Equal(got, want) {
		t.Fatalf("in one record: %v, %v", got, err)
	}
	got, err := s.Scan([]byte("N.N"+refers), nil)
	var e *formatError
	if !errors.As(err, &e) || e.reason != "nothing in the memo under 5" || len(got) > 0 {
		t.Errorf("with the memo of another record: %v, %v", got, err)
	}
	if got, err := s.Scan([]byte("N.N."), nil); err != nil || len(got) > 0 {
		t.Errorf("after a record that was broken: %v, %v", got, err)
	}
}

// No bytes make the scanner panic, or find more than a record of that length can refer to.
func FuzzScan(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(v.record(f))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var s Scanner
		oids, err := s.Scan(b, nil)
		if zlibrecord.Is(b) {
			return // small on the outside
		}
		if len(oids) > len(b) || err != nil && len(oids) > 0 {
			t.Errorf("%d references, %v", len(oids), err)
		}
		if cap(s.memo) > 4*len(b)+64 || cap(s.stack) > 4*len(b)+64 {
			t.Errorf("%d bytes need a memo of %d and a stack of %d", len(b), cap(s.memo), cap(s.stack))
		}
	})
}

func BenchmarkScan(b *testing.B) {
	list := vectors(b)
	var s Scanner
	var oids []zodb.Oid
	record := list[6].record(b)
	b.SetBytes(int64(len(record)))
	b.ReportAllocs()
	for b.Loop() {
		oids, _ = s.Scan(record, oids[:0])
	}
}
