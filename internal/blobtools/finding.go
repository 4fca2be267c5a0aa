package blobtools

import (
	"fmt"
	"strings"
	"time"

	"github.com/zrsd/zrsd/internal/plural"
	"github.com/zrsd/zrsd/internal/printable"
	"github.com/zrsd/zrsd/zodb"
)

// A Severity says how bad a finding is.
type Severity string

// The severities.
const (
	Damage  Severity = "damage"  // a reader of the storage gets an error
	Warning Severity = "warning" // unusual or wasteful
	Note    Severity = "note"    // as it should be
)

// A Kind names what was found. Kinds are part of the JSON output and keep their names.
type Kind string

// The kinds of finding.
const (
	Missing    Kind = "missing"    // damage: a revision has no file
	Away       Kind = "away"       // damage: evicted, and who may have it cannot be asked
	Unasked    Kind = "unasked"    // warning: evicted, and nobody was asked who has it
	Elsewhere  Kind = "elsewhere"  // note: evicted, and somebody else has it
	NotPlain   Kind = "not-plain"  // damage: a link, or something else that is no file, has the name of a blob
	Unreadable Kind = "unreadable" // damage: a folder, or a file that its owner may not read
	Layout     Kind = "layout"     // warning: the marker is not there, or a blob has its name in the other layout
	Orphaned   Kind = "orphaned"   // warning: no revision has the file; a pack should have removed it
	Foreign    Kind = "foreign"    // warning: a file that cannot be of this storage
	Empty      Kind = "empty"      // warning: a blob without a byte
	Mode       Kind = "mode"       // warning: a blob that can be written to
	Owner      Kind = "owner"      // warning: another owner than that of the directory
	Leftover   Kind = "leftover"   // warning: what an interrupted upload, removal or conversion has left
	Unknown    Kind = "unknown"    // warning: something that is no blob
)

// A Finding is one thing that is not as it should be.
type Finding struct {
	Severity Severity     `json:"severity"`
	Kind     Kind         `json:"kind"`
	Oid      *zodb.Oid    `json:"oid"`
	Tid      *zodb.Tid    `json:"tid"`
	Path     string       `json:"path"` // of the file, or where it should be
	Size     *int64       `json:"size_bytes"`
	Txn      *Transaction `json:"transaction"` // nil: the Data.fs does not have it
	Text     string       `json:"text"`        // what is there, what to do
}

// A Transaction is what a Data.fs says of one. Texts are as far as they are UTF-8, and not longer than maxText.
type Transaction struct {
	Time        time.Time `json:"time"`
	User        string    `json:"user"`
	Description string    `json:"description"`
}

// maxText bounds what is shown of a user or a description.
const maxText = 200

func shown(m *zodb.TxnMeta) *Transaction {
	if m == nil {
		return nil
	}
	cut := func(b []byte) string {
		return strings.ToValidUTF8(string(b[:min(len(b), maxText)]), "\uFFFD")
	}
	return &Transaction{m.Tid.Time().UTC(), cut(m.User), cut(m.Description)}
}

// String returns one line for people.
func (f *Finding) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", f.Severity, f.Kind)
	if f.Oid != nil && f.Tid != nil {
		fmt.Fprintf(&b, " oid %v tid %v", *f.Oid, *f.Tid)
	}
	fmt.Fprintf(&b, " %s: %s", printable.Line(f.Path), printable.Line(f.Text))
	if t := f.Txn; t != nil {
		fmt.Fprintf(&b, " (%s, user %s, %s)", t.Time.Format("2006-01-02 15:04:05"), printable.Line(t.User),
			printable.Line(t.Description))
	}
	return b.String()
}

// A Summary says what was looked at.
type Summary struct {
	Path       string         `json:"path"`
	Dir        string         `json:"blob_dir"`
	Layout     string         `json:"layout"`
	LastTid    zodb.Tid       `json:"last_tid"`
	Revisions  int64          `json:"blob_revisions"` // of the Data.fs
	Files      int64          `json:"blob_files"`     // with the name of a blob
	Bytes      int64          `json:"blob_bytes"`
	Later      int64          `json:"later"` // files of transactions that were committed since the audit began
	Found      map[Kind]int64 `json:"found"`
	Damages    int64          `json:"damages"`
	Warnings   int64          `json:"warnings"`
	WastedSize int64          `json:"wasted_bytes"` // of files that no revision has
}

// String returns one line for people.
func (s *Summary) String() string {
	verdict := "nothing wrong"
	if s.Damages+s.Warnings > 0 {
		verdict = plural.Of(s.Damages, "damage") + ", " + plural.Of(s.Warnings, "warning")
	}
	text := fmt.Sprintf("%s with %s (%s): %s: %s, %s, %d bytes, %d bytes of them belong to no revision",
		s.Path, s.Dir, s.Layout, verdict, plural.Of(s.Revisions, "revision"), plural.Of(s.Files, "file"),
		s.Bytes, s.WastedSize)
	if n := s.Found[Elsewhere]; n > 0 {
		text += ", " + plural.Or(n, "blob is elsewhere", "blobs are elsewhere")
	}
	return text
}
