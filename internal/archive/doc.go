// Package archive keeps the history of a storage in a store of objects, such as a directory or S3, as it is committed,
// and makes files of it again as they were at any moment.
//
// # Objects
//
//	archive.json             what the archive is of: ids, and for whom it is encrypted
//	gen/00000003.json        a generation: whose data file, since when, and what it shares with the one before
//	seg/00000003/0000000017  a segment: a range of bytes of that data file
//	blob/OID/TID-NAME        a blob, once for all generations that have it
//	allow/GEN-EPOCH-NODE     an operator's word that a node may go on after a generation
//	verified/TIME-NAME.json  what a verification has found
//
// Every object is made once, under a name that must not exist, and never changed. So of two writers of one segment one
// gets an error, on every store, and no lock is needed to write.
//
// # A generation
//
// One data file, as it grows. A pack makes another file, and a promotion may lead to another history: both begin
// another generation. What the new file has in common with the one before, from its beginning on, is not stored again:
// the manifest names those segments. So the path of a generation is a list of parts of earlier ones, and then its own.
//
//	gen 1    1 ── 2 ── 3 ── 4 ── 5 ── 6                     a primary is lost after 6
//	                        │
//	gen 2                   └── 1 ── 2 ── 3                 the next one has what was up to 4: parts [1: 1…4]
//	gen 3    1 ── 2 ── 3 ──…                                it is packed: another file from its beginning on
//
// A generation is complete when its path has all that its file had when it was begun: then it is where moments from its
// beginning on are restored from, until the next one. What a promotion has left behind is on no such path.
//
// # A segment
//
// Numbers are big-endian. Ranges are contiguous: the first one begins at 0, with the magic of the file. A segment ends
// with a transaction, unless that is too large for one.
//
//	 0  8  "zrsdseg1"            104 32  SHA-256 of the range        288  8  blobs in the table
//	 8  8  generation            136 32  chain before it             296  8  length of the table
//	16  8  sequence, from 1      168 32  chain after it              304 32  SHA-256 of the table
//	24  8  epoch                 200 32  content digest of last      336  8  length of the body
//	32 16  node                  232  8  history: base               344 32  SHA-256 of the body
//	48  8  written, ns           240  8           count              376 32  SHA-256 of bytes 0 to 375
//	56  8  from                  248 32           value              408  …  table, zstd
//	64  8  to                    280  4  flags: 1 the body is for      …  …  body: the range, zstd, then perhaps age
//	72  8  end                           age's recipients
//	80  8  last                  284  4  0
//	88  8  highest
//	96  8  transactions
//
// "last" is the last transaction that ends at or before "to", "end" where it ends, "highest" the highest tid up to
// there (tids of old files go down in places). The chain is over bytes: 32 zero bytes at 0, and after each segment
//
//	chain after = SHA-256( chain before ‖ from ‖ to ‖ SHA-256 of the range )
//
// so that one value proves the whole file up to there. "history" is the hash chain over transactions (package
// hashchain), by which a node with another file proves that it has the same history; count 0: it was not known.
//
// The table has, for each record of a blob in the range, in the order of the file, 72 bytes:
//
//	 0  8  oid      8  8  tid      16  8  size; -1: the node had no such blob
//	24 32  SHA-256 of the content  56  8  NAME of its object     64  8  flags: 1 it is for age's recipients
//
// A blob is durable in the archive before the segment that names it.
//
// # Who may write
//
// A generation has the epochs of its writer. A node of a lower epoch than the newest generation is refused; so is a
// primary of the same epoch that lacks what the archive has: it is an older copy of itself. A node of a higher epoch
// begins a generation if it has what the archive has, or was voted for by others: a copy that made itself primary
// without votes is refused where it lacks something, until an operator allows it.
//
// # Deleting
//
// A path is a prefix of segments of every generation that it touches, so what no kept moment needs is always at the end
// of a generation, or a whole one. Manifests go first, then segments, the last one first, then blobs: what is there at
// any time is contiguous. A new blob object has a random name and is referred to by the writer that made it, and by
// generations that follow on the newest path, which is never deleted: so nothing is deleted that somebody is about to
// refer to, but what an upload of more than a day has not named yet; such an upload makes its blobs anew.
package archive
