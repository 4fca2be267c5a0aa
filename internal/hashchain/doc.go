// Package hashchain keeps a chain of digests over the transactions of a storage, so that two nodes can find out whether
// their histories are the same, and where they differ first, without sending them to each other.
//
// # The chain
//
// A value stands for all transactions after a base, up to one of them:
//
//	value at the base    = 32 zero bytes
//	value after n        = SHA-256( value before n (32) ‖ tid of n (8, big-endian) ‖ digest of n (32) )
//
//	  base            n1               n2               n3
//	──┼───────────────┼────────────────┼────────────────┼──▶ tid
//	  00…00  ─SHA──▶  value 1 ─SHA──▶  value 2 ─SHA──▶  value 3
//	            ▲                ▲                ▲
//	        tid, digest      tid, digest      tid, digest
//
// The digest of a transaction is zodb.DigestOf: its content, and nothing about where the file keeps it. Transactions
// of status 'u' are left out: they count as absent, and the protocol of zc.zrs does not carry them. Equal values at a
// tid, from the same base, prove that everything between the two is equal; different ones that something is not.
//
// # Packs
//
// A pack changes transactions up to some time, and marks those that it leaves with status 'p'. After them nothing
// changes. So a chain can be computed from a file only after the first transaction that follows the last 'p': that is
// the base of a file that was packed before its chain was begun, and 0 is the base of one that never was. (The last 'p'
// itself is no base, for the pack may have removed transactions after it.)
//
// An existing chain survives packs: its values do not depend on the present file, and new transactions are
// added to them. So a cluster usually keeps one base, that of the file from which it was made, however its nodes
// pack. Only values between two checkpoints in a packed part cannot be computed again.
//
// A node that gets new transactions with 'p', such as a secondary that is filled from a packed primary, begins again
// with the base after them. Another node with an earlier base can compute the chain from there, too, by reading.
//
// # Checkpoints
//
// A Local follows a storage with an iterator of its own, so that no commit waits for it, and remembers positions:
// every 4096 transactions or 64 MiB, at most 1024 places; then every other one is forgotten and the distance
// doubles. A value between two is computed by reading from the nearest one before it. At most 64 of them are kept
// with the storage, in the member "chain" of its state file, every half a minute and at the end. What a crash loses is
// read again.
//
// A checkpoint that was kept is used when its transaction is in the file, with the same digest and not of status 'p'.
// The newest one of this kind is where a Local continues after a restart; without one it begins at the beginning.
//
// # Comparing
//
// FirstDifference finds where two chains differ first, by bisection of the time between a tid at which they are equal
// and one at which they are not: at most 64 questions to each side.
package hashchain
