// Package history judges what the clients of a cluster were told, over failovers, against what is in the files in the
// end.
//
// Each client records one Op a line, as JSON: what it asked whom, when by a clock that all of them share, and what it
// was told.
//
//	{"kind": "commit",   "client": "w1", "node": "a", "begin": 10, "end": 19, "tid": …, "read": {…}, "wrote": {…}}
//	{"kind": "unknown",  …   "wrote": {…}}   the connection ended before the answer: it may be there or not
//	{"kind": "refused",  …   "wrote": {…}}   surely not there
//	{"kind": "read",     …   "read": {…}}    one object, its current revision
//	{"kind": "snapshot", …   "tid": …, "read": {…}}   several objects as of a transaction
//
// A value is text that no two writes of an object have in common. A transaction writes only objects that it has read.
// The Truth is what the files have in the end; what was cut off from former primaries, and set aside, is another.
//
// # The rules
//
//	acknowledged   a commit that a client was told of is in the files with exactly its writes. Without waiting for
//	               secondaries it may be set aside instead. It is never just gone.
//	atomic         one of unknown outcome is there wholly or not at all
//	refused        one that was refused is not there
//	invented       nothing is there that no client wrote
//	lost update    what a write has replaced is what its writer had read
//	counter        it has grown by one with each write
//	linearisable   per object, writes and the reads of a primary are in an order that agrees with the clock: see below
//	committed      what is read is in the files. What a secondary shows, and a primary that waits for none, may have
//	               been set aside instead: it has not been acknowledged, or may be lost
//	point in time  all that a snapshot has was current as of its transaction
//	back in time   the snapshots of one connection never go back
//
// # Whose reads are those of a primary
//
//	          Since                Until
//	node a ─────┤▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓├──────────────
//	node b ──────────────────────────────┤▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓
//
// A Reign begins when its promotion was answered, and ends when the next one was asked for. What a node answers wholly
// within its reign must be linearisable. What it answers before and after that counts as the answer of a secondary: a
// primary that the network has cut off cannot know that it has been replaced, so it may show an old state, but one that
// was, and never goes back.
//
// The order of all commits and all primary reads of an object is what porcupine looks for. A write is a compare and
// swap, since it says which revision it replaces.
package history
