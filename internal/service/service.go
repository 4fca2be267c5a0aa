// Package service recognises what listens at an address by the first bytes that it sends. Whoever was given an address
// of the wrong kind can then say which kind it is, instead of what does not make sense in it:
//
//	00 00 00 02 'Z' '5'           a ZEO server: length, encoding and version of its protocol
//	'H' 'T' 'T' 'P' '/'           an HTTP server, as the admin address of a zrsd is one
//	15 03                         a TLS server that was addressed in plain text: the type of an alert, and a version
//	'S' 'S' 'H' '-'               an SSH server
//	00 00 00 n "zrsd/1"           the replication port of a zrsd, and so it is with "refused "
package service

import (
	"bytes"
	"fmt"
)

// A Kind is what listens somewhere, in words for people.
type Kind string

// The kinds that are recognised.
const (
	ZEO         Kind = "a ZEO server"
	HTTP        Kind = "an HTTP server"
	TLS         Kind = "a TLS server"
	SSH         Kind = "an SSH server"
	Replication Kind = "the replication port of a zrsd"
)

// Recognise returns what begins to speak with first; empty where that is not known. It needs no more than 12 bytes.
func Recognise(first []byte) Kind {
	sized := first[min(4, len(first)):]
	switch {
	case bytes.HasPrefix(first, []byte("HTTP")):
		return HTTP
	case bytes.HasPrefix(first, []byte{0x15, 0x03}):
		return TLS
	case bytes.HasPrefix(first, []byte("SSH-")):
		return SSH
	case bytes.HasPrefix(sized, []byte("zrsd/")), bytes.HasPrefix(sized, []byte("refused ")):
		return Replication
	case len(sized) >= 2 && isZEO(sized):
		return ZEO
	}
	return ""
}

// isZEO reports whether a ZEO server announces itself so: "Z5" with pickles, "M5" with msgpack, and older ones, such as
// "Z310".
func isZEO(announced []byte) bool {
	return (announced[0] == 'Z' || announced[0] == 'M') && announced[1] >= '3' && announced[1] <= '9'
}

// A Wanted is what an address was to lead to, in two ways, and which setting of a zrsd says its address.
type Wanted struct {
	is         Kind
	what, flag string
}

// What addresses lead to.
var (
	WantReplication = Wanted{Replication, "a replication port", "--replicate-to"}
	WantAdmin       = Wanted{HTTP, "an admin address", "--admin"}
	WantZEO         = Wanted{ZEO, "a ZEO server", "--zeo"}
)

// An Error says that an address leads to something else than what it was given for.
type Error struct {
	Is   Kind
	Want Wanted
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s listens there, and not %s: give the address that is %s of that node", e.Is, e.Want.what,
		e.Want.flag)
}

// Check returns an *Error where first is what another service says, and nil where it may be the one that is wanted.
func Check(first []byte, want Wanted) error {
	if is := Recognise(first); is != "" && is != want.is {
		return &Error{is, want}
	}
	return nil
}
