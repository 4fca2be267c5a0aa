package protocol

import (
	"errors"
	"fmt"

	"github.com/zrsd/zrsd/zodb"
)

// Errors that carry nothing but their meaning.
var (
	// ErrNotNative says that the other side is not one of ours: it closed without an answer, as a zc.zrs does.
	ErrNotNative = errors.New("the peer does not speak " + Native + ": perhaps it is a zc.zrs primary, or no zrsd at " +
		"all; check the address")

	// ErrUnreadable says that the other side answered in another language, or that its answer was damaged.
	ErrUnreadable = errors.New("the peer did not answer in " + Native + ": its answer was damaged on the way, or it " +
		"is no zrsd; check the address")

	// ErrEncrypted says that the other side speaks TLS.
	ErrEncrypted = errors.New("the peer speaks TLS, and this address speaks plain text: give this node certificates, " +
		"too, or leave them out there")

	// ErrHTTP says that the other side sends a request of HTTP.
	ErrHTTP = errors.New("this is the replication port of a zrsd, not its admin address: give the address of --admin")

	// ErrUnknownMessage says that a message is whole but of a kind that this version does not have. It was consumed,
	// and the stream can be read on.
	ErrUnknownMessage = errors.New("message of an unknown kind: the peer may be of a newer version")

	// errCorruptMessage says that a message is not what its own form promises. Nothing after it can be trusted.
	errCorruptMessage = errors.New("corrupt message")
)

// A TooLargeError says that a peer announced something above the limit. Nothing of it was read or allocated.
type TooLargeError struct {
	What string // "message", "record", "blob", ...
	Tid  zodb.Tid
	Oid  zodb.Oid
	Size int64 // bytes, as announced
	Max  int64
}

func (e *TooLargeError) Error() string {
	if e.Tid != 0 {
		return fmt.Sprintf("%s of oid %v in transaction %v has %d bytes, the limit is %d: raise the limit if it is "+
			"genuine", e.What, e.Oid, e.Tid, e.Size, e.Max)
	}
	return fmt.Sprintf("%s of %d bytes, the limit is %d", e.What, e.Size, e.Max)
}

// A DigestError says that a transaction did not arrive as it was sent, or that the two sides do not mean the same
// stream. Whoever reads the stream must forget the transaction and connect again.
type DigestError struct {
	Tid zodb.Tid
}

func (e *DigestError) Error() string {
	return fmt.Sprintf("transaction %v arrived damaged: its digest does not match what was received", e.Tid)
}

// A FrameError says that a frame of the replication stream is malformed or out of place.
type FrameError struct {
	Tid  zodb.Tid // the transaction in progress; between two, the last complete one
	Want string
	Got  string
}

func (e *FrameError) Error() string {
	return fmt.Sprintf("replication stream damaged at transaction %v: want %s, got %s", e.Tid, e.Want, e.Got)
}
