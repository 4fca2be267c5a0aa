package protocol

import (
	"time"

	"github.com/zrsd/zrsd/internal/printable"
	"github.com/zrsd/zrsd/zodb"
)

// A Position names a point in a storage's history so that two sides can tell whether they mean the same one.
type Position struct {
	Tid    zodb.Tid    `msgpack:"tid"    json:"tid"`
	Status zodb.Status `msgpack:"status" json:"-"`      // of that transaction in the sender's file
	Digest zodb.Digest `msgpack:"digest" json:"digest"` // of its content, zodb.DigestOf; zero when Tid is 0

	// Value is that of the chain of digests from after Base up to here; see package history. Zero: not known.
	Base  zodb.Tid    `msgpack:"base"  json:"base"`
	Value zodb.Digest `msgpack:"value" json:"value"`
}

// BlobsOnDemand is the capability to follow without blobs. A secondary names it when it asks for each blob when
// somebody needs it; a primary that names it, too, sends it records only.
const BlobsOnDemand = "blobs-on-demand"

// ApplyDelay is named by a secondary whose readers see what it has later. It does not count where commits wait until
// readers see them.
const ApplyDelay = "apply-delay"

// Once is named by who makes a copy and ends, as zrsd seed. It does not count where commits wait for secondaries, and
// nobody waits for it when it is gone.
const Once = "once"

// SharedBlobs is the capability to share a blob directory. A secondary names it when it sees the primary's directory
// and wants no blobs sent, a primary when it agrees; then its Welcome has a Token, and blobs come as H frames.
const SharedBlobs = "shared-blobs"

// A Token proves that two sides see the same directory: for as long as the handshake takes there is a file in it that
// nobody can guess. Name says which, 32 hexadecimal digits; Digest is SHA-256 over its content.
type Token struct {
	Name   string      `msgpack:"name"`
	Digest zodb.Digest `msgpack:"digest"`
}

// Hello is the secondary's first message on the control stream.
type Hello struct {
	Version      int        `msgpack:"version"` // of these messages: MessageVersion
	StorageID    string     `msgpack:"storage"` // empty: none yet, adopt the primary's
	Epochs       []Epoch    `msgpack:"epochs"`
	Last         Position   `msgpack:"last"`  // Tid 0: the storage is empty
	Magic        zodb.Magic `msgpack:"magic"` // zero when the storage is empty
	Blobs        bool       `msgpack:"blobs"` // a blob directory is there to receive blobs
	Name         string     `msgpack:"name"`  // for people: host name and data file
	Capabilities []string   `msgpack:"capabilities"`

	Node             string `msgpack:"node"`              // id of this copy; empty: none yet
	MaxEpochSeen     uint64 `msgpack:"max_epoch_seen"`    // heard of, or voted for; 0: only those in Epochs
	MaxEpochBegun    uint64 `msgpack:"max_epoch_begun"`   // known to have begun, where Epochs lacks it
	Successor        string `msgpack:"successor"`         // node to which it has handed epoch MaxEpochSeen over
	ReplicationAddr  string `msgpack:"replication_addr"`  // where secondaries can connect to it; empty: nowhere
	Checksum         uint64 `msgpack:"checksum"`          // made by Control.Send
	IdentityChecksum uint64 `msgpack:"identity_checksum"` // made by Control.Send
	// ChecksumV1, made by Control.Send, is what a primary that speaks only version 1 checks before it looks at Version:
	// without it that would close the connection without a word.
	ChecksumV1 uint64 `msgpack:"check"`
}

// Highest returns the number of the highest epoch that the secondary knows of.
func (h *Hello) Highest() uint64 { return max(h.Begun(), h.MaxEpochSeen) }

// Begun returns the number of the highest epoch that the secondary knows to have begun.
func (h *Hello) Begun() uint64 { return max(lastEpoch(h.Epochs), h.MaxEpochBegun) }

