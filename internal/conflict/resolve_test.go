package conflict

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/internal/zlibrecord"
)

func record(t *testing.T, class, state pickle.Value) []byte {
	t.Helper()
	b, err := pickle.DumpRecord(class, state, limits)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func class(name string) pickle.Global {
	return pickle.Global{Module: "BTrees." + name[:2] + "BTree", Name: name}
}

func items(v ...pickle.Value) pickle.Tuple { return pickle.Tuple{pickle.Tuple(v)} }

func TestWhatNeedsAnApplicationIsLeftToTheClient(t *testing.T) {
	thing := pickle.Global{Module: "app", Name: "Thing"}
	object := &pickle.Object{Make: pickle.MakeNew, Class: thing, Args: pickle.Tuple{}}
	empty, several := items(), pickle.Tuple{pickle.Tuple{}, nil}
	one := items(int64(1))
	for name, c := range map[string]struct {
		class                pickle.Value
		old, committed, sent pickle.Value
	}{
		"a class of an application":      {thing, int64(0), int64(1), int64(2)},
		"a class that takes arguments":   {pickle.Tuple{class("OOBucket"), pickle.Tuple{"x"}}, empty, empty, empty},
		"keys of an application's class": {class("OOSet"), items(object), items(object), items(object)},
		"values of such a class that both kept": {class("OOBucket"), items("a", object), items("a", object, "b", nil),
			items("a", object, "c", nil)},
		"a key of another family": {class("IISet"), one, items(int64(1), "a"), items(int64(1), int64(2))},
		"a number too large":      {class("IISet"), one, items(int64(1), int64(1<<31)), items(int64(1), int64(2))},
		"a key without a value":   {class("OOBucket"), items("a"), items("a"), items("a")},
		"a state that is none":    {class("OOBucket"), "a", "b", "c"},
		"a tree of many buckets":  {class("OOBTree"), several, several, several},
		"a half counter":          {pickle.Global{Module: "BTrees.Length", Name: "Length"}, 0.5, int64(1), int64(1)},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Resolve(record(t, c.class, c.old), record(t, c.class, c.committed), record(t, c.class, c.sent))
			if !errors.Is(err, errUnresolved) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestWhatIsOnlyMovedMayBeAnything(t *testing.T) {
	object := &pickle.Object{
		Make: pickle.MakeNew, Class: pickle.Global{Module: "app", Name: "Thing"}, Args: pickle.Tuple{},
		State: &pickle.Dict{Items: []pickle.Pair{{Key: "x", Value: int64(1)}}}, HasState: true,
	}
	of := class("OOBucket")
	got, err := Resolve(record(t, of, items("a", "1")), record(t, of, items("a", "1", "b", object)),
		record(t, of, items("a", "1", "c", "3")))
	want := record(t, of, items("a", "1", "b", object, "c", "3"))
	if err != nil || string(got) != string(want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

func TestBytesThatAreNoRecordAreAnError(t *testing.T) {
	good := record(t, class("OOSet"), items("a"))
	for _, bad := range [][]byte{nil, good[:len(good)-1], good[:10], append(good[:len(good):len(good)], '.')} {
		for at := range 3 {
			three := [][]byte{good, good, good}
			three[at] = bad
			if _, err := Resolve(three[0], three[1], three[2]); err == nil {
				t.Errorf("%q at %d was merged", bad, at)
			}
		}
	}
}

// FuzzResolve merges whatever comes: what it makes must be a record of the same class that the rules can read again.
func FuzzResolve(f *testing.F) {
	file, err := os.Open("testdata/conflicts.jsonl")
	if err != nil {
		f.Fatal(err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for n := 0; n < 50 && lines.Scan(); n++ {
		var c struct{ Old, Committed, Sent string }
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			f.Fatal(err)
		}
		var b [3][]byte
		for i, s := range []string{c.Old, c.Committed, c.Sent} {
			if b[i], err = hex.DecodeString(s); err != nil {
				f.Fatal(err)
			}
		}
		f.Add(b[0], b[1], b[2])
	}
	f.Fuzz(func(t *testing.T, old, committed, sent []byte) {
		merged, err := Resolve(old, committed, sent)
		if err != nil {
			return
		}
		if _, err := Resolve(merged, merged, merged); err != nil && !errors.Is(err, errUnresolved) {
			t.Errorf("merged to %q, which cannot be read: %v", merged, err)
		}
	})
}

// Tuples in tuples, each mentioned twice, are small as a record and endless to compare, which is done under the commit
// lock.
func TestAMergeEndsWhateverItsKeysAre(t *testing.T) {
	endless := "\x80\x03cBTrees.OOBTree\nOOSet\n.\x80\x03)q\x01" + strings.Repeat(
		"0h\x01h\x01\x86q\x01",
		60,
	) + "\x85\x85."
	if _, err := Resolve([]byte(endless), []byte(endless), []byte(endless)); !errors.Is(err, errUnresolved) {
		t.Errorf("resolved: %v", err)
	}
}

// Clients with <zlibstorage> send compressed records. What is merged of them is compressed as well.
func TestCompressedRecordsAreMerged(t *testing.T) {
	length := pickle.Global{Module: "BTrees.Length", Name: "Length"}
	many := func(last int64) []byte {
		return record(t, class("IISet"), pickle.Tuple{append(fifty(), last)})
	}
	for name, c := range map[string]struct{ old, committed, sent, want []byte }{
		"a counter": {record(t, length, int64(1)), record(t, length, int64(3)), record(t, length, int64(5)),
			record(t, length, int64(7))},
		"a set": {record(t, class("IISet"), pickle.Tuple{fifty()}), many(100), many(200),
			record(t, class("IISet"), pickle.Tuple{append(fifty(), int64(100), int64(200))})},
	} {
		got, err := Resolve(zlibrecord.Pack(c.old), c.committed, zlibrecord.Pack(c.sent))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if zlibrecord.Is(zlibrecord.Pack(c.sent)) != zlibrecord.Is(got) {
			t.Errorf("%s: compressed %v", name, zlibrecord.Is(got))
		}
		inside, err := zlibrecord.Unpack(got, zlibrecord.Limit)
		if err != nil || string(inside) != string(c.want) {
			t.Errorf("%s: got %q, want %q, %v", name, inside, c.want, err)
		}
	}
}

func fifty() pickle.Tuple {
	keys := pickle.Tuple{}
	for i := range int64(50) {
		keys = append(keys, i)
	}
	return keys
}
