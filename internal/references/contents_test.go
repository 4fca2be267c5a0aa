package references

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// shown is what a record has, in the order of its mentions and references.
func shown(c *Contents) (list []string) {
	name := func(i int) string {
		if i < 0 {
			return "-"
		}
		module, name := c.Names(i)
		return string(module) + "." + string(name)
	}
	list = append(list, "object "+name(c.Class))
	for i, m := range c.Mentions {
		use := [...]string{"in state", "of " + m.Target.String()[14:], "object"}[m.Use]
		list = append(list, fmt.Sprintf("%s %s %q", name(i), use, c.Record[m.At:m.End]))
	}
	for _, r := range c.References {
		s := fmt.Sprintf("%s %s", r.Oid.String()[14:], name(r.Class))
		if r.Database.Len > 0 {
			s += " " + string(r.Database.Of(c.Record))
		}
		if r.Weak {
			s += " weak"
		}
		list = append(list, s)
	}
	return list
}

func TestClassesAndReferences(t *testing.T) {
	const oid = "U\x08\x00\x00\x00\x00\x00\x00\x00\x07"
	for name, c := range map[string]struct {
		record string
		want   []string
	}{
		"a class": {"cm\nC\n.N.", []string{"object m.C", `m.C object "cm\nC\n"`}},
		"a class with arguments": {
			"(cm\nC\n(K\x01tt.N.", []string{"object m.C", `m.C object "cm\nC\n"`},
		},
		"a class by its names": {"(U\x01mU\x01CtN\x86.N.", []string{"object m.C", `m.C object "t"`}},
		"a class with names on the stack": {
			"\x80\x04\x8c\x01m\x94\x8c\x01C\x94\x93.N.", []string{"object m.C", `m.C object "\x93"`},
		},
		"a reference with the class of the object": {
			"cm\nC\nq\x01.(" + oid + "h\x01tQ.",
			[]string{"object m.C", `m.C object "cm\nC\n"`, `m.C of 07 "h\x01"`, "07 m.C"},
		},
		"a reference with names": {
			"cm\nC\n.(" + oid + "(U\x01nU\x01DttQ.",
			[]string{"object m.C", `m.C object "cm\nC\n"`, `n.D of 07 "t"`, "07 n.D"},
		},
		"a reference by its oid": {
			"cm\nC\n." + oid + "Q.", []string{"object m.C", `m.C object "cm\nC\n"`, "07 -"},
		},
		"a weak reference": {
			"cm\nC\n.](U\x01w" + oid + "\x85eQ.", []string{"object m.C", `m.C object "cm\nC\n"`, "07 - weak"},
		},
		"a weak reference to another database": {
			"cm\nC\n.](U\x01w" + oid + "U\x02db\x86eQ.",
			[]string{"object m.C", `m.C object "cm\nC\n"`, "07 - db weak"},
		},
		"an old weak reference": {
			"cm\nC\n." + oid + "q\x01](h\x01eQ.", []string{"object m.C", `m.C object "cm\nC\n"`, "07 - weak"},
		},
		"another database, with a name like an oid": {
			"cm\nC\n.](U\x01m(U\x08database" + oid + "cn\nD\nteQ.",
			[]string{"object m.C", `m.C object "cm\nC\n"`, `n.D in state "cn\nD\n"`, "07 n.D database"},
		},
		"another database, item by item": {
			"cm\nC\n.(lU\x01na(U\x02db" + oid + "taQ.",
			[]string{"object m.C", `m.C object "cm\nC\n"`, "07 - db"},
		},
		"an instance of Python 2": {
			"cm\nC\n.(in\nD\n.", []string{"object m.C", `m.C object "cm\nC\n"`, `n.D in state "in\nD\n"`},
		},
		"what may be names and is none": {"cm\nC\n.(U\x01aU\x01bt.", []string{"object m.C", `m.C object "cm\nC\n"`}},
	} {
		t.Run(name, func(t *testing.T) {
			var s Scanner
			var got Contents
			if err := s.Read([]byte(c.record), &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, shown(&got)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// What keeps objects alive is the same for a pack and for a report.
func TestContentsHaveTheReferencesOfScan(t *testing.T) {
	var s Scanner
	for _, v := range vectors(t) {
		oids, scanned := s.Scan(v.record(t), nil)
		var c Contents
		read := s.Read(v.record(t), &c)
		if (scanned == nil) != (read == nil) {
			t.Errorf("%s: %v, %v", v.Name, scanned, read)
		}
		if read != nil {
			continue
		}
		var strong []string
		for _, r := range c.References {
			if !r.Weak && r.Database.Len == 0 {
				strong = append(strong, r.Oid.String())
			}
		}
		want := strings.Trim(fmt.Sprint(oids), "[]")
		if got := strings.Join(strong, " "); got != want {
			t.Errorf("%s: %s, want %s", v.Name, got, want)
		}
	}
}

// BenchmarkRead reads a small persistent mapping with three references and a text, in protocol 3.
func BenchmarkRead(b *testing.B) {
	record := []byte("\x80\x03cpersistent.mapping\nPersistentMapping\nq\x00.\x80\x03}q\x01X\x04\x00\x00\x00dataq\x02}q\x03(")
	for _, name := range "abc" {
		record = append(record, "X\x01\x00\x00\x00"+string(name)+"C\x08\x00\x00\x00\x00\x00\x00\x12\x34h\x00\x86Q"...)
	}
	record = append(record, "X\x04\x00\x00\x00textX\xc8\x00\x00\x00"+strings.Repeat("text", 50)+"us."...)
	var s Scanner
	var c Contents
	b.SetBytes(int64(len(record)))
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Read(record, &c); err != nil {
			b.Fatal(err)
		}
	}
}

// Records that begin with the same pickle share what is noted of their class; others do not.
func TestANoteStaysWithTheClass(t *testing.T) {
	var s Scanner
	c := Contents{Brief: true}
	noted := uint32(0)
	for i, record := range []string{
		"\x80\x03cmodule.one\nFolder\nq\x01.\x80\x03}q\x02.", "\x80\x03cmodule.two\nFolder\nq\x01.\x80\x03}q\x02.",
		"\x80\x03cmodule.one\nFolder\nq\x01.\x80\x03K\x07.", "\x80\x03cmodule.two\nFolder\nq\x01.\x80\x03K\x07.",
		"\x80\x03cmodule.one\nFolder\nq\x01.\x80\x03C\x0801234567h\x01\x86Q.",
	} {
		if err := s.Read([]byte(record), &c); err != nil {
			t.Fatal(err)
		}
		module, _ := c.Names(c.Class)
		want := uint32(0)
		if i > 1 {
			want = uint32(module[len(module)-1])
		}
		if c.Note == nil || *c.Note != want {
			t.Errorf("%q: note %v, want %d", record, c.Note, want)
		} else if i < 2 {
			noted++
			*c.Note = uint32(module[len(module)-1])
		}
	}
	if noted != 2 {
		t.Errorf("%d classes were noted", noted)
	}
	if len(c.Mentions) != 1 || len(c.References) != 1 || c.References[0].Class != c.Class {
		t.Errorf("%+v", c)
	}
}

// However many classes there are, each record gets its own, and what is kept of them does not grow.
func TestMoreClassesThanAreRemembered(t *testing.T) {
	var s Scanner
	var c Contents
	for round := range 3 {
		for i := range 4 * partSets * partWays {
			class := fmt.Sprintf("module.of.class%d\nC%d", i, i)
			if err := s.Read([]byte("c"+class+"\nq\x01.}q\x02(K\x01K\x02u."), &c); err != nil {
				t.Fatal(err)
			}
			if module, name := c.Names(c.Class); string(module)+"\n"+string(name) != class {
				t.Fatalf("round %d: %q %q, want %q", round, module, name, class)
			}
		}
	}
}
