package zeoload

import (
	"encoding/binary"
	"time"

	"github.com/zrsd/zrsd/zodb"
)

// The ids of the generator's transactions and calls: one of each is under way at a time. Loads have others.
const (
	txnID      = 7
	registerID = 1
	voteID     = 2
	finishID   = 3
	packID     = 4
	blobID     = 5
)

// call begins a call that wants a reply: its id, flag and method.
func call(id byte, method string) message { return newMessage().op(opInt, id, opFalse).text(method) }

// tell begins a call that wants none.
func tell(method string) message { return newMessage().op(opInt, 0, opTrue).text(method) }

func registerCall(storage string, readOnly bool) []byte {
	flag := byte(opFalse)
	if readOnly {
		flag = opTrue
	}
	return call(registerID, "register").text(storage).op(flag, opTuple2).end()
}

// maxTid asks for the current revision.
const maxTid zodb.Tid = 1<<63 - 1

// loadCall asks for the current revision of oid. Its id is the pair of its arguments.
func loadCall(oid zodb.Oid) []byte {
	m := newMessage().id(uint64(oid)).id(uint64(maxTid)).op(opTuple2, opFalse).text("loadBefore")
	return m.id(uint64(oid)).id(uint64(maxTid)).op(opTuple2).end()
}

// Where loadCall has the oid: first in the id, and in the arguments, which are followed by 13 bytes: the tid with its
// opcode and length, and three opcodes.
const (
	loadID   = sizeLen + 2 + 1 + 2
	loadArgs = 13 + 8
)

// retarget makes a message of loadCall ask for another object.
func retarget(load []byte, oid zodb.Oid) {
	binary.BigEndian.PutUint64(load[loadID:], uint64(oid))
	binary.BigEndian.PutUint64(load[len(load)-loadArgs:], uint64(oid))
}

func beginCall() []byte {
	m := tell("tpc_begin").op(opMark, opInt, txnID).bytes(nil).bytes([]byte("load")).op(opNoDict, opNone)
	return m.text(" ").op(opTuple).end()
}

func storeCall(oid zodb.Oid, serial zodb.Tid, record []byte) []byte {
	m := tell("storea").op(opMark).id(uint64(oid)).id(uint64(serial)).bytes(record)
	return m.op(opInt, txnID, opTuple).end()
}

func blobStartCall() []byte { return tell("storeBlobStart").op(opNoTuple).end() }

func blobChunkCall(chunk []byte) []byte {
	return tell("storeBlobChunk").bytes(chunk).op(opTuple1).end()
}

func blobEndCall(oid zodb.Oid, serial zodb.Tid, record []byte) []byte {
	m := tell("storeBlobEnd").op(opMark).id(uint64(oid)).id(uint64(serial)).bytes(record)
	return m.op(opInt, txnID, opTuple).end()
}

func voteCall() []byte { return call(voteID, "vote").op(opInt, txnID, opTuple1).end() }

func finishCall() []byte { return call(finishID, "tpc_finish").op(opInt, txnID, opTuple1).end() }

func sendBlobCall(oid zodb.Oid, tid zodb.Tid) []byte {
	return call(blobID, "sendBlob").id(uint64(oid)).id(uint64(tid)).op(opTuple2).end()
}

// packCall asks for a reply when the pack has ended.
func packCall(to time.Time) []byte {
	seconds := float64(to.UnixMicro()) / 1e6
	return call(packID, "pack").float(seconds).op(opTrue, opTuple2).end()
}
