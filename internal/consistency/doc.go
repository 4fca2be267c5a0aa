// Package consistency checks what clients of a ZODB were told, over crashes and failovers, against what is in the files
// in the end.
//
// Each client records one Op a line, as JSON, in the order of the answers: its request, the node, the times, by a
// clock that all of them share if they have one, and the answer.
//
//	{"kind": "commit",   "client": "w1", "node": "a", "begin": 10, "end": 19, "tid": …, "read": {…}, "wrote": {…}}
//	{"kind": "unknown",  …   "wrote": {…}}   the connection ended before the answer: it may be there or not
//	{"kind": "refused",  …   "wrote": {…}}   surely not there
//	{"kind": "read",     …   "read": {…}}    one object, its current revision
//	{"kind": "snapshot", …   "tid": …, "read": {…}}   several objects, as of tid if the client knows it
//
// A value is text that no two writes of an object have in common, so that a reader knows which write it came from.
// What a commit has read is what its writes replace. The Truth is what the files have in the end; what was cut off from
// former primaries, and set aside, is another. Packs remove history, so the Truth needs files that were not packed.
//
//	tid      object 1   object 2           a snapshot of a1 and b1 is one of the times from 10 to 19,
//	10       a1         b1                 of a2 and b1 of 20 to 29,
//	20       a2         ·                  of a1 and b3 of no time: that state never was
//	30       ·          b3
//
// # The rules
//
//	acknowledged   a commit that a client was told of is in the files, once, with exactly its writes. Without waiting
//	               for secondaries it may be set aside instead. It never vanishes.
//	atomic         one of unknown outcome is there completely or not at all
//	refused        one that was refused is not there
//	invented       nothing is there that no client wrote
//	lost update    what a write has replaced is what its writer had read, unless the two were merged
//	counter        it has grown by exactly what was added to it, merged or not
//	linearisable   per object, writes and the reads of a primary are in an order that agrees with the clock: see below
//	committed      what is read is in the files. What a secondary shows, and a primary that waits for none, may have
//	               been set aside instead: it has not been acknowledged, or may be lost
//	point in time  all that a snapshot has was current at one time, and at the one that its client claims
//	back in time   what is seen on one connection never goes back, nor before a commit of its own
//	keys           a set that all add keys to has, at any time, as many as were added by then
//
// Conn tells apart the connections of a client. A client that reaches the same server again over all of them gives them
// no numbers: it must not go back in time over a lost connection, or a crash of the server, either.
//
// # Whose reads are those of a primary
//
//	          Since                Until
//	node a ─────┤▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓├──────────────
//	node b ──────────────────────────────┤▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓
//
// A PrimaryPeriod begins when its promotion was answered, and ends when the next one was requested, or the node was
// killed. Answers that lie completely within that time must be linearisable. Answers before and after that count as
// those of a secondary: a primary that the network has cut off cannot know that it has been replaced, so it may show an
// old state, but one that existed, and it never goes back. Clients without a common clock have no such periods, and no
// order is looked for.
//
// Porcupine looks for an order of all commits and all primary reads of an object. A write is a compare and
// swap, since it says which revision it replaces.
package consistency