// Welcome is the primary's answer to a Hello that it accepts.
type Welcome struct {
	Version      int           `msgpack:"version"`
	StorageID    string        `msgpack:"storage"`
	Epochs       []Epoch       `msgpack:"epochs"`
	LastTid      zodb.Tid      `msgpack:"last"`
	Size         int64         `msgpack:"size"` // end of the primary's file, bytes
	Magic        zodb.Magic    `msgpack:"magic"`
	Blobs        bool          `msgpack:"blobs"`
	Heartbeat    time.Duration `msgpack:"heartbeat"` // how often the primary promises to send one
	Name         string        `msgpack:"name"`
	Capabilities []string      `msgpack:"capabilities"`
	Token        Token         `msgpack:"token"` // zero without SharedBlobs

	Node      string `msgpack:"node"`       // id of the answering copy; empty: of an older version
	IsPrimary bool   `msgpack:"is_primary"` // otherwise it is a secondary that serves others
	// UpstreamPath are the nodes through which a secondary that serves others gets its transactions, the primary last.
	// Empty: it is connected to none.
	UpstreamPath     []string `msgpack:"upstream_path"`
	Checksum         uint64   `msgpack:"checksum"`          // made by Control.Send
	IdentityChecksum uint64   `msgpack:"identity_checksum"` // made by Control.Send
	// IdentityDigest covers StorageID and all of Epochs, so that they can be kept for good. Made by Control.Send, and
	// compared by Control.Receive; zero: of an older version, and the identity has to be heard twice.
	IdentityDigest zodb.Digest `msgpack:"identity_digest"`
}

// Highest returns the number of the last epoch of the answering node.
func (w *Welcome) Highest() uint64 { return lastEpoch(w.Epochs) }

// MaxUpstreamPath is how many nodes an UpstreamPath may have.
const MaxUpstreamPath = 32

// Handover is the capability of a secondary to become the primary when that asks it to.
const Handover = "handover"

// An Ack has the last transactions of the secondary. Both tids only ever rise within a connection.
type Ack struct {
	Applied zodb.Tid `msgpack:"applied"`           // visible to the secondary's readers
	Durable zodb.Tid `msgpack:"durable"`           // survives a crash of the secondary
	Count   uint64   `msgpack:"count"`             // transactions made durable since the connection began
	Bytes   uint64   `msgpack:"bytes"`             // their length in the file
	Error   string   `msgpack:"error"`             // what stops the secondary at present; empty when nothing does
	Trouble string   `msgpack:"trouble,omitempty"` // what kind of trouble that is; empty: another one
}

// A Heartbeat shows the secondary that the primary is alive, and its last transaction, so that lag is known on both
// sides.
type Heartbeat struct {
	LastTid zodb.Tid  `msgpack:"last"`
	Size    int64     `msgpack:"size"`
	Clock   time.Time `msgpack:"clock"`
	// Roster are the secondaries of the primary, at most MaxRoster of them, so that each knows of the others.
	Roster []RosterEntry `msgpack:"roster"`
	Sync   SyncRule      `msgpack:"sync"` // for how many of them commits wait
}

// MaxRoster is how many secondaries a Heartbeat lists.
const MaxRoster = 64

// A RosterEntry is how far a secondary is, by what its primary knows of it.
type RosterEntry struct {
	Node            string        `msgpack:"node"`
	Name            string        `msgpack:"name"`
	ReplicationAddr string        `msgpack:"replication_addr"` // as in its Hello
	Durable         zodb.Tid      `msgpack:"durable"`
	Age             time.Duration `msgpack:"age"` // since it was last heard
}

// A SyncRule says for how many secondaries a primary waits before it calls a transaction committed.
type SyncRule struct {
	Required int      `msgpack:"required"` // 0: for none
	Names    []string `msgpack:"names"`    // of these; empty: of any
}

