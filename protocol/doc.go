// Package protocol is the native wire: what primary and secondary say to each other, byte for byte, and nothing about
// when or why. It opens no listener, reads no storage and starts no goroutine but those of yamux, which end with the
// session. docs/native-protocol.md has the same facts for somebody who writes another implementation.
//
// # A connection
//
// Everything is a sized message: a length of 4 bytes, big-endian, then that many bytes.
//
//	secondary                                primary
//	    │ -- "zrsd/1" ------------------------> │   ClientPreface, ServerPreface
//	    │ <-- "zrsd/1", or "refused 7 text" --- │   AcceptPreface, RefusePreface
//	    │ ============= yamux ================= │   ClientSession, ServerSession
//	    │ -- stream ["control", {}] ----------> │   OpenStream, AcceptStream, Control
//	    │      <- Secret.Present, Demand -----> │   when there is a shared secret
//	    │      -- Hello ----------------------> │
//	    │      <---------- Welcome or Refusal - │
//	    │ -- stream ["replication", {start}] -> │
//	    │      <------ T S S B C  T S C  … ---- │   Encoder, Decoder
//	    │      -- Ack ->       <-- Heartbeat -- │
//
// The preface is plain so that one port can serve several protocols, and so that a refusal can be read by a client of
// any version. The control stream is apart from the bulk: an acknowledgement waits for no record.
//
// # Messages
//
// A message of the control stream, and the header of every stream, is a msgpack array of its kind and a map. A reader
// skips fields that it does not know; a kind that it does not know is ErrUnknownMessage, and the stream goes on. What
// is malformed is ErrCorruptMessage: one asks for an upgrade, the other is an accident.
//
// # The replication stream
//
// Each transaction is a T frame, per record an S frame, or a B or H frame where it has a blob, each followed by raw
// frames, and a C frame. T, S, B, H and C are msgpack arrays; ids are bin of 8 bytes.
//
//	["T", tid, status, user, description, extension]
//	["S", oid, serial, data_txn or nil, has_prev, size]                then size bytes of data
//	["B", oid, serial, data_txn or nil, has_prev, size, blob_size]     then data, then blob_size bytes of blob
//	["H", oid, serial, data_txn or nil, has_prev, size, blob_size]     then data: the blob is where both sides see it
//	["C", digest]
//
//	+--------+---------+--------+-----------+     +--------+-------+
//	| length | S frame | length | ≤ 64 KiB  | ... | length | rest  |   raw frames: all of 64 KiB but the last,
//	+--------+---------+--------+-----------+     +--------+-------+   none for size 0 or -1 (no data)
//	   4                  4                          4
//
// The digest is an MD5 that begins with the 8 bytes of the stream's start tid and takes the payload of every frame in
// order, never the lengths. A C frame holds its value before that frame; then the frame is added too, and the digest
// runs on. So it proves each transaction, the order of all of them, and that both sides mean the same start. It guards
// against accidents; against enemies there is TLS.
//
// has_prev, one-hop data_txn and the raw bytes of the extension are what a receiver needs to write the very bytes of
// the sender's file.
//
// # Ranges
//
// A RangeStream takes the place of the replication stream for a secondary that gets the data file as it is. It asks for
// ranges and for parts of blobs; each answer has the digest of its bytes in its head, and is used only when that is
// right.
//
// # Memory
//
// A frame is built and parsed in a buffer of 256 KiB; record data and blobs pass through it by readers. All lengths are
// checked against a limit before anything is allocated.
package protocol
