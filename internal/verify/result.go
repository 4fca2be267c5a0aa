package verify

import (
	"fmt"
	"time"

	"github.com/zrsd/zrsd/internal/check"
	"github.com/zrsd/zrsd/internal/plural"
	"github.com/zrsd/zrsd/zodb"
)

// The kinds of finding that a pass has beside those of a check.
const (
	KindChain      check.Kind = "chain"       // damage: content is not what it was when it was committed
	KindBlock      check.Kind = "block"       // damage: bytes are not what they were at the pass before
	KindPeer       check.Kind = "peer"        // damage: another node has other content
	KindReference  check.Kind = "reference"   // warning: a reference leads to no object
	KindPickle     check.Kind = "pickle"      // warning: references cannot be read
	KindBlobSize   check.Kind = "blob-size"   // damage: a blob is not as long as it was
	KindBlobDigest check.Kind = "blob-digest" // damage: a blob has other content than it had
	KindBlobPeer   check.Kind = "blob-peer"   // damage: another node has other content of a blob
	KindState      check.Kind = "state-file"  // damage: the state file cannot be read
	KindUnreadable check.Kind = "unreadable"  // damage: the disk does not give what is there
	KindOwnFile    check.Kind = "verify-file" // warning: a file of this package is damaged; it is made anew
)

// Where says on whose disk something is wrong.
type Where string

// The places.
const (
	Here    Where = "here"    // what this node noted proves it
	There   Where = "there"   // all here is as it was noted, and the other node has something else
	Unknown Where = "unknown" // nothing here says which of two is right
)

// A Finding is one thing that is wrong.
type Finding struct {
	check.Finding
	Where Where   `json:"where"`
	Peer  *string `json:"peer"` // the other node that it is about
}

// String returns one line for people.
func (f *Finding) String() string {
	if f.Peer != nil {
		return fmt.Sprintf("%v (%s, node %s)", f.Finding, f.Where, *f.Peer)
	}
	return f.Finding.String()
}

// maxFindings is how many findings of one kind are listed, maxListed how many in all; the rest is counted.
const (
	maxFindings = 10
	maxListed   = 60
)

// A Pass is what one pass did and found. The words for outcomes are those of OpenStack Swift's replicators and
// auditors; a copy is what they call a database.
type Pass struct {
	Path    string    `json:"path"`
	Began   time.Time `json:"began"`
	Ended   time.Time `json:"ended"`
	Seconds float64   `json:"seconds"`
	Error   *string   `json:"error"` // why the pass did not come to its end; nil when it did

	Attempted    int64             `json:"attempted"`     // copies: this one, and that of each other node
	Success      int64             `json:"success"`       // of them, without damage or difference
	Failure      int64             `json:"failure"`       // of them, with damage or a difference, or without an answer
	NoChange     int64             `json:"no_change"`     // other nodes with the same history and the same end
	HashMatch    int64             `json:"hashmatch"`     // other nodes with the same history, as far as both have it
	Diff         int64             `json:"diff"`          // other nodes with another history
	Empty        int64             `json:"empty"`         // copies without any transaction
	Removed      int64             `json:"removed"`       // temporary files of zrsd that were older than reclaim-age
	Quarantined  int64             `json:"quarantined"`   // damaged parts of this copy that are kept in quarantine/
	Healed       int64             `json:"healed"`        // damaged parts that were replaced since
	FailureNodes map[string]string `json:"failure_nodes"` // why, by the name of the other node

	Bytes        int64     `json:"bytes"` // of the data file that were read
	Transactions int64     `json:"transactions"`
	Records      int64     `json:"records"`
	Objects      int64     `json:"objects"`
	LastTid      *zodb.Tid `json:"last_tid"`
	Index        string    `json:"index"`         // as of zrsd check
	BlocksKnown  int64     `json:"blocks_known"`  // checksums of blocks that there were to compare with
	ChainKnown   int64     `json:"chain_known"`   // checkpoints of the hash chain that there were to compare with
	Blobs        int64     `json:"blobs"`         // files
	BlobSize     int64     `json:"blob_size"`     // of all of them
	BlobsRead    int64     `json:"blobs_read"`    // of them, because they were due
	BlobBytes    int64     `json:"blob_bytes"`    // of these
	BlobsSkipped *string   `json:"blobs_skipped"` // why blobs were not looked at; nil when they were
	BlobsPeers   int64     `json:"blobs_peers"`   // compared with what another node has noted, counted for each node
	PeerBytes    int64     `json:"peer_bytes"`    // sent to other nodes and received from them

	Compared []Compared `json:"compared"` // with other nodes that have answered

	Damages  int64                `json:"damages"`
	Warnings int64                `json:"warnings"`
	Kinds    map[check.Kind]int64 `json:"kinds"`    // all findings, by kind
	Findings []Finding            `json:"findings"` // the first ones of each kind

	// Suspects are where damage on this disk is to be looked for, to heal it; the first maxSuspects of them.
	Suspects []Suspect `json:"-"`
}

// A Compared is how far this copy is the same as another one.
type Compared struct {
	Peer         string   `json:"peer"`
	Equal        bool     `json:"equal"`        // as far as both have it
	Tid          zodb.Tid `json:"tid"`          // the last transaction that is the same; 0: none is
	Transactions uint64   `json:"transactions"` // that are the same, from after Base
	Base         zodb.Tid `json:"base"`         // they were compared from after this transaction; 0: from the first one
	Last         zodb.Tid `json:"last_tid"`     // of the other copy
}

// report counts a finding, and lists it where there is room.
func (r *Pass) report(f Finding) {
	if f.Severity == check.Damage {
		r.Damages++
	} else {
		r.Warnings++
	}
	r.Kinds[f.Kind]++
	if r.Kinds[f.Kind] <= maxFindings && len(r.Findings) < maxListed {
		r.Findings = append(r.Findings, f)
	}
}

// Text returns what people read of a pass.
func (r *Pass) Text() string {
	verdict := "no damage"
	switch {
	case r.Error != nil:
		verdict = "NOT FINISHED: " + *r.Error
	case r.Damages > 0:
		verdict = "DAMAGED in " + plural.Of(r.Damages, "place")
	}
	text := fmt.Sprintf("%s: %s, %s: %s, %s, %s, %d bytes in %.1f s (%.0f MB/s), index %s", r.Path, verdict,
		plural.Of(r.Warnings, "warning"), plural.Of(r.Transactions, "transaction"), plural.Of(r.Records, "record"),
		plural.Of(r.Objects, "object"), r.Bytes, r.Seconds, float64(r.Bytes)/1e6/max(r.Seconds, 0.001), r.Index)
	if r.BlobsSkipped != nil {
		text += ", blobs not checked: " + *r.BlobsSkipped
	} else {
		text += fmt.Sprintf(", %s, %d of them read", plural.Of(r.Blobs, "blob"), r.BlobsRead)
	}
	text += fmt.Sprintf("; compared with %s and %s", plural.Of(r.BlocksKnown, "block checksum"),
		plural.Of(r.ChainKnown, "checkpoint"))
	if others := r.Attempted - 1; others > 0 {
		text += fmt.Sprintf("; of %s %d equal, %d different, %d without an answer", plural.Of(others, "other node"),
			r.NoChange+r.HashMatch, r.Diff, int64(len(r.FailureNodes))-r.Diff)
	}
	if r.Removed > 0 {
		text += fmt.Sprintf("; %d old temporary files removed", r.Removed)
	}
	return text
}