// A StatusRequest asks a node for its status, whatever storage it has. It is the first message, in place of Hello, and
// names the node that asks. The answer is a NodeStatus or a Refusal.
type StatusRequest struct {
	Version         int      `msgpack:"version"` // of these messages: MessageVersion
	StorageID       string   `msgpack:"storage"` // empty: none yet
	MaxEpochBegun   uint64   `msgpack:"max_epoch_begun"`
	Node            string   `msgpack:"node"`
	Run             string   `msgpack:"run"` // new with each start of the process; empty: of an older version
	Name            string   `msgpack:"name"`
	ReplicationAddr string   `msgpack:"replication_addr"`
	IsPrimary       bool     `msgpack:"is_primary"` // of epoch MaxEpochBegun, at ReplicationAddr
	LastTid         zodb.Tid `msgpack:"last"`
	// Trouble is why the node takes no part as a secondary at present, and TroubleText the same in words. Empty: it
	// does.
	Trouble          string `msgpack:"trouble,omitempty"`
	TroubleText      string `msgpack:"trouble_text,omitempty"`
	Checksum         uint64 `msgpack:"checksum"`          // made by Control.Send
	IdentityChecksum uint64 `msgpack:"identity_checksum"` // made by Control.Send
}

// What keeps a node from being a secondary, as it says of itself.
const (
	TroubleNotMounted = "not_mounted" // a disk of its files is not mounted
	TroubleNoSpace    = "no_space"    // its disk is full, or has no room for what is missing
)

// MaxReport is how many bytes of a report are sent and read.
const MaxReport = 64 << 10

// A NodeStatus answers a StatusRequest.
type NodeStatus struct {
	StorageID     string  `msgpack:"storage"`
	Node          string  `msgpack:"node"`
	Run           string  `msgpack:"run"` // as in a StatusRequest: one Node with two Runs is two copies
	Name          string  `msgpack:"name"`
	Epochs        []Epoch `msgpack:"epochs"`
	MaxEpochSeen  uint64  `msgpack:"max_epoch_seen"`  // heard of, or voted for; 0: only those in Epochs
	MaxEpochBegun uint64  `msgpack:"max_epoch_begun"` // known to have begun, where Epochs lacks it
	IsPrimary     bool    `msgpack:"is_primary"`      // it takes transactions, or would without a fault
	FaultReason   string  `msgpack:"fault_reason"`    // why it takes none now, although it is primary; empty: it does
	UpstreamAddr  string  `msgpack:"upstream_addr"`   // at which it follows another node now; empty: it follows none
	// PrimarySince is when it began to take transactions, by its own clock, and PrimaryForMS for how many milliseconds
	// it has sent no client away that wants to write. Older versions do not say it.
	PrimarySince string `msgpack:"primary_since"`
	PrimaryForMS uint64 `msgpack:"primary_for_ms"`
	// AsksIdentity says that it was started as primary, has no identity yet, and asks before it makes one.
	AsksIdentity bool `msgpack:"asks_identity"`
	// Learner says that it gives no vote yet: it may lack transactions that a node at its place has acknowledged.
	Learner bool `msgpack:"learner,omitempty"`
	// Spare says that it follows a primary only while another node is out.
	Spare bool `msgpack:"spare,omitempty"`
	// Report is what the node says of itself for people, as JSON, at most MaxReport bytes. No node acts upon it. A vote
	// has none.
	Report           []byte   `msgpack:"report,omitempty"`
	LastTid          zodb.Tid `msgpack:"last"`              // durable
	Checksum         uint64   `msgpack:"checksum"`          // made by Control.Send
	IdentityChecksum uint64   `msgpack:"identity_checksum"` // made by Control.Send
}

// Highest returns the number of the highest epoch that the node knows of.
func (s *NodeStatus) Highest() uint64 { return max(s.Begun(), s.MaxEpochSeen) }

// Begun returns the number of the highest epoch that the node knows to have begun.
func (s *NodeStatus) Begun() uint64 { return max(lastEpoch(s.Epochs), s.MaxEpochBegun) }

// A VoteRequest asks a node of the same storage to vote for an epoch that the asking node wants to begin. It is the
// first message, in place of Hello, and says the same of the asking node as a StatusRequest. The answer is a Vote or a
// Refusal.
type VoteRequest struct {
	Epoch         uint64 `msgpack:"epoch"`
	StatusRequest `       msgpack:",inline"`
}

