package dump

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/zrsd/zrsd/internal/printable"
)

// JSON returns a Printer of JSON lines.
func JSON(w io.Writer) Printer { return jsonPrinter{json.NewEncoder(w)} }

type jsonPrinter struct{ enc *json.Encoder }

func (p jsonPrinter) Transaction(t Transaction) error {
	return p.enc.Encode(map[string]Transaction{"transaction": t})
}

func (p jsonPrinter) Record(r Record) error { return p.enc.Encode(map[string]Record{"record": r}) }

func (p jsonPrinter) End(uncommitted int64) error {
	return p.enc.Encode(map[string]map[string]int64{"end": {"uncommitted_bytes": uncommitted}})
}

// Text returns a Printer for people.
func Text(w io.Writer) Printer { return textPrinter{w} }

type textPrinter struct{ w io.Writer }

func (p textPrinter) Transaction(t Transaction) error {
	var b strings.Builder
	fmt.Fprintf(&b, "transaction %v at %d, %s, %d bytes", t.Tid, t.Pos,
		t.Time.Format("2006-01-02 15:04:05.000000 UTC"), t.Length)
	switch t.Status {
	case "p":
		b.WriteString(", packed")
	case "u":
		b.WriteString(", undone: counts as absent")
	}
	b.WriteByte('\n')
	quoted(&b, "user", t.User, t.UserHex)
	quoted(&b, "description", t.Description, t.DescriptionHex)
	if t.ExtensionHex != "" {
		fmt.Fprintf(&b, "  extension %d bytes\n", len(t.ExtensionHex)/2)
	}
	return p.write(&b)
}

func quoted(b *strings.Builder, name string, text *string, hex string) {
	switch {
	case text == nil:
		fmt.Fprintf(b, "  %s, not UTF-8, hex %s\n", name, hex)
	case *text != "":
		fmt.Fprintf(b, "  %s %q\n", name, *text)
	}
}

func (p textPrinter) Record(r Record) error {
	var b strings.Builder
	fmt.Fprintf(&b, "  oid %v", r.Oid)
	if r.Class != "" {
		b.WriteString(" " + printable.Line(r.Class))
	}
	fmt.Fprintf(&b, " at %d", r.Pos)
	switch r.Kind {
	case kindBack:
		fmt.Fprintf(&b, ", data of %v at %d", *r.DataTxn, *r.Back)
	case kindNone:
		b.WriteString(", no data: the object does not exist")
	default:
		fmt.Fprintf(&b, ", %d bytes", r.Size)
	}
	if r.Prev != nil {
		fmt.Fprintf(&b, ", previous at %d", *r.Prev)
	}
	switch {
	case r.BlobSize != nil:
		fmt.Fprintf(&b, ", blob of %d bytes", *r.BlobSize)
	case r.NoBlob:
		b.WriteString(", blob without a file")
	}
	switch {
	case r.Path == nil:
	case *r.Path == "":
		b.WriteString(", not reached from the root")
	default:
		b.WriteString(", path " + printable.Line(*r.Path))
	}
	b.WriteByte('\n')
	return p.write(&b)
}

func (p textPrinter) End(uncommitted int64) error {
	if uncommitted == 0 {
		return nil
	}
	var b strings.Builder
	fmt.Fprintf(&b,
		"after it %d bytes that are not committed: a transaction being written, or one that a crash interrupted\n",
		uncommitted)
	return p.write(&b)
}

func (p textPrinter) write(b *strings.Builder) error {
	_, err := io.WriteString(p.w, b.String())
	return err
}
