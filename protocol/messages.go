package protocol

import (
	"fmt"
	"time"

	"github.com/zrsd/zrsd/zodb"
)

// An Epoch is one reign of a primary: promotion begins the next one.
type Epoch struct {
	Number uint64   `msgpack:"n" json:"number"`
	Begin  zodb.Tid `msgpack:"begin" json:"begin"` // tid of the last transaction before the epoch; 0 for the first
}

// A Position names a point in a storage's history so that two sides can tell whether they mean the same one.
type Position struct {
	Tid    zodb.Tid    `msgpack:"tid" json:"tid"`
	Status zodb.Status `msgpack:"status" json:"-"`      // of that transaction in the sender's file
	Digest zodb.Digest `msgpack:"digest" json:"digest"` // of its content, zodb.DigestOf; zero when Tid is 0
}

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
	Version      int        `msgpack:"version"` // of these messages; 1
	StorageID    string     `msgpack:"storage"` // empty: none yet, adopt the primary's
	Epochs       []Epoch    `msgpack:"epochs"`
	Last         Position   `msgpack:"last"`  // Tid 0: the storage is empty
	Magic        zodb.Magic `msgpack:"magic"` // zero when the storage is empty
	Blobs        bool       `msgpack:"blobs"` // a blob directory is there to receive blobs
	Name         string     `msgpack:"name"`  // for people: host name and data file
	Capabilities []string   `msgpack:"capabilities"`
}

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
}

// An Ack tells the primary how far the secondary is. Both tids only ever rise within a connection.
type Ack struct {
	Applied zodb.Tid `msgpack:"applied"` // visible to the secondary's readers
	Durable zodb.Tid `msgpack:"durable"` // survives a crash of the secondary
	Count   uint64   `msgpack:"count"`   // transactions made durable since the connection began
	Bytes   uint64   `msgpack:"bytes"`   // their length in the file
	Error   string   `msgpack:"error"`   // what stops the secondary at present; empty when nothing does
}

// A Heartbeat tells the secondary that the primary lives, and how far it is, so that lag is known on both sides.
type Heartbeat struct {
	LastTid zodb.Tid  `msgpack:"last"`
	Size    int64     `msgpack:"size"`
	Clock   time.Time `msgpack:"clock"`
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
)

// A Refusal is a typed "no". It is a message of the control stream and the error that the refused side sees. Text is
// written for the operator of the refused side and ends with what to do.
type Refusal struct {
	Code Code     `msgpack:"code"`
	Text string   `msgpack:"text"`
	Tid  zodb.Tid `msgpack:"tid"` // the position that the refusal is about, where there is one
}

func (r *Refusal) Error() string { return fmt.Sprintf("refused by the peer: %s", r.Text) }

// Final reports whether trying again without an operator's help is pointless.
func (r *Refusal) Final() bool {
	switch r.Code {
	case CodeInternal, CodeTooMany, CodeShuttingDown:
		return false
	}
	return true
}
