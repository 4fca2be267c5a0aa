// Package zeo serves storages to unmodified ZEO clients, Plone and Zope among them.
//
//	Server ──▶ client, one for each connection             storage, one for each storage
//	            reader: messages, one after the other ──▶   visible: the last transaction that clients know of
//	            outbox: messages to it, in order      ◀──   follower: what the storage commits, in order
//	            transaction: see package commit             recent: the last transactions and their oids
//
// Package wire has the messages, package commit a client's transaction.
//
// # What a client sees, and in which order
//
// Clients keep persistent caches, and rely on the order of messages. So a client must not learn of a
// transaction, by a load or by anything else, before its invalidation, and after it not see a revision that is not
// current any more. The storage makes transactions visible when they are durable. Here they become visible a
// second time: every answer is that of the storage as of storage.visible. A goroutine follows the storage (news: what
// clients have committed is announced from memory, all else is read from the file), and for each transaction, under the
// lock, advances visible and puts the invalidation on every client's outbox, or the reply of
// tpc_finish on that of the client that committed it. Answers about data are made, and put on the outbox, under the
// same lock, shared. So the order of each outbox is one that a server without concurrency could have
// produced; packs and replicated transactions need nothing special.
//
// One thing comes earlier than with such a server: a vote may be answered before the transaction that held the lock
// last is durable and announced. The answer does not depend on that one, unless it is a conflict: then it waits.
//
// # Who waits for whom
//
// The goroutine that reads from a client answers its loads itself, as many as have come at once with one write. Where
// nobody else commits it also votes, waits for the disk, announces and answers by itself, with nothing handed over;
// if the disk takes long, another goroutine reads on (relief). Answers of all other calls, and invalidations,
// are written by a goroutine beside it. Invalidations of a busy storage are sent
// in rounds, so that many commits cost each client one write.
//
// Putting on an outbox never blocks. A client that does not read has its outbox filled up to Options.Backlog, and is
// disconnected then: to lose one invalidation would spoil its cache. While a quarter of that waits, no more
// requests are read from it, so that no client fills its outbox with answers to its own requests.
// Loads of different clients run in parallel, and beside commits. A vote that has to wait for the storage's commit lock
// does so in a goroutine of its own, while its connection continues. After tpc_finish the lock is free at once: the
// next vote runs while this one's disk syncs.
//
// # Status of a client
//
// A client belongs to the goroutine that reads from it. The data for operators (Server.Clients) are kept beside it and
// can be read at any time: counters and times in atomics, and in the transaction what it is doing, under the
// transaction's own mutex.
//
// # What ends with a connection
//
// Every end of a connection, whatever its cause, passes client.end: a vote that waits is aborted, a transaction that
// was not handed over is aborted, uploads and iterators are gone. A transaction that was handed over is committed and
// announced to the others.
package zeo