// A Vote answers a VoteRequest, with the status of the node after the vote: it has durably promised never again to
// follow, or to act as, the primary of a lower epoch, and has ended its connection to one.
type Vote struct {
	Epoch      uint64 `msgpack:"epoch"`
	NodeStatus `       msgpack:",inline"`
}

// A HandoverCheck asks a secondary that has everything up to Last whether it could begin the epoch.
type HandoverCheck struct {
	Epoch    uint64   `msgpack:"epoch"`
	Last     zodb.Tid `msgpack:"last"`
	Checksum uint64   `msgpack:"checksum"` // made by Control.Send
}

// A HandoverReady answers a HandoverCheck. Error says why the secondary is not ready; empty: it is.
type HandoverReady struct {
	Epoch uint64 `msgpack:"epoch"`
	Error string `msgpack:"error"`
}

// TakeOver makes a secondary that is ready begin the epoch: the primary has stepped down, durably. A secondary that
// missed it learns the same from the Successor of the former primary's Hello.
type TakeOver struct {
	Epoch    uint64   `msgpack:"epoch"`
	Last     zodb.Tid `msgpack:"last"`
	Checksum uint64   `msgpack:"checksum"` // made by Control.Send
}

// Goodbye announces that the sender is about to close the connection on purpose.
type Goodbye struct {
	Reason string `msgpack:"reason"`
}

// Authenticate is the first message of a secondary that has a Secret, before its Hello.
type Authenticate struct {
	Nonce Nonce `msgpack:"nonce"`
}

// Challenge is the primary's answer to Authenticate.
type Challenge struct {
	Nonce Nonce `msgpack:"nonce"`
}

// Proof is the secondary's answer to Challenge, and the primary's answer to that.
type Proof struct {
	MAC MAC `msgpack:"mac"`
}

// A Code says why a peer was refused; the numbers are the wire's and never change their meaning.
type Code int

// The reasons for a refusal.
const (
	CodeInternal       Code = 1  // the refusing side failed; trying again is right
	CodeProtocol       Code = 2  // protocol version or message version not supported
	CodeWrongStorage   Code = 3  // the secondary holds another database
	CodeAhead          Code = 4  // the secondary has transactions that the primary does not have
	CodeDiverged       Code = 5  // both have a transaction at this tid, and they differ, or the primary lacks it
	CodeBlobsRequired  Code = 6  // the primary has blobs, the secondary no blob directory
	CodeTooMany        Code = 7  // the limit on connections is reached; trying again is right
	CodeNotAuthorised  Code = 8  // no shared secret, a wrong one, or no TLS
	CodeMagic          Code = 9  // files of different Python generations
	CodeShuttingDown   Code = 10 // trying again is right
	CodeUnknownMessage Code = 11 // a message that the protocol does not have at this place
	CodeBlobsNotShared Code = 12 // the secondary wants to share the blob directory, and the primary cannot
	CodeOutranked      Code = 13 // the secondary knows of a higher epoch: another node is primary; look for that
	CodeNotMember      Code = 14 // the node does not vote: it has no role that could change
	CodeNameTaken      Code = 15 // another living node has the name; trying again is right
)

// A Refusal is a typed "no". It is a message of the control stream and the error that the refused side sees. Text is
// written for the operator of the refused side and ends with what to do.
type Refusal struct {
	Code Code     `msgpack:"code"`
	Text string   `msgpack:"text"`
	Tid  zodb.Tid `msgpack:"tid"` // the position that the refusal is about, where there is one
}

func (r *Refusal) Error() string { return "refused by the peer: " + printable.Line(r.Text) }

// Final reports whether trying again without an operator's help is pointless.
func (r *Refusal) Final() bool {
	switch r.Code {
	case CodeInternal, CodeTooMany, CodeShuttingDown, CodeOutranked, CodeNameTaken:
		return false
	}
	return true
}
