package check

import (
	"fmt"
	"strings"

	"github.com/zrsd/zrsd/zodb"
)

// A Severity says how bad a finding is.
type Severity string

// The two severities.
const (
	Damage  Severity = "damage"  // data are lost, or some reader gets something wrong
	Warning Severity = "warning" // unusual or wasteful; every reader gets the right answer
)

// A Kind names the rule that was broken. Kinds are part of the JSON output and keep their names.
type Kind string

// The kinds of finding.
const (
	KindStructure    Kind = "structure"     // damage: a length, status or magic makes no sense; the check ends there
	KindRecord       Kind = "record"        // damage: a record makes no sense; the rest of its transaction is skipped
	KindBackPointer  Kind = "back-pointer"  // damage: does not lead to an earlier record of the same oid
	KindPrevious     Kind = "previous"      // damage as above; a warning when it leads to another one than expected
	KindTidOrder     Kind = "tid-order"     // warning: a tid is not above that of the transaction before
	KindTidFuture    Kind = "tid-future"    // warning: a tid is later than the clock of this machine
	KindRecordTid    Kind = "record-tid"    // warning: differs from its transaction's
	KindIndexEntry   Kind = "index-entry"   // damage: the saved index leads to another record than the current one
	KindIndexFile    Kind = "index-file"    // warning: it is unusable and will be rebuilt; damage: it has wrong entries
	KindEndMissing   Kind = "end-missing"   // warning: the file once had transactions after its last one
	KindBlobFolder   Kind = "blob-folder"   // damage: a folder of blobs cannot be read
	KindBlobMissing  Kind = "blob-missing"  // damage: a revision of a blob has no file
	KindBlobOrphaned Kind = "blob-orphaned" // warning: a blob file belongs to no revision
)

// A Finding is one thing that is wrong.
type Finding struct {
	Severity Severity  `json:"severity"`
	Kind     Kind      `json:"kind"`
	Pos      *int64    `json:"pos"` // offset in the data file; nil where the finding is not about one
	Tid      *zodb.Tid `json:"tid"`
	Oid      *zodb.Oid `json:"oid"`
	Text     string    `json:"text"` // what is there, what was expected, what to do
}

// String returns one line for people.
func (f Finding) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", f.Severity, f.Kind)
	if f.Pos != nil {
		fmt.Fprintf(&b, " at %d", *f.Pos)
	}
	if f.Tid != nil {
		fmt.Fprintf(&b, " tid %v", *f.Tid)
	}
	if f.Oid != nil {
		fmt.Fprintf(&b, " oid %v", *f.Oid)
	}
	fmt.Fprintf(&b, ": %s", f.Text)
	return b.String()
}

// A Summary says what was looked at.
type Summary struct {
	Path         string    `json:"path"`
	Magic        string    `json:"magic"`
	Size         int64     `json:"size_bytes"`        // of the file when the check began
	Checked      int64     `json:"checked_bytes"`     // of it, from the front
	Uncommitted  int64     `json:"uncommitted_bytes"` // after the last committed transaction
	Transactions int64     `json:"transactions"`
	Records      int64     `json:"records"`
	Objects      int64     `json:"objects"`     // deleted ones included
	LastTid      *zodb.Tid `json:"last_tid"`    // of the last transaction in the file
	TidsDown     int64     `json:"tids_down"`   // transactions whose tid is not above the one before
	TidsFuture   int64     `json:"tids_future"` // transactions whose tid is later than the clock of this machine
	Index        string    `json:"index"`       // "good", "stale", "absent", "unusable", "wrong", "not reached"
	BlobRecords  int64     `json:"blob_records"`
	BlobFiles    *int64    `json:"blob_files"`    // nil when the blob directory was not checked
	BlobsEvicted int64     `json:"blobs_evicted"` // revisions without a file in a blob cache
	Damages      int64     `json:"damages"`
	Warnings     int64     `json:"warnings"`
}
