// Package zeo serves storages to ZEO clients, Plone and Zope among them, which need not know that the server is another
// one.
//
//	Server ──▶ client, one for each connection             served, one for each storage
//	            reader: messages, one after the other ──▶   visible: the last transaction that clients know of
//	            outbox: what it is sent, in order     ◀──   follower: what the storage commits, in order
//	            transaction: see package commit             recent: the last transactions and their oids
//
// Package wire has the messages, package commit a client's transaction.
//
// # What a client may know, and when
//
// Clients keep caches that outlive them, and trust the order of what they are sent. So a client must not be told of a
// transaction, by a load or by anything else, before its invalidation, and not of a revision that is current no more
// behind it. The storage makes transactions visible when they are durable, and asks nobody. Here they become visible a
// second time: every answer is that of the storage as of served.visible. A goroutine follows the storage (news: what
// clients have committed is announced from memory, all else is read from the file), and for each transaction, under the
// lock, moves visible on and puts the invalidation on every client's outbox, or the reply of
// tpc_finish on that of the client that committed it. Answers about data are made, and put on the outbox, under the
// same lock, shared. So each outbox has an order in which a server that does one thing after the other could have sent
// it; packs and replicated transactions need nothing of their own.
//
// One thing comes earlier than with such a server: a vote may be answered before the transaction that held the lock
// last is durable and announced. The answer says nothing about that one, unless it is a conflict: then it waits.
//
// # Who waits for whom
//
// The goroutine that reads from a client answers its loads itself, as many as have come at once with one write. Where
// nobody else commits it also votes, waits for the disk, announces and answers by itself, with nothing handed over;
// should the disk take long, another goroutine goes on reading (relief). Answers of all other calls, and invalidations,
// are written by a goroutine beside it. Invalidations of a busy storage are sent
// in rounds, so that many commits cost each client one write.
//
// Putting on an outbox never blocks. A client that does not read has its outbox filled up to Options.Backlog, and is
// disconnected then: to lose one invalidation would spoil its cache. One that has a quarter of that waiting is not
// asked what else it wants before it reads, so that no client fills its outbox with answers to its own questions.
// Loads of different clients run in parallel, and beside commits. A vote that has to wait for the storage's commit lock
// does so in a goroutine of its own, while its connection goes on. After tpc_finish the lock is free at once: the next
// vote runs while this one's disk syncs.
//
// # What others may see of a client
//
// A client belongs to the goroutine that reads from it. What operators ask for, Server.Clients, is kept beside it where
// anybody may look at any time: counters and times in atomics, and in the transaction what it is doing, under the
// transaction's own mutex.
//
// # What ends with a connection
//
// Every end of a connection, whoever caused it, passes client.end: a vote that waits is given up, a transaction that
// was not handed over is aborted, uploads and iterators are gone. A transaction that was handed over is committed and
// announced to the others.
package zeo
