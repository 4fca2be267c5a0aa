package references

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/zrsd/zrsd/zodb"
)

// A finding is all that is found in a record.
type finding struct {
	Oids       []zodb.Oid
	Contents   Contents
	Brief      Contents
	ScanError  error
	ReadError  error
	BriefError error
}

func found(s *Scanner, record []byte) (f finding) {
	f.Oids, f.ScanError = s.Scan(record, nil)
	f.ReadError = s.Read(record, &f.Contents)
	f.Brief.Brief = true
	f.BriefError = s.Read(record, &f.Brief)
	return f
}

func (f *finding) same(g *finding) bool {
	return fmt.Sprint(f.ScanError, f.ReadError, f.BriefError) == fmt.Sprint(g.ScanError, g.ReadError, g.BriefError) &&
		slices.Equal(f.Oids, g.Oids) && f.Contents.same(&g.Contents) && f.Brief.same(&g.Brief)
}

func (c *Contents) same(other *Contents) bool {
	return c.Class == other.Class && slices.Equal(c.Mentions, other.Mentions) &&
		slices.Equal(c.References, other.References) && slices.Equal(c.Frames, other.Frames)
}

// checkBrief compares what is briefly told with the whole.
func (f *finding) checkBrief(t *testing.T, record []byte) {
	t.Helper()
	if fmt.Sprint(f.BriefError) != fmt.Sprint(f.ReadError) {
		t.Fatalf("%q: %v, and briefly %v", record, f.ReadError, f.BriefError)
	}
	if f.ReadError != nil {
		return
	}
	name := func(c *Contents, i int) string {
		if i < 0 {
			return "-"
		}
		module, name := c.Names(i)
		return fmt.Sprintf("%s %s", module, name)
	}
	whole, brief := &f.Contents, &f.Brief
	same := name(whole, whole.Class) == name(brief, brief.Class) && len(whole.References) == len(brief.References)
	for i := 0; same && i < len(whole.References); i++ {
		a, b := whole.References[i], brief.References[i]
		same = name(whole, a.Class) == name(brief, b.Class)
		a.Class = b.Class
		same = same && a == b
	}
	if !same {
		t.Fatalf("%q:\nwhole %+v\nbriefly %+v", record, whole, brief)
	}
}

// checkQuick compares what is found quickly with what step finds by itself.
func checkQuick(t *testing.T, quick *Scanner, record []byte) {
	t.Helper()
	want, got := found(&Scanner{slow: true}, record), found(quick, record)
	if !got.same(&want) {
		t.Fatalf("%q:\nby each opcode %+v\nquickly %+v", record, want, got)
	}
	got.checkBrief(t, record)
}

// pieces are what records are made of in TestQuickly: each opcode, and forms of references.
func pieces() (list []string) {
	for op := range 256 {
		list = append(list, string([]byte{byte(op)}))
	}
	return append(list, "\x80\x03", "\x95\x08\x00\x00\x00\x00\x00\x00\x00", "cm\nC\n", "c_codecs\nencode\n", "q\x00", "q\x01",
		"r\x00\x00\x00\x00", "r\x02\x00\x00\x00", "h\x00", "h\x01", "j\x00\x00\x00\x00", "p0\n", "g0\n", "K\x07",
		"M\x07\x00", "J\x07\x00\x00\x00", "U\x0801234567", "C\x0801234567", "X\x08\x00\x00\x0001234567",
		"X\x09\x00\x00\x000123\xc3\xbc567", "\x8c\x0801234567", "\x8c\x09__class__", "X\x06\x00\x00\x00latin1",
		"X\x01\x00\x00\x00w", "U\x01m", "U\x02db", "T\x08\x00\x00\x0001234567", "B\x08\x00\x00\x0001234567",
		"C\x0801234567q\x01h\x00\x86q\x02Q", "C\x0801234567h\x00\x86q\x01Q", "C\x0801234567j\x00\x00\x00\x00\x86Q",
		"U\x0801234567r\x01\x00\x00\x00h\x00\x86r\x02\x00\x00\x00Q", "cm\nC\nq\x00", "G01234567", "G", "R",
		"T\x08\x00\x00\x00\x801234567", "B\x08\x00\x00\x00\x801234567", "U\x08\x801234567", "\x8c\x01m\x8c\x01C\x93", "C\x0801234567cm\nC\n\x86Q", "(U\x0801234567h\x00tQ", "](X\x01\x00\x00\x00wC\x0801234567\x85eQ",
		"N", "N", "N", "N", "(", "(")
}

// Records of any opcodes, most of which are wrong somewhere, and real ones that were damaged, say the same quickly.
func TestQuickly(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var quick Scanner
	var written [][]byte
	for _, v := range vectors(t) {
		written = append(written, v.record(t))
		checkQuick(t, &quick, v.record(t))
	}
	parts := pieces()
	for range 50_000 {
		var b strings.Builder
		for range random.IntN(30) {
			b.WriteString(parts[random.IntN(len(parts))])
			if random.IntN(12) == 0 {
				b.WriteByte('.')
			}
		}
		checkQuick(t, &quick, []byte(b.String()))
		record := slices.Clone(written[random.IntN(len(written))])
		for range random.IntN(4) {
			at := random.IntN(len(record))
			switch random.IntN(3) {
			case 0:
				record[at] = byte(random.Uint32())
			case 1:
				record = slices.Insert(record, at, []byte(parts[random.IntN(len(parts))])...)
			case 2:
				record = record[:at+1]
			}
		}
		checkQuick(t, &quick, record)
	}
}

// Every cut of a record ends in the same way.
func TestQuicklyUpToEachByte(t *testing.T) {
	var quick Scanner
	for _, v := range vectors(t) {
		record := v.record(t)
		for end := range min(len(record), 4000) {
			checkQuick(t, &quick, record[:end])
		}
	}
}

func FuzzQuickly(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(v.record(f))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var quick Scanner
		for _, end := range []int{len(b), len(b), len(b) / 2, len(b) * 7 / 8} { // with the same class part
			checkQuick(t, &quick, b[:end])
		}
	})
}
