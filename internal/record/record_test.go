package record

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/zrsd/zrsd/internal/pickle"
	"github.com/zrsd/zrsd/internal/zlibrecord"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var update = flag.Bool("update", false, "write the expected output anew")

// A sample is a record that testdata/records.py has made.
type sample struct{ Oid, Record string }

func samples(tb testing.TB) (list []sample) {
	tb.Helper()
	f, err := os.Open("testdata/records.jsonl")
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var s sample
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			tb.Fatal(err)
		}
		list = append(list, s)
	}
	if lines.Err() != nil || len(list) == 0 {
		tb.Fatalf("%d samples, %v", len(list), lines.Err())
	}
	return list
}

func (s *sample) bytes(tb testing.TB) []byte {
	tb.Helper()
	b, err := hex.DecodeString(s.Record)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// Records that real packages have made read as what they are, whichever protocol has written them.
func TestRecordsOfRealPackages(t *testing.T) {
	var out strings.Builder
	for _, s := range samples(t) {
		d, err := Decode(s.bytes(t), Limits{})
		if err != nil {
			t.Fatalf("%s: %v", s.Oid, err)
		}
		document, err := json.Marshal(d)
		if err != nil {
			t.Fatalf("%s: %v", s.Oid, err)
		}
		fmt.Fprintf(&out, "== %s %s\n%v\n%s\n", s.Oid, d.Class, d.State, document)
	}
	const golden = "testdata/records.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if out.String() != string(want) {
		t.Errorf("run the test with -update and compare %s with what the records are:\n%s", golden, out.String())
	}
}

func TestFormsOfReferences(t *testing.T) {
	const oid, want = "U\x08\x00\x00\x00\x00\x00\x00\x00\x07", "0000000000000007"
	for name, c := range map[string]struct{ id, shown string }{
		"oid":                    {oid, "<" + want + ">"},
		"oid and class":          {"(" + oid + "cm\nC\nt", "<" + want + " m.C>"},
		"oid and names":          {"(" + oid + "(U\x01mU\x01Ctt", "<" + want + " m.C>"},
		"weak":                   {"(U\x01w(" + oid + "tl", "<weak " + want + ">"},
		"weak, another database": {"(U\x01w(" + oid + "U\x02dbtl", "<weak " + want + ` in database "db">`},
		"weak, old":              {"(" + oid + "l", "<weak " + want + ">"},
		"another database":       {"(U\x01n(U\x02db" + oid + "tl", "<" + want + ` in database "db">`},
		"with a class":           {"(U\x01m(U\x02db" + oid + "cm\nC\ntl", "<" + want + ` m.C in database "db">`},
		"none of them":           {"K\x01", "<a reference in no known form>"},
	} {
		d, err := Decode([]byte("cm\nC\n."+c.id+"Q."), Limits{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if d.State.String() != c.shown {
			t.Errorf("%s: %v, want %s", name, d.State, c.shown)
		}
	}
}

func TestFormsOfClasses(t *testing.T) {
	for pickled, want := range map[string]string{
		"cm\nC\n.":                "m.C <nil>",
		"(cm\nC\nNt.":             "m.C <nil>",
		"(cm\nC\n(K\x01tt.":       "m.C (1,)",
		"((U\x01mU\x01CtNt.":      "m.C <nil>",
		"((U\x01mU\x01Ct(I3\ntt.": "m.C (3,)",
	} {
		d, err := Decode([]byte(pickled+"N."), Limits{})
		if err != nil {
			t.Errorf("%q: %v", pickled, err)
			continue
		}
		if got := strings.TrimSpace(fmt.Sprint(d.Class, " ", d.Args)); got != want {
			t.Errorf("%q: %s, want %s", pickled, got, want)
		}
	}
	if _, err := Decode([]byte("K\x01.N."), Limits{}); err == nil {
		t.Error("a number counts as a class")
	}
}

// Each tuple mentions the one before it ten times: as a tree it would have 10^40 nodes.
func TestTreesAreBounded(t *testing.T) {
	bomb := "cm\nC\n.(K\x01tq\x00"
	for i := range 40 {
		bomb += "(" + strings.Repeat(fmt.Sprintf("h%c", byte(i)), 10) + fmt.Sprintf("tq%c", byte(i+1))
	}
	d, err := Decode([]byte(bomb+"."), Limits{Nodes: 1000})
	if err != nil {
		t.Fatal(err)
	}
	document, err := json.Marshal(d.State)
	if err != nil || len(document) > 100_000 || len(d.State.String()) > 200_000 {
		t.Errorf("%d bytes of JSON, %d of text, %v", len(document), len(d.State.String()), err)
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range samples(f) {
		f.Add(s.bytes(f))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := Decode(data, Limits{Bytes: 1 << 20, Nodes: 1000})
		if err != nil {
			return
		}
		document, err := json.Marshal(d)
		if err != nil || !json.Valid(document) {
			t.Errorf("%v in %s", err, document)
		}
		if n := len(d.State.String()); n > 2_000_000+10*len(data)*1000 {
			t.Errorf("%d bytes of text for a record of %d", n, len(data))
		}
	})
}

// The class is read from the beginning of a record, compressed or not.
func TestTheClassIsInTheBeginning(t *testing.T) {
	for _, s := range samples(t) {
		whole := s.bytes(t)
		d, err := Decode(whole, Limits{})
		if err != nil {
			t.Fatalf("%s: %v", s.Oid, err)
		}
		plain, err := zlibrecord.Unpack(whole, zlibrecord.Limit)
		if err != nil {
			t.Fatal(err)
		}
		_, state, err := pickle.LoadPrefix(plain, pickle.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		packed := zlibrecord.Pack(append(plain, make([]byte, 1<<20)...))
		for name, head := range map[string][]byte{
			"whole": whole, "cut": plain[:len(plain)-len(state)], "packed": packed,
			"packed and cut": packed[:len(packed)-9],
		} {
			if class := ClassOf(head); class != d.Class {
				t.Errorf("%s, %s: %q, want %q", s.Oid, name, class, d.Class)
			}
		}
	}
	for _, hostile := range []string{"", ".z", ".zx", "\x80", "x", ".z" + strings.Repeat("\x00", 100), "N.", "(."} {
		if class := ClassOf([]byte(hostile)); class != "" {
			t.Errorf("%q: %q", hostile, class)
		}
	}
}
