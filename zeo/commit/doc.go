// Package commit is a client's transaction between its beginning and its end, independent of the protocol.
//
//	tpc_begin ──▶ New        buffering: nothing of the storage is touched, no lock is held
//	storea …  ──▶ Store …
//	vote      ──▶ Vote ──────▶ the storage's commit lock ──▶ everything applied, and checked ──▶ Voted
//	                 ▲                                          │ conflicts
//	                 └── the client resolves, stores, votes ◀───┘ lock given back, buffer kept
//	                            └── SyncAhead, where nobody else commits: the disk begins while the client continues
//	tpc_finish ─▶ Finish ────▶ handed to the storage; the lock is free, the next may vote while this syncs
//	tpc_abort ──▶ Abort        in every state
//
// # The buffer
//
// What the client sends is kept in memory up to Options.Memory bytes and then in an unnamed file, as are large records,
// while they are read (Take), and blobs from their first byte: a transaction that ends in any way, the end of the
// process included, leaves no files.
//
// A transaction has one change for each object: a later store takes the place of an earlier one, and keeps its blob
// unless it brings another. So a client that stores a blob's record first and its content then, as ZEO's do, gets one
// record; and a blob survives a conflict that the client resolves by sending the record again.
//
// # Conflicts
//
// A store of an object that has changed since is first given to Options.Resolve, if there is one. What is left are the
// Conflicts of the Outcome: nothing of the transaction is in the storage then. The client may store again and vote
// again, or abort. Conflicts of checks and deletions cannot be resolved; they are errors, which end the transaction.
package commit
