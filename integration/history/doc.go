// Package history judges what clients of a ZODB were told against what is in the file in the end: no client ever saw a
// state that never was.
//
// Each client keeps a Log of one JSON object a line, in the order in which it learned things:
//
//	{"kind": "connect"}
//	{"kind": "snapshot", "at": tid, "values": {oid: {"value": "w1-6", "serial": tid}, …}, "keys": 12}
//	{"kind": "commit", "tid": tid, "writes": {oid: "w1-7", …}, "reads": {oid: tid, …}, …}
//	{"kind": "unknown", "writes": {oid: "w1-8", …}, …}   the connection was lost before the answer came
//
// The Truth is the history in the file: for every tid the oids and values that were written. A value is text that no
// two writes of an object have in common, so that whoever reads one knows where it came from.
//
//	tid      object 1   object 2           a snapshot of a1 and b1 is one of the times from 10 to 19,
//	10       a1         b1                 of a2 and b1 of 20 to 29,
//	20       a2         ·                  of a1 and b3 of no time: that state never was
//	30       ·          b3
//
// Check knows these rules:
//
//	acknowledged    a commit that a client was told of is in the file, once, with exactly its writes
//	atomic          one whose outcome a client never learned is there wholly or not at all
//	invented        nothing is in the file that no client wrote
//	lost update     what a write has replaced is what its writer had read, unless the two were merged
//	counter         a counter grows by exactly what was added to it, merged or not
//	committed       a value that was read had been written by the transaction of its serial
//	point in time   all that is read in one transaction was current at one time, and at the one that the client claims
//	back in time    a client never sees an earlier time than before, nor one before its own last commit
//	keys            a set that all add keys to has, at any time, as many as were added by then
//
// A server shows nothing that is not durable, so a client must not go back in time over a lost connection or a crash of
// the server either: only another server, with a Log of its own, may be behind.
//
// Packs remove history. The Truth has to come from a file that is not packed, of a secondary for instance.
package history
