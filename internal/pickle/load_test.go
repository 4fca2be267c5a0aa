package pickle

import (
	"bytes"
	"errors"
	"math/big"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var compareInts = cmp.Comparer(func(a, b *big.Int) bool { return a.Cmp(b) == 0 })

func TestWhatPicklesOfEveryAgeSay(t *testing.T) {
	class := Global{"app.model", "Thing"}
	stated := &Object{Make: MakeNew, Class: class, Args: Tuple{}, HasState: true,
		State: &Dict{[]Pair{{ByteString("a"), int64(1)}}}}
	oid := "\x00\x00\x00\x00\x00\x00\x00\x01"
	for name, c := range map[string]struct {
		in   string
		want Value
	}{
		"a byte string of Python 2":      {"U\x03abc.", ByteString("abc")},
		"a long byte string of Python 2": {"T\x03\x00\x00\x00abc.", ByteString("abc")},
		"a byte string in letters":       {`S'a\'\\\n\x00\xff"'` + "\n.", ByteString("a'\\\n\x00\xff\"")},
		"text in letters":                {"Va\\u20ac\\U0001f600\xe4\\n\n.", "a€😀ä\\n"},
		"a lone surrogate":               {"V\\ud800\n.", "\xed\xa0\x80"},
		"integers in letters": {
			"(I1\nI-5\nL7L\nL99999999999999999999L\nt.",
			Tuple{int64(1), int64(-5), int64(7), big99()},
		},
		"booleans before protocol 2": {"(I01\nI00\nt.", Tuple{true, false}},
		"a float in letters":         {"F1.5\n.", 1.5},
		"a list, a dictionary from a mark": {
			"((lp0\n(dp1\nt.", Tuple{&List{[]Value{}}, &Dict{[]Pair{}}},
		},
		"protocol 4":              {"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00\x8c\x01a\x94.", "a"},
		"protocol 5, a bytearray": {"\x80\x05\x96\x01\x00\x00\x00\x00\x00\x00\x00a\x94.", byteArray([]byte("a"))},
		"protocol 4, a set":       {"\x80\x04\x8f\x94(K\x01K\x02\x90.", setOf([]Value{int64(1), int64(2)})},
		"bytes for Python 2 and 3": {"c_codecs\nencode\n(X\x04\x00\x00\x00\xc3\xa4\xc3\xbfX\x06\x00\x00\x00latin1tR.",
			Bytes("\xe4\xff")},
		"no bytes for Python 2 and 3": {"c__builtin__\nbytes\n)R.", Bytes{}},
		"ZODB's bytes":                {"\x80\x02czodbpickle\nbinary\nU\x01\xff\x85R.", Bytes("\xff")},
		"an encoding that is not known stays": {"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x05\x00\x00\x00utf-8tR.",
			reduce("_codecs", "encode", "a", "utf-8")},
		"a class by its old name":            {"c__builtin__\nset\n.", Global{"builtins", "set"}},
		"in protocol 3 names are those of 3": {"\x80\x03c__builtin__\nset\n.", Global{"__builtin__", "set"}},
		"an object with a state":             {"\x80\x02capp.model\nThing\n)\x81}U\x01aK\x01sb.", stated},
		"a persistent reference": {
			"\x80\x02U\x08" + oid + "capp.model\nThing\n\x86Q.", Persistent{Tuple{ByteString(oid), class}},
		},
		"a class with a number": {"\x80\x02\x82\x07.", Extension(7)},
		"an instance of an old class": {
			"(iapp.model\nThing\n.", &Object{Make: MakeInst, Class: class, Args: Tuple{}},
		},
		"what was popped is gone":               {"K\x01K\x020.", int64(1)},
		"what was doubled is there twice":       {"K\x012\x86.", Tuple{int64(1), int64(1)}},
		"what is after a mark can be discarded": {"K\x01(K\x02K\x031.", int64(1)},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Load([]byte(c.in), Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got, compareInts); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func big99() *big.Int {
	n, _ := new(big.Int).SetString("99999999999999999999", 10)
	return n
}

func reduce(module, name string, args ...Value) *Object {
	return &Object{Make: MakeReduce, Class: Global{module, name}, Args: Tuple(args)}
}

func TestWhatNobodyKnowsComesOutAsItWentIn(t *testing.T) {
	thing := &Object{
		Make: MakeNew, Class: Global{"app.model", "Thing"}, Args: Tuple{int64(1)},
		Appended: []Value{"a", "b"}, Set: []Pair{{"k", Persistent{"p"}}},
		State: &Dict{[]Pair{{"x", nil}}}, HasState: true,
	}
	thing.Appended = append(thing.Appended, reduce("app", "f", int64(3)), Extension(300), ByteString("py2"),
		&Object{Make: MakeInst, Class: Global{"a", "B"}, Args: Tuple{int64(2)}},
		&Object{Make: MakeNewEx, Class: Global{"a", "B"}, Args: Tuple{},
			Keywords: &Dict{}})
	for _, style := range []Style{Proto1Fast, Proto3, Proto3Fast} {
		b, err := Dump(thing, style, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := Load(b, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(Value(thing), got); diff != "" {
			t.Error(diff)
		}
	}
}

func TestAListThatContainsItselfIsReadAndWrittenWithAMemo(t *testing.T) {
	in := []byte("\x80\x03]q\x00h\x00a.")
	v, err := Load(in, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	list, ok := v.(*List)
	if !ok || len(list.Items) != 1 || list.Items[0] != v {
		t.Fatalf("got %#v", v)
	}
	if out, err := Dump(v, Proto3, Limits{}); err != nil || !bytes.Equal(out, in) {
		t.Errorf("got %q, %v", out, err)
	}
	var limit *LimitError
	if _, err := Dump(v, Proto3Fast, Limits{}); !errors.As(err, &limit) {
		t.Errorf("without a memo: got %v", err)
	}
}

func TestHostilePicklesAreRefused(t *testing.T) {
	laughs := "]q\x00" // each list has the one before it ten times
	for i := byte(0); i < 100; i++ {
		laughs += "](" + strings.Repeat("h"+string([]byte{i}), 10) + "eq" + string([]byte{i + 1})
	}
	for name, in := range map[string]string{
		"nothing":                           "",
		"no end":                            "K\x01",
		"an empty stack":                    ".",
		"a pop from an empty stack":         "0.",
		"a length that is not there":        "B\xff\xff\xff\xffab.",
		"a length of 64 bits":               "\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\xff.",
		"text that is not UTF-8":            "X\x01\x00\x00\x00\xff.",
		"a pop below a mark":                "K\x01(0\x85.(K\x01\x86.",
		"a tuple of more than there is":     "K\x01\x86.",
		"a key without a value":             "}(K\x01u.",
		"appending to a number":             "K\x01K\x02a.",
		"filling None":                      "NK\x02a.",
		"a state for a number":              "K\x01}b.",
		"an empty memo entry":               "h\x00.",
		"an opcode that is none":            "\xff.",
		"a protocol of the future":          "\x80\x06N.",
		"a buffer outside of the pickle":    "\x80\x05\x97.",
		"a huge integer in letters":         "L" + strings.Repeat("9", 1<<20) + "L\n.",
		"a huge integer":                    "\x8b\xff\xff\xff\x7f.",
		"a line without an end":             "I" + strings.Repeat("1", 1000),
		"deep tuples":                       "N" + strings.Repeat("\x85", 1000) + ".",
		"deep lists":                        strings.Repeat("]", 1000) + strings.Repeat("a", 999) + ".",
		"deep marks":                        strings.Repeat("(", 100000) + ".",
		"more after the end":                "N.N",
		"an object without a class":         "(o.",
		"a persistent id that is not ASCII": "P\x8b\n.",
		"a class whose name is a number":    "\x80\x04K\x01K\x02\x93.",
		"a billion laughs beyond all depth": laughs + ".",
	} {
		t.Run(name, func(t *testing.T) {
			v, err := Load([]byte(in), Limits{})
			var syntax *syntaxError
			var limit *LimitError
			if name == "a billion laughs beyond all depth" && err == nil { // small for who shares
				_, err = Dump(v, Proto3Fast, Limits{Bytes: 1 << 16})
			}
			if !errors.As(err, &syntax) && !errors.As(err, &limit) {
				t.Errorf("got %v, %v", v, err)
			}
		})
	}
}

func TestLimitsAreCounted(t *testing.T) {
	many := "](" + strings.Repeat("N", 100) + "e."
	if _, err := Load([]byte(many), Limits{Values: 101}); err != nil {
		t.Error(err)
	}
	var limit *LimitError
	if _, err := Load([]byte(many), Limits{Values: 100}); !errors.As(err, &limit) || limit.What != "values" {
		t.Errorf("got %v", err)
	}
	if _, err := Load([]byte(many), Limits{Bytes: 50}); !errors.As(err, &limit) || limit.What != "bytes" {
		t.Errorf("got %v", err)
	}
	if _, err := Dump(struct{}{}, Proto3, Limits{}); err == nil {
		t.Error("a value of another type was written")
	}
}

func FuzzLoad(f *testing.F) {
	for _, seed := range []string{"\x80\x03}q\x00(X\x01\x00\x00\x00aq\x01C\x01bu.",
		"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x06\x00\x00\x00latin1tR.",
		"(S'a'\nI01\nL5L\nF1.5\nVx\nt.", "\x80\x04\x8f(K\x01\x90\x94h\x00\x86.", "(capp\nA\no}b.", "]q\x00h\x00a.",
	} {
		f.Add([]byte(seed))
	}
	lim := Limits{Bytes: 1 << 16, Values: 1 << 12, Nesting: 50}
	f.Fuzz(func(t *testing.T, in []byte) {
		v, err := Load(in, lim)
		if err != nil {
			return
		}
		for _, style := range []Style{Proto1Fast, Proto3Fast} {
			out, err := Dump(v, style, lim)
			if err != nil {
				continue // shared too often, or nested too deep through the memo
			}
			again, err := Load(out, Limits{})
			if err != nil {
				t.Fatalf("%q became %q: %v", in, out, err)
			}
			second, err := Dump(again, style, Limits{})
			if err != nil || !bytes.Equal(out, second) {
				t.Fatalf("%q, read and written again: %q, %v", out, second, err)
			}
		}
	})
}
